"""What a cloud can sell: Offer, Accelerator, Market and Capability."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Market(Enum):
    """How capacity is sold."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


class Capability(Enum):
    """What a cloud can do; a pass asks for one and the rejection names who lacks it."""

    MULTI_NODE = "multi-node"
    SPOT = "spot"
    STOP = "stop"
    LABELS = "labels"
    WORKDIR = "workdir"
    CHECKPOINT = "checkpoint"
    PORTS = "ports"
    IMAGE = "image"
    CONTAINER = "container"
    DISK_TIER = "disk-tier"
    NETWORK_TIER = "network-tier"
    LOCAL_DISK = "local-disk"
    NETWORKING = "networking"
    ENCRYPTION = "encryption"
    BUCKETS = "buckets"
    PRIORITY_CLASS = "priority-class"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """`count` devices of one canonical `name`."""

    name: str
    count: float

    def __str__(self) -> str:
        return f"{self.name}:{self.count:g}"


@dataclass(frozen=True, slots=True)
class Offer:
    """One shape in one zone in one market at one price.

    `price` is USD per node and hour. A `flexible` offer is cut to the size that is asked for (up to `cpus`
    and `memory_gb`); another is sold whole. `disk_gb` is None where the disk is of any size. `burstable`: CPU
    time is sold by credit. `band` is how often spot capacity is taken away, 0 to 4 (below 5, 10, 15, 20 %, and
    more, a month), None where nobody says. `on_demand` is the price of the same thing on demand, `source` says
    whose price it is and of when. `listed` is the list price where the user pays another one, `reserved` how many
    nodes are paid for already, `stock` how many there are at most.
    """

    cloud: str
    region: str | None
    zone: str | None
    instance_type: str
    market: Market
    price: float
    cpus: float
    memory_gb: float
    accelerator: Accelerator | None = None
    disk_gb: float | None = None
    flexible: bool = False
    arch: str = "x86_64"
    burstable: bool = False
    band: int | None = None
    on_demand: float | None = None
    source: str | None = None
    listed: float | None = None
    reserved: int = 0
    stock: int | None = None

    def paid(self, nodes: int) -> int:
        """How many of `nodes` have to be paid for: reserved ones are used first."""
        return max(0, nodes - self.reserved)

    @property
    def where(self) -> str:
        """`aws us-west-2c`, `local`: the shortest name of the place."""
        return " ".join(part for part in (self.cloud, self.zone or self.region) if part)
