"""StackSpec: one Pulumi stack as versioned, deterministic data; equal inputs give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.offer import Accelerator, Market

VERSION = 1


def canonical(data: object) -> bytes:
    """JSON with sorted keys and no spaces: the bytes that digests are made of."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(data: object) -> str:
    """SHA-256 of `canonical(data)`, in hex."""
    import hashlib  # late: it costs more to import than most commands have use for

    return hashlib.sha256(canonical(data)).hexdigest()


@dataclass(frozen=True, slots=True)
class StackSpec:
    """What one stack must contain. Nothing that recovery changes: no attempt, no instance id, no address.

    `project` and `stack` are Pulumi's names; `deployment` is the user's. `cpus` and `memory_gb` are per
    node and None when the shape decides. `agent` is the content hash of the agent's folder. Keeps to
    schemas/spec.v1.json.
    """

    project: str
    stack: str
    deployment: str
    cloud: str
    instance_type: str
    market: Market
    nodes: int
    agent: str
    region: str | None = None
    zone: str | None = None
    accelerator: Accelerator | None = None
    cpus: float | None = None
    memory_gb: float | None = None
    disk_gb: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def ranks(self) -> range:
        return range(self.nodes)

    def to_data(self) -> dict[str, Any]:
        """Plain data; absent values are left out."""
        data: dict[str, Any] = {
            "version": VERSION,
            "project": self.project,
            "stack": self.stack,
            "deployment": self.deployment,
            "cloud": self.cloud,
            "region": self.region,
            "zone": self.zone,
            "instance_type": self.instance_type,
            "market": self.market.value,
            "nodes": self.nodes,
            "agent": self.agent,
            "accelerator": {"name": self.accelerator.name, "count": self.accelerator.count}
            if self.accelerator
            else None,
            "cpus": self.cpus,
            "memory_gb": self.memory_gb,
            "disk_gb": self.disk_gb,
            "labels": dict(sorted(self.labels.items())),
            "secrets": list(self.secrets),
        }
        return {key: value for key, value in data.items() if value not in (None, {}, [])}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> StackSpec:
        """The inverse of `to_data`. Raises ValueError for another version."""
        if data.get("version") != VERSION:
            raise ValueError(f"spec version {data.get('version')!r}, this program writes {VERSION}")
        accelerator = data.get("accelerator")
        return cls(
            project=data["project"],
            stack=data["stack"],
            deployment=data["deployment"],
            cloud=data["cloud"],
            instance_type=data["instance_type"],
            market=Market(data["market"]),
            nodes=data["nodes"],
            agent=data["agent"],
            region=data.get("region"),
            zone=data.get("zone"),
            accelerator=Accelerator(accelerator["name"], accelerator["count"]) if accelerator else None,
            cpus=data.get("cpus"),
            memory_gb=data.get("memory_gb"),
            disk_gb=data.get("disk_gb"),
            labels=data.get("labels", {}),
            secrets=tuple(data.get("secrets", ())),
        )

    @property
    def digest(self) -> str:
        return digest(self.to_data())
