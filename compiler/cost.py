"""What a task costs on an offer in all: compute, start, reruns on spot, disk, address and moving data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.catalog import tariffs
from compiler.offer import Market, Offer
from compiler.task import Task

HOURS = 1.0
"""How long a task is taken to run when nobody says."""

DISK_GB = 256.0
"""The disk of a node when nobody says."""

DATA_GB = 10.0
"""What a bucket among the file_mounts is taken to hold when nobody says."""

SETUP_S = 300.0
"""What a `setup` is taken to need."""

LOST_H = 0.15
"""Work that is lost with a node when checkpoints are kept (NSDI'24 measured 7 to 9 minutes)."""

START_S: Mapping[str, float] = {"local": 0.0, "aws": 30.0, "gcp": 30.0, "azure": 90.0, "lambda": 240.0}
START_ELSEWHERE_S = 120.0
"""From asking for a node to its agent."""

TRANSFER_GB_S = 0.25
"""GB per second and node into a node from a bucket of the same cloud."""

MONTHLY = (0.025, 0.075, 0.125, 0.175, 0.30)
"""The share of spot nodes that is lost in a month, by band: the middle of each, and 30 % for the open one."""

UNKNOWN_BAND = 4

SCHEMES = {
    "s3": "aws", "gs": "gcp", "https": "azure", "azure": "azure", "r2": "r2", "cos": "ibm", "oci": "oci",
    "nebius": "nebius",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Data:
    """`gb` that lie in (cloud, region) and are read by every node; the region may be unknown."""

    cloud: str
    region: str | None
    gb: float
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the cost is reckoned for. `assumed`: nobody said how long the task runs; then `hours` are those until
    its deadline if it has one. `deadline_h` is how many hours there are from the start of `up`. `outputs` are
    written once."""

    hours: float = HOURS
    assumed: bool = True
    setup_s: float = 0.0
    checkpoint: bool = False
    disk_gb: float | None = None
    data: tuple[Data, ...] = ()
    outputs: tuple[Data, ...] = ()
    deadline_h: float | None = None
    disk_tier: str | None = None

    @property
    def late(self) -> bool:
        """Whether the deadline can refuse an offer: it has passed, or there is an estimate to hold against it."""
        return self.deadline_h is not None and (not self.assumed or self.deadline_h <= 0)

    @classmethod
    def of(
        cls, task: Task, hours: float | None = None, data: Sequence[Data] = (), now: float | None = None
    ) -> Estimate:
        """From what a task says; `hours` when somebody knows better than the default, `data` beside its mounts.
        `now` is seconds since 1970: without, a deadline that is a point in time is not known."""
        said = getattr(task, "duration_s", None)
        if hours is None and said:
            hours = said / 3600
        assumed, left = hours is None, deadline_h(task, now)
        if hours is None:
            hours = left if left is not None and left > 0 else HOURS
        sources = [one for one in task.file_mounts.values() if isinstance(one, str)]
        sources += [uri for bucket in getattr(task, "buckets", {}).values() for uri in bucket.source]
        read, written = getattr(task, "inputs", None), getattr(task, "outputs", None)
        return cls(
            hours=hours,
            assumed=assumed,
            deadline_h=left,
            setup_s=SETUP_S if task.setup else 0.0,
            checkpoint=task.checkpoint is not None,
            disk_gb=task.requirements.disk_gb,
            data=(*_data(sources), *_data([read.uri] if read else [], read and read.gb), *data),
            outputs=tuple(_data([written.uri] if written else [], written and written.gb)),
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """USD for the whole task on all its nodes, by what it is for."""

    compute: float = 0.0
    start: float = 0.0
    reruns: float = 0.0
    disk: float = 0.0
    address: float = 0.0
    transfer: float = 0.0
    unease: float = 0.0

    @property
    def total(self) -> float:
        return round(
            self.compute + self.start + self.reruns + self.disk + self.address + self.transfer + self.unease,
            6,
        )

    def to_data(self) -> dict[str, Any]:
        parts = {name: round(getattr(self, name), 6) for name in self.__slots__}
        return {"total": self.total, **{name: value for name, value in parts.items() if value}}


class Reckoner:
    """Costs of one task on many offers. All but the transfer depends on cloud, market and band alone."""

    def __init__(self, nodes: int, estimate: Estimate) -> None:
        self.nodes = nodes
        self.estimate = estimate
        self._hours: dict[tuple[str, Market, int | None], tuple[float, float]] = {}
        self._bounds: dict[tuple[str, Market], tuple[float, float]] = {}
        self._transfer: dict[tuple[str, str | None], float] = {}

    def cost(self, offer: Offer, unease: float = 0.0) -> Cost:
        """`unease` (0 to 1) is how likely the place is to fail again: it costs another start."""
        start_h, extra_h = self._spent(offer.cloud, offer.market, offer.band)
        hourly = offer.price * offer.paid(self.nodes)
        if not hourly:
            start_h = extra_h = 0.0
        hours = self.estimate.hours + start_h + extra_h
        disk, address = self._beside(offer.cloud, hours)
        return Cost(
            compute=hourly * self.estimate.hours,
            start=hourly * start_h,
            reruns=hourly * extra_h,
            disk=disk,
            address=address,
            transfer=self._moved(offer.cloud, offer.region),
            unease=hourly * unease * (start_h + LOST_H),
        )

    def hours(self, cloud: str, market: Market, band: int | None) -> float:
        """How long the task takes: start, work, and what losses are expected to add."""
        return self.estimate.hours + sum(self._spent(cloud, market, band))

    def least(self, cloud: str, market: Market, price: float) -> float:
        """A bound below the cost of every offer of this cloud and market at `price` or more."""
        bound = self._bounds.get((cloud, market))
        if bound is None:
            start_h, extra_h = self._spent(cloud, market, 0)
            hours = self.estimate.hours + start_h + extra_h
            # Free machines need no time to start, so they pay for disk and address a little less.
            bound = self._bounds[cloud, market] = (
                self.nodes * hours,
                sum(self._beside(cloud, self.estimate.hours)),
            )
        return price * bound[0] + bound[1] - 2e-6

    def dearest(self, cloud: str, market: Market, total: float) -> float:
        """A price above which no offer of this cloud and market costs `total` or less."""
        self.least(cloud, market, 0.0)
        hours, beside = self._bounds[cloud, market]
        return (total - beside + 2e-6) / hours if hours else math.inf

    def _beside(self, cloud: str, hours: float) -> tuple[float, float]:
        disk_gb = DISK_GB if self.estimate.disk_gb is None else self.estimate.disk_gb
        address = tariffs.ADDRESS.get(cloud, 0.0) * hours * self.nodes
        return tariffs.disk(disk_gb, cloud, hours, self.estimate.disk_tier) * self.nodes, address

    def _spent(self, cloud: str, market: Market, band: int | None) -> tuple[float, float]:
        """Hours to start, and hours that losses add. A band that nobody says counts as unknown."""
        key = cloud, market, band
        found = self._hours.get(key)
        if found is None:
            estimate = self.estimate
            start_h = _start_h(cloud, estimate)
            extra_h = _rerun_hours(band, self.nodes, estimate, start_h) if market is Market.SPOT else 0.0
            found = self._hours[key] = start_h, extra_h
        return found

    def _moved(self, cloud: str, region: str | None) -> float:
        found = self._transfer.get((cloud, region))
        if found is None:
            found = sum(
                tariffs.egress(data.gb * self.nodes, (data.cloud, data.region), (cloud, region))
                for data in self.estimate.data
            ) + sum(
                tariffs.egress(data.gb, (cloud, region), (data.cloud, data.region))
                for data in self.estimate.outputs
            )
            self._transfer[cloud, region] = found
        return found


def deadline_h(task: Task, now: float | None) -> float | None:
    """Hours that are left until the task must be done; None without a deadline, and for one at a point in time
    when nobody says what time it is."""
    said = task.deadline
    if said is None:
        return None
    if said.span_s is not None:
        return said.span_s / 3600
    if said.at is None or now is None:
        return None
    import datetime

    return (datetime.datetime.fromisoformat(said.at).timestamp() - now) / 3600


def soonest_h(cloud: str, estimate: Estimate) -> float:
    """Hours until a task is done on a cloud when nothing is lost: start, setup, data and work."""
    return _start_h(cloud, estimate) + estimate.hours


def _start_h(cloud: str, estimate: Estimate) -> float:
    seconds = START_S.get(cloud, START_ELSEWHERE_S) + estimate.setup_s
    return (seconds + sum(data.gb for data in estimate.data) / TRANSFER_GB_S) / 3600


def losses_per_hour(band: int | None) -> float:
    """How often a spot node of this band is lost, on average."""
    share = MONTHLY[UNKNOWN_BAND if band is None else band]
    return -math.log1p(-share) / tariffs.HOURS_A_MONTH


def _rerun_hours(band: int | None, nodes: int, estimate: Estimate, start_h: float) -> float:
    """Hours that losses add. With checkpoints each costs a start and the work since the last one; without, the
    task begins again, which takes (e^(rate x hours) - 1) / rate on average."""
    rate = losses_per_hour(band) * nodes
    if estimate.checkpoint:
        return rate * estimate.hours * (start_h + LOST_H)
    whole = estimate.hours + start_h
    exponent = min(rate * whole, 50.0)
    return math.expm1(exponent) / rate - whole


def _data(sources: Sequence[str], gb: float | None = None) -> list[Data]:
    """What lies in buckets of known clouds, each bucket and path once."""
    found: dict[str, Data] = {}
    for source in sources:
        cloud = cloud_of(source)
        if cloud:
            found[source] = Data(cloud, None, DATA_GB if gb is None else gb, assumed=gb is None)
    return list(found.values())


def cloud_of(uri: str) -> str | None:
    """The cloud of a bucket, None where a URI names no bucket of a known one."""
    scheme, separator, rest = uri.partition("://")
    if not separator or (scheme.lower() == "https" and ".blob.core.windows.net" not in rest):
        return None
    return SCHEMES.get(scheme.lower())
