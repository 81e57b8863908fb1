"""Plays policies on recorded spot capacity of several places: availability shows only where one tries.

Each step is billed at its own place's price; every start and every move takes the overhead. A try that finds nothing is
free of charge and done at once, at most TRIES in a step; a move away from running spot is such a try too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from compiler.policy import regions
from compiler.policy.deadline import TUNED, Job, Now, Tuning, Use, choose
from compiler.policy.seen import Seen
from tests.bench.spot_sim import SMALL, Played, Policy, forced

TRIES = 3
"""Places in which a launch can be tried within one step."""


@dataclass(frozen=True, slots=True)
class Window:
    """The same stretch of time in every place: availability and price by step."""

    start: str
    there: Mapping[str, Sequence[bool]]
    prices: Mapping[str, Sequence[float]]

    def rows(self, places: Sequence[str]) -> list[list[float | None]]:
        """Prices where there is capacity, else None: what `bound` takes."""
        return [
            [
                price if there else None
                for there, price in zip(self.there[name], self.prices[name], strict=True)
            ]
            for name in places
        ]


class Chooser:
    """Where and what to use next, of one job in several places; told what its tries found."""

    def __init__(self, job: Job, places: Sequence[str]) -> None:
        self.job, self.places = job, places

    def look(self, here: str | None, now: Now, prices: Mapping[str, float], at: float) -> Sequence[str]:
        """Places to try now, in order; `here` is where spot runs."""
        raise NotImplementedError

    def decide(self, now: Now, found: str | None, at: float) -> Use:
        """What to use in this step; `found` is where the tries had success."""
        raise NotImplementedError

    def told(self, name: str, there: bool, at: float) -> None:
        """A try in `name` had success or not."""

    def ran(self, name: str, hours: float) -> None:
        """Spot ran in `name`."""

    def lost(self, name: str, at: float) -> None:
        """Spot was lost in `name`."""


class Cheapest(Chooser):
    """Tries the cheapest places first and never moves away from what runs; when to wait is another policy's."""

    def __init__(self, job: Job, places: Sequence[str], when: Policy) -> None:
        super().__init__(job, places)
        self._when = when(job)

    def look(self, here: str | None, now: Now, prices: Mapping[str, float], at: float) -> Sequence[str]:
        return () if here else sorted(self.places, key=lambda name: (prices[name], name))

    def decide(self, now: Now, found: str | None, at: float) -> Use:
        return self._when(now)


class Ours(Chooser):
    """compiler/policy/regions.py and deadline.py together."""

    def __init__(self, job: Job, places: Sequence[str], tuning: Tuning = TUNED, carry: float = 0.0) -> None:
        super().__init__(job, places)
        self._tuning, self._seen = tuning, Seen()
        self._known = {name: regions.Place(0.0, carry=carry) for name in places}

    def look(self, here: str | None, now: Now, prices: Mapping[str, float], at: float) -> Sequence[str]:
        known = self._known = {
            name: replace(place, price=prices[name]) for name, place in self._known.items()
        }
        if here is None:
            return regions.order(self.job, known, now.work_h, at)
        name = regions.better(self.job, here, known, now.work_h, now.slack_h, at)
        return () if name is None else (name,)

    def decide(self, now: Now, found: str | None, at: float) -> Use:
        self._seen = self._seen.add(now.spot)
        return choose(self.job, now, self._seen, self._tuning)

    def told(self, name: str, there: bool, at: float) -> None:
        self._known[name] = self._known[name].tried(at, there)

    def ran(self, name: str, hours: float) -> None:
        self._known[name] = self._known[name].ran(hours)

    def lost(self, name: str, at: float) -> None:
        self._known[name] = self._known[name].lost(at)


def play_many(job: Job, window: Window, chooser: Chooser) -> Played:
    """One window in several places. `job.spot` is only the price that decisions in time are weighed with."""
    steps = int(job.deadline_h / job.step_h + SMALL)
    done, pending, using, here, played = 0.0, 0.0, Use.WAIT, None, Played()
    for step in range(steps):
        work, at = job.work_h - done, step * job.step_h
        if work <= SMALL:
            break
        if here is not None and not window.there[here][step]:
            chooser.lost(here, at)
            here, using = None, Use.WAIT
        prices = {name: window.prices[name][step] for name in chooser.places}
        now = Now((steps - step) * job.step_h, work, using, here is not None)
        found = _try(chooser, window, here, now, prices, step, at)
        wanted = chooser.decide(replace(now, spot=here is not None or found is not None), found, at)
        place = (found or here) if wanted is Use.SPOT else None
        if forced(job, work, steps - step) and not (here is not None and pending <= 0):
            wanted, place = Use.ON_DEMAND, None
        if wanted is not using or place != here:
            pending = job.overhead_h if wanted is not Use.WAIT else 0.0
        using, here = wanted, place
        if using is Use.WAIT:
            continue
        used = min(pending, job.step_h)
        pending = pending - used if pending - used > SMALL else 0.0
        done += job.step_h - used
        played.usd += (prices[here] if here else job.on_demand) * job.step_h
        if here:
            chooser.ran(here, job.step_h)
    played.missed = job.work_h - done > 1e-6
    return played


def _try(
    chooser: Chooser, window: Window, here: str | None, now: Now, prices: Mapping[str, float], step: int, at: float
) -> str | None:  # fmt: skip
    for name in list(chooser.look(here, now, prices, at))[:TRIES]:
        there = window.there[name][step]
        chooser.told(name, there, at)
        if there:
            return name
    return None
