"""What the contract suite has to know of Kubernetes: names and labels that its API takes, what opens a port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compiler.spec import Given
from tests.contract.samples import Sample

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?\Z")
KEY = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
LONGEST = 63 - len("-99999-abcde")
"""Of a Job's name: its pods get an index and five letters more, and their names are host names."""


@dataclass(frozen=True)
class Kubernetes(Sample):
    def opens(self, resource: Mapping[str, Any]) -> list[str]:
        spec = resource["inputs"].get("spec") or {}
        return [
            f"{port['port']:g}-{port['endPort']:g}" if port.get("endPort") else f"{port['port']:g}"
            for rule in spec.get("ingress") or ()
            if not rule.get("from")
            for port in rule.get("ports") or ()
        ]

    def names(self, resource: Mapping[str, Any]) -> list[str]:
        found: list[str] = []
        for meta in metadata(resource["inputs"]):
            name = meta.get("name", "a")
            found += [name] if not NAME.match(name) or len(name) > LONGEST else []
            found += [
                f"{key}={value}" for key, value in (meta.get("labels") or {}).items() if bad(key, value)
            ]
            found += [key for key in meta.get("annotations") or {} if not KEY.match(key)]
        return found


def metadata(value: Any) -> list[dict[str, Any]]:
    """Every `metadata` within an object."""
    if isinstance(value, dict):
        own = [value["metadata"]] if isinstance(value.get("metadata"), dict) else []
        return own + [one for inner in value.values() for one in metadata(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in metadata(inner)]
    return []


def bad(key: str, value: str) -> bool:
    short = key.rpartition("/")[2]
    return not KEY.match(key) or len(short) > 63 or not VALUE.match(value) or len(value) > 63


SAMPLE = Kubernetes(
    region="my-cluster",
    machine="any-node",
    given=Given(context="my-cluster", namespace="team", role="trainer"),
    spot='"skywright.dev/market": "spot"',
)
