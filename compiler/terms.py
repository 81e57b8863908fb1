"""Terms: what holds of a plan beside the task, as the user's settings, the clouds and the hour give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compiler.prices import Prices


@dataclass(frozen=True, slots=True)
class Terms:
    """`regions` are those that may be used, of clouds of which not all may; `unable` are clouds that cannot run the
    task, with what they cannot do; `unmade` says by cloud which accelerators it cannot make (how they begin), and why.
    `now` (seconds since 1970) is what a deadline at a point in time is held against; without, it is not. `prices`
    are what is paid where it is not the list price.
    `by_time`: the fastest is wanted, not the cheapest; `throughput` is how fast accelerators are beside each other.
    """

    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unable: Mapping[str, str] = field(default_factory=dict)
    unmade: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    now: float | None = None
    prices: Prices = field(default_factory=Prices)
    by_time: bool = False
    throughput: Mapping[str, float] = field(default_factory=dict)
