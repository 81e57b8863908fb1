"""Services and pools as frozen values: how many replicas or workers, and when one is ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Probe:
    """The question that tells whether a replica is ready. Times are seconds."""

    path: str = "/"
    post_data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    initial_delay_s: float = 1200
    timeout_s: float = 15
    interval_s: float = 10
    failing_s: float = 180


@dataclass(frozen=True, slots=True)
class Policy:
    """How many replicas. `most` None is always `least`. `target_qps` holds for each replica, by accelerator
    when `target_qps_by` has members."""

    least: int = 1
    most: int | None = None
    target_qps: float | None = None
    target_qps_by: Mapping[str, float] = field(default_factory=dict)
    spare: int = 0
    upscale_delay_s: float = 300
    downscale_delay_s: float = 1200
    dynamic_ondemand_fallback: bool = False
    base_ondemand_fallback_replicas: int = 0
    spot_placer: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Replicas behind one address. `tls` is (key file, certificate file) of the user's machine."""

    probe: Probe = field(default_factory=Probe)
    policy: Policy = field(default_factory=Policy)
    load_balancing: str = "least_load"
    stream_timeout_s: float = 120
    port: int | None = None
    tls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers that run many jobs. `most` None is always `least`."""

    least: int
    most: int | None = None
    queue_length: int = 1
    upscale_delay_s: float = 300
    downscale_delay_s: float = 1200
