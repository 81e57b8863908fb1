"""Work with a deadline in one place: wait, use spot or pay for on-demand, so that it ends in time and costs little.

Pure: no clock, no cloud. What it does and why: docs/spot.md. All times are hours, prices USD per hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from compiler.policy.seen import Seen


class Use(str, Enum):
    """What to run on until the next decision."""

    WAIT = "wait"
    SPOT = "spot"
    ON_DEMAND = "on-demand"


@dataclass(frozen=True, slots=True)
class Job:
    """What is known from the start. `work_h` of progress are to be made within `deadline_h`; each start and each
    change costs `overhead_h` without progress. Decisions are `step_h` apart."""

    work_h: float
    deadline_h: float
    overhead_h: float
    step_h: float
    spot: float
    on_demand: float

    @property
    def slack_h(self) -> float:
        """Time that is not needed for the work."""
        return self.deadline_h - self.work_h

    @property
    def worth_h(self) -> float:
        """How long a stay on spot must last to pay for leaving on-demand and coming back."""
        saved = self.on_demand - self.spot
        return 2 * self.overhead_h * self.on_demand / saved if saved > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of a decision: time and work that are left, what is in use, and whether spot can be had now."""

    left_h: float
    work_h: float
    using: Use
    spot: bool

    @property
    def slack_h(self) -> float:
        return self.left_h - self.work_h


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is free to choose; found on the tuning part of `./invoke bench deadline`."""

    floor_h: float = 0.367
    """Slack that is kept in any case,"""
    floor_changes: float = 5.76
    """and that of so many changes."""
    cycles: float = 1.32
    """How much of the slack that coming stays will use up is kept for them."""
    share: float = 0.504
    """How much of the first slack is kept, shrinking"""
    bend: float = 2.0
    """with this power of the time that is left."""
    doubt: float = 1.6
    """How much longer than `worth_h` a stay must be expected to last,"""
    scarce: float = 2.0
    """and how much longer still when little slack is left."""
    lean: float = 0.4
    """How much more is kept where less spot was seen than is needed, and less where there was more."""
    prior_stay_h: float = 0.85
    """How long capacity is expected to stay before anything was seen."""
    prior_rate: float = 0.3
    """Stays that begin per hour, before anything was seen,"""
    prior_h: float = 16.8
    """as if so many hours had been seen."""


TUNED = Tuning()


def unsafe(job: Job, now: Now) -> bool:
    """Whether only on-demand, from now to the end, is sure to be in time (short of a step of doubt)."""
    return now.slack_h < 2 * job.overhead_h


def kept_h(job: Job, now: Now, seen: Seen, tuning: Tuning = TUNED) -> float:
    """Slack that is worth more later than now: waiting may use what is above it, no more.

    Slack is what lets a job on on-demand go back to spot: each stay uses up two changes. Who waits it all away
    runs on on-demand to the end and watches spot capacity come and go.
    """
    weight = tuning.prior_h / job.step_h
    rate = seen.rate(tuning.prior_rate * job.step_h, weight) / job.step_h
    coming = tuning.cycles * 2 * job.overhead_h * rate * now.work_h
    first = tuning.share * job.slack_h * float((now.left_h / job.deadline_h) ** tuning.bend)
    kept = tuning.floor_h + tuning.floor_changes * job.overhead_h + coming + first
    lacking = now.work_h / now.left_h - seen.share(0.5, weight)
    return max(0.0, kept * (1 + tuning.lean * lacking))


def choose(job: Job, now: Now, seen: Seen, tuning: Tuning = TUNED) -> Use:
    """What to use until the next step. `seen` has this step's capacity in it already."""
    if now.using is Use.SPOT and now.spot:
        return Use.SPOT
    if unsafe(job, now):
        return Use.ON_DEMAND
    if now.spot:
        worth = job.worth_h * (tuning.doubt + tuning.scarce * job.overhead_h / now.slack_h)
        if now.using is Use.ON_DEMAND and seen.rest(tuning.prior_stay_h / job.step_h) * job.step_h < worth:
            return Use.ON_DEMAND
        return Use.SPOT
    if now.using is Use.ON_DEMAND:
        return Use.ON_DEMAND  # nothing is won by leaving it for nothing
    return Use.WAIT if now.slack_h > kept_h(job, now, seen, tuning) else Use.ON_DEMAND
