"""Typical requests, in words that skywright and SkyPilot both read."""

from __future__ import annotations

from typing import Any

_RESOURCES: tuple[dict[str, Any], ...] = (
    {},
    {"cpus": 2},
    {"cpus": "4+"},
    {"cpus": 8},
    {"cpus": "8+", "memory": "32+"},
    {"cpus": "16+", "memory": "128+"},
    {"cpus": "32+", "use_spot": True},
    {"memory": "64+"},
    {"cpus": "4+", "infra": "aws"},
    {"cpus": "4+", "infra": "azure"},
    {"cpus": "4+", "infra": "gcp/us-central1"},
    {"cpus": "8+", "infra": "aws/us-east-1", "use_spot": True},
    {"accelerators": "T4:1"},
    {"accelerators": "T4:4", "use_spot": True},
    {"accelerators": "L4:1"},
    {"accelerators": "L4:1", "use_spot": True},
    {"accelerators": "L4:4", "cpus": "32+"},
    {"accelerators": "L4:8"},
    {"accelerators": "A10G:1"},
    {"accelerators": "A10G:1", "memory": "64+"},
    {"accelerators": "V100:1"},
    {"accelerators": "V100:8", "use_spot": True},
    {"accelerators": "A100:1"},
    {"accelerators": "A100:8"},
    {"accelerators": "A100:8", "infra": "aws", "use_spot": True},
    {"accelerators": "A100-80GB:1", "use_spot": True},
    {"accelerators": "A100-80GB:8"},
    {"accelerators": "H100:1"},
    {"accelerators": "H100:8"},
    {"accelerators": "H100:8", "use_spot": True},
    {"accelerators": "H100:8", "infra": "gcp"},
    {"accelerators": "H200:8", "use_spot": True},
    {"accelerators": "L40S:4"},
    {"accelerators": "MI300X:8"},
    {"accelerators": "tpu-v5litepod-8"},
    {"accelerators": "tpu-v6e-8", "use_spot": True},
)


def requests() -> list[dict[str, Any]]:
    """Each with a name that says what it asks."""
    found = []
    for resources in _RESOURCES:
        words = [f"{key}={value}" for key, value in resources.items()]
        found.append({"name": " ".join(words) or "nothing", "resources": resources, "num_nodes": 1})
    found.append(
        {
            "name": "4 nodes A100:8 spot",
            "resources": {"accelerators": "A100:8", "use_spot": True},
            "num_nodes": 4,
        }
    )
    return found
