"""What each node needs, as frozen values: Requirements and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.codec import decode, encode
from compiler.offer import Accelerator
from compiler.quantity import Quantity

SHARED = "jobs_and_ssh"


@dataclass(frozen=True, slots=True)
class Autostop:
    """When idle nodes are given back. None means never; `down` removes them, else they are stopped.

    `wait_for` tells what counts as busy: `jobs_and_ssh`, `jobs` or `none`.
    """

    idle_s: int | None
    down: bool = False
    wait_for: str = SHARED


@dataclass(frozen=True, slots=True)
class Recovery:
    """What happens after a loss or a failure. `strategy` is a name in small letters; None is the default one."""

    strategy: str | None = None
    max_restarts_on_errors: int = 0
    recover_on_exit_codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """What the node starts from. `ids`: region -> the cloud's name of a machine image, "" for any region;
    `docker`: the container that the task runs in."""

    ids: Mapping[str, str] = field(default_factory=dict)
    docker: str | None = None

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that have it; empty when any has."""
        return () if "" in self.ids or self.docker else tuple(self.ids)


@dataclass(frozen=True, slots=True)
class MemoryOf:
    """Accelerators by their memory: `count` of any that has `gb` each, of one `maker` when it is named."""

    gb: Quantity
    count: int = 1
    maker: str | None = None


@dataclass(frozen=True, slots=True)
class LocalDisk:
    """A disk inside the machine. `kind` is nvme or ssd."""

    kind: str
    gb: Quantity


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the cloud at `path`. `storage_type` is network or instance."""

    path: str
    name: str | None = None
    size_gb: float | None = None
    tier: str = "best"
    storage_type: str = "network"
    attach_mode: str = "read_write"
    auto_delete: bool = False


@dataclass(frozen=True, slots=True)
class Requirements:
    """What each node needs. None (or empty) means: not asked for.

    `memory_per_cpu` is GB for each vCPU (`memory: 4x`). `exact` refuses machines that are larger than asked.
    Ports are ranges such as `8080` or `9000-9010`, sorted and
    apart from each other. `internal` holds what SkyPilot writes for itself.
    """

    cloud: str | None = None
    region: str | None = None
    zone: str | None = None
    accelerator: Accelerator | None = None
    accelerator_memory: MemoryOf | None = None
    accelerator_args: Mapping[str, Any] = field(default_factory=dict)
    cpus: Quantity | None = None
    memory_gb: Quantity | None = None
    memory_per_cpu: Quantity | None = None
    exact: bool = False
    instance_type: str | None = None
    use_spot: bool = False
    recovery: Recovery | None = None
    max_hourly_cost: float | None = None
    disk_gb: float | None = None
    disk_tier: str | None = None
    network_tier: str | None = None
    local_disk: LocalDisk | None = None
    image: Image | None = None
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    autostop: Autostop | None = None
    priority: int | None = None
    priority_class: str | None = None
    disks: tuple[Disk, ...] = ()
    location: str | None = None
    quantum_backend: str | None = None
    internal: Mapping[str, Any] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        """Plain data; absent values are left out."""
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Requirements:
        return decode(cls, data)


WRITTEN = {
    "accelerator": "accelerators",
    "accelerator_memory": "accelerators",
    "memory_gb": "memory",
    "memory_per_cpu": "memory",
    "recovery": "job_recovery",
    "disk_gb": "disk_size",
    "image": "image_id",
    "disks": "volumes",
}
"""Names of fields of Requirements that a task file spells otherwise."""
