"""The decision as values: Plan, Placement, Rejection and Envelope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compiler.offer import Market, Offer


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
    """One line of explain's funnel: what was left after a pass."""

    by: str
    left: int
    says: str


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A one-line change to the task that would admit `offer`."""

    change: str
    offer: Offer


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a reviewer approves and recovery may use without asking again.

    `price_ceiling` is USD per hour for all nodes; `placements` are the names of `Placement.offer.where` and market.
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
        return self.placements[0]
