"""The decision as values: Plan, Placement, Rejection and Envelope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.cost import Cost, Estimate
from compiler.offer import Market, Offer
from compiler.sharing import Isolation
from compiler.task import Requirements

PLACEMENTS_WRITTEN = 20
"""Placements that go into a file or an answer; the others are counted."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One offer the task may run on, with what it costs. `hourly` is USD for all nodes together, `cost` that of
    the whole task, `larger` what the machine has beyond what was asked for exactly. `requirements` is the one of the
    task's alternatives that it meets, `turn` the place of that one when they are ordered (from 0). `isolation` is how a
    part of an accelerator is kept apart. `hours` is how long the task takes there, start and expected losses with
    it, where the fastest is wanted; else 0."""

    offer: Offer
    nodes: int
    hourly: float
    cost: Cost = field(default_factory=Cost)
    larger: str = ""
    requirements: Requirements | None = None
    turn: int = 0
    isolation: Isolation | None = None
    hours: float = 0.0

    @property
    def key(self) -> tuple[float, float]:
        """What placements are compared by: hours when the fastest is wanted, then USD."""
        return self.hours, self.total

    @property
    def total(self) -> float:
        """USD for the whole task."""
        return self.cost.total

    @property
    def free(self) -> bool:
        return self.hourly == 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """How many offers one pass refused, for one reason a person reads ("have no 8 A100")."""

    by: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """One line of explain's funnel: what was left after a pass. `asks`: does the task ask for it itself?"""

    by: str
    left: int
    says: str
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A one-line change to the task that would admit `offer`."""

    change: str
    offer: Offer


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a reviewer approves and recovery may use without asking again.

    `price_ceiling` is USD per hour for all nodes; `placements` name place and market: `aws us-west-2c spot`.
    """

    placements: tuple[str, ...]
    nodes: int
    price_ceiling: float
    market: Market

    def to_data(self) -> dict[str, Any]:
        return {
            "placements": list(self.placements),
            "nodes": self.nodes,
            "price_ceiling": self.price_ceiling,
            "market": self.market.value,
        }


@dataclass(frozen=True, slots=True)
class Alternative:
    """A request that was not chosen among several: what it asks, how many fit, and the best of them."""

    asks: str
    fitting: int
    best: Placement | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Ranked placements (first is chosen), the funnel that led to them, and the envelope.

    `placements` are the best, of ordered alternatives those of the first, then those of the next; `fitting` counts
    all that fit, up to `dearest` USD per hour for all nodes. The funnel is that of the request which was chosen;
    `others` tells what became of its alternatives. `elsewise` is the best in the other market. `catalog` is the date of
    the prices, `pinned` their content hash where the task has a catalog.lock.
    """

    name: str
    offers: int
    steps: tuple[Step, ...]
    placements: tuple[Placement, ...]
    rejections: tuple[Rejection, ...]
    relaxations: tuple[Relaxation, ...]
    envelope: Envelope | None
    fitting: int = 0
    dearest: float = 0.0
    estimate: Estimate = field(default_factory=Estimate)
    requirements: Requirements = field(default_factory=Requirements)
    others: tuple[Alternative, ...] = ()
    elsewise: Placement | None = None
    catalog: str | None = None
    pinned: str | None = None

    @property
    def chosen(self) -> Placement:
        """Raises IndexError when nothing fits: see compiler.unfit.no_offer."""
        return self.placements[0]

    @property
    def possible(self) -> int:
        """How many fit in all, those of the alternatives with them."""
        return self.fitting + sum(one.fitting for one in self.others)

    def written(self, most: int = PLACEMENTS_WRITTEN) -> tuple[Placement, ...]:
        """Those that go into files and answers."""
        return shared(self.placements, most)

    def to_data(self, most: int = PLACEMENTS_WRITTEN) -> dict[str, Any]:
        """Plain data for plan.json and `--json`: the `most` best placements and the count of the others."""
        return {
            "name": self.name,
            "offers": self.offers,
            "steps": [{"by": step.by, "left": step.left, "says": step.says} for step in self.steps],
            "rejections": [
                {"by": one.by, "reason": one.reason, "count": one.count} for one in self.rejections
            ],
            "placements": [_placement(one, self.requirements) for one in self.written(most)],
            "placements_left_out": max(0, self.possible - min(most, len(self.placements))),
            "hours": self.estimate.hours,
            "hours_assumed": self.estimate.assumed,
            "catalog": self.catalog,
            **({"catalog_pinned": self.pinned} if self.pinned else {}),
            "alternatives": [
                {"asks": one.asks, "fitting": one.fitting, "best": _placement(one.best) if one.best else None}
                for one in self.others
            ],
            "other_market": _placement(self.elsewise, self.requirements) if self.elsewise else None,
            "relaxations": [
                {"change": one.change, "offer": offer_data(one.offer)} for one in self.relaxations
            ],
            "envelope": self.envelope.to_data() if self.envelope else None,
        }


def shared(placements: Sequence[Placement], most: int) -> tuple[Placement, ...]:
    """The first `most` in their order, of which each of several ordered requests has its share: the first may be
    sold in more places than there is room for, and the next is wanted where all of them fail."""
    turns = sorted({one.turn for one in placements})
    kept: list[Placement] = []
    for turn in reversed(turns):
        found = [one for one in placements if one.turn == turn]
        room = most - len(kept) if turn == turns[0] else max(1, most // len(turns))
        kept = [*found[:room], *kept]
    return tuple(kept[:most])


def offer_data(offer: Offer) -> dict[str, Any]:
    """One offer as plain data; absent values are left out."""
    data: dict[str, Any] = {
        "cloud": offer.cloud,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "market": offer.market.value,
        "price": offer.price,
        "cpus": offer.cpus,
        "memory_gb": offer.memory_gb,
        "accelerator": str(offer.accelerator) if offer.accelerator else None,
        "disk_gb": offer.disk_gb,
        "where": offer.where,
        "on_demand": offer.on_demand,
        "interruption_band": offer.band,
        "arch": offer.arch if offer.arch != "x86_64" else None,
        "source": offer.source,
        "list_price": offer.listed,
        "reserved": offer.reserved or None,
    }
    return {key: value for key, value in data.items() if value is not None}


def _placement(one: Placement, wanted: Requirements | None = None) -> dict[str, Any]:
    """What is sold in any size is written in the size that was asked for: how much more there is may change by
    the hour, and from machine to machine."""
    offer = offer_data(one.offer)
    wanted = one.requirements or wanted
    if one.offer.flexible:
        for name in ("cpus", "memory_gb", "disk_gb"):
            if wanted is None or getattr(wanted, name) is None:
                offer.pop(name, None)
    data = {
        "offer": offer,
        "nodes": one.nodes,
        "hourly": one.hourly,
        "cost": one.cost.to_data(),
    }
    if one.hours:
        data["hours"] = round(one.hours, 4)
    if one.isolation:
        data["isolation"] = str(one.isolation)
    return {**data, "larger": one.larger} if one.larger else data
