"""The decision as values: Plan, Placement, Rejection and Envelope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compiler.offer import Market, Offer

PLACEMENTS_WRITTEN = 20
"""Placements that go into a file or an answer; the others are counted."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One offer the task may run on, with what it costs. `hourly` is USD for all nodes together."""

    offer: Offer
    nodes: int
    hourly: float

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
class Plan:
    """Ranked placements (first is chosen), the funnel that led to them, and the envelope."""

    name: str
    offers: int
    steps: tuple[Step, ...]
    placements: tuple[Placement, ...]
    rejections: tuple[Rejection, ...]
    relaxations: tuple[Relaxation, ...]
    envelope: Envelope | None

    @property
    def chosen(self) -> Placement:
        """Raises IndexError when nothing fits: see compiler.search.no_offer."""
        return self.placements[0]

    def to_data(self, most: int = PLACEMENTS_WRITTEN) -> dict[str, Any]:
        """Plain data for plan.json and `--json`: the `most` best placements and the count of the others."""
        return {
            "name": self.name,
            "offers": self.offers,
            "steps": [{"by": step.by, "left": step.left, "says": step.says} for step in self.steps],
            "rejections": [
                {"by": one.by, "reason": one.reason, "count": one.count} for one in self.rejections
            ],
            "placements": [_placement(one) for one in self.placements[:most]],
            "placements_left_out": max(0, len(self.placements) - most),
            "relaxations": [
                {"change": one.change, "offer": offer_data(one.offer)} for one in self.relaxations
            ],
            "envelope": self.envelope.to_data() if self.envelope else None,
        }


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
    }
    return {key: value for key, value in data.items() if value is not None}


def _placement(one: Placement) -> dict[str, Any]:
    return {"offer": offer_data(one.offer), "nodes": one.nodes, "hourly": one.hourly}
