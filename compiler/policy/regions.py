"""Work with a deadline in several places: where to try for spot, and when to leave a place for a cheaper one.

Pure. A place's availability is learned from what was tried there; nothing else shows it. When to wait and when to pay
for on-demand is for compiler/policy/deadline.py to say. Times are hours, prices USD per hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from compiler.policy.deadline import Job

PRIOR_H = 3.0
"""How long a stay is expected to be in a place of which nothing is known: one loss in so many hours."""
AGAIN_H = 0.25
"""A place that just had nothing is tried after the others for so long."""
LOOK_H = 2.0
"""How often a cheaper place is tried while spot runs well elsewhere."""
MARGIN = 0.05
"""A move must save that share of what the rest of the work costs here."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of one place: its spot price now, hours spent on spot there, losses, and when it last had nothing.

    `carry` is what it costs to bring the checkpoint there, in USD.
    """

    price: float
    hours: float = 0.0
    losses: int = 0
    refused_at: float | None = None
    tried_at: float | None = None
    carry: float = 0.0

    @property
    def stay_h(self) -> float:
        """How long a stay there is expected to last."""
        return (self.hours + PRIOR_H) / (self.losses + 1)

    def ran(self, hours: float) -> Place:
        return replace(self, hours=self.hours + hours)

    def lost(self, at: float) -> Place:
        return replace(self, losses=self.losses + 1, refused_at=at, tried_at=at)

    def tried(self, at: float, there: bool) -> Place:
        return replace(self, tried_at=at, refused_at=None if there else at)


def rate(job: Job, place: Place, work_h: float) -> float:
    """USD per hour of progress that a stay there is expected to cost, its start and the carrying with it."""
    stay = min(place.stay_h, work_h + job.overhead_h)
    useful = stay - job.overhead_h
    if useful <= 0:
        return float("inf")
    return (place.price * stay + place.carry) / useful


def order(job: Job, places: Mapping[str, Place], work_h: float, at: float) -> tuple[str, ...]:
    """Places worth trying for spot, best first; one that had nothing a short time ago comes after the others."""

    def key(name: str) -> tuple[bool, float, str]:
        place = places[name]
        lately = place.refused_at is not None and at - place.refused_at < AGAIN_H
        return lately, rate(job, place, work_h), name

    return tuple(
        sorted((name for name in places if rate(job, places[name], work_h) < job.on_demand), key=key)
    )


def better(
    job: Job, here: str, places: Mapping[str, Place], work_h: float, slack_h: float, at: float
) -> str | None:
    """A place to move to while spot runs `here`, to be tried now; None when staying is best.

    A move costs a change, and slack for one more is kept for the way back.
    """
    if slack_h < 4 * job.overhead_h:
        return None
    now = places[here].price * work_h * (1 - MARGIN)
    best: tuple[float, str] | None = None
    for name, place in places.items():
        if name == here or (place.tried_at is not None and at - place.tried_at < LOOK_H):
            continue
        # After its expected stay one is back at prices as here, by another change.
        there_h = min(place.stay_h, work_h)
        cost = (
            place.price * (there_h + job.overhead_h) + places[here].price * (work_h - there_h) + place.carry
        )
        cost += places[here].price * job.overhead_h if there_h < work_h else 0.0
        if cost < now and (best is None or (cost, name) < best):
            best = cost, name
    return best[1] if best else None
