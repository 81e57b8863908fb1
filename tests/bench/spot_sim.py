"""Plays policies on recorded spot capacity, by the rules of the published benchmark; and what perfect foresight costs.

Each step the policy is told whether spot can be had in it, and answers. Whole steps are billed. A start or a change
first takes its overhead out of the step, and of the next ones when it is longer. On-demand is forced when nothing else
ends in time, unless spot is already productive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compiler.policy.deadline import TUNED, Job, Now, Tuning, Use, choose, unsafe
from compiler.policy.seen import Seen

SMALL = 1e-9

Policy = Callable[[Job], Callable[[Now], Use]]


@dataclass(slots=True)
class Played:
    """What one window came to: USD, and whether the deadline was missed."""

    usd: float = 0.0
    missed: bool = False


def forced(job: Job, work_h: float, steps_left: int) -> bool:
    """Has only on-demand, from now on, time to end?"""
    return math.ceil((work_h + job.overhead_h) / job.step_h - SMALL) >= steps_left


def play(job: Job, there: Sequence[bool], policy: Policy) -> Played:
    """One window in one place; `there` tells of each step whether spot can be had."""
    steps = int(job.deadline_h / job.step_h + SMALL)
    choice, done, pending, using, played = policy(job), 0.0, 0.0, Use.WAIT, Played()
    for step in range(steps):
        work = job.work_h - done
        if work <= SMALL:
            break
        spot = there[step]
        if using is Use.SPOT and not spot:
            using = Use.WAIT
        wanted = choice(Now((steps - step) * job.step_h, work, using, spot))
        if wanted is Use.SPOT and not spot:
            wanted = Use.WAIT
        if forced(job, work, steps - step) and not (using is Use.SPOT and pending <= 0):
            wanted = Use.ON_DEMAND
        if wanted is not using:
            pending = job.overhead_h if wanted is not Use.WAIT else 0.0
        using = wanted
        if using is Use.WAIT:
            continue
        used = min(pending, job.step_h)
        pending = pending - used if pending - used > SMALL else 0.0
        done += job.step_h - used
        played.usd += (job.on_demand if using is Use.ON_DEMAND else job.spot) * job.step_h
    played.missed = job.work_h - done > 1e-6
    return played


def greedy(job: Job) -> Callable[[Now], Use]:
    """Spot when it is there, else nothing, until only on-demand is in time."""

    def decide(now: Now) -> Use:
        if now.using is Use.SPOT and now.spot:
            return Use.SPOT
        if now.using is Use.ON_DEMAND or unsafe(job, now):
            return Use.ON_DEMAND
        return Use.SPOT if now.spot else Use.WAIT

    return decide


def uniform_progress(job: Job) -> Callable[[Now], Use]:
    """NSDI'24: on-demand while progress is behind the clock, back to spot when it is ahead by two changes."""

    def decide(now: Now) -> Use:
        if now.using is Use.SPOT and now.spot:
            return Use.SPOT
        if unsafe(job, now):
            return Use.ON_DEMAND
        gone, made = job.deadline_h - now.left_h, job.work_h - now.work_h
        pace = job.work_h / job.deadline_h
        if now.using is Use.ON_DEMAND:
            ahead = now.spot and made >= (gone + 2 * job.overhead_h) * pace
            return Use.SPOT if ahead else Use.ON_DEMAND
        if now.spot:
            return Use.SPOT
        return Use.ON_DEMAND if made < gone * pace else Use.WAIT

    return decide


def ours(tuning: Tuning = TUNED) -> Policy:
    """compiler/policy/deadline.py, with what it has seen."""

    def begin(job: Job) -> Callable[[Now], Use]:
        seen = Seen()

        def decide(now: Now) -> Use:
            nonlocal seen
            seen = seen.add(now.spot)
            return choose(job, now, seen, tuning)

        return decide

    return begin


def bound(job: Job, prices: Sequence[Sequence[float | None]]) -> float:
    """USD that nobody can stay below who must do the work in time, knowing all: `prices[place][step]` is the spot
    price, None where there is none.

    The work is priced (a Lagrange multiplier) and the cheapest path through the steps is found for each such price; the
    largest of the bounds is returned. It is a bound, at most a step's cost below what can be reached.
    """
    steps = int(job.deadline_h / job.step_h + SMALL)
    low, high, best = 0.0, 2 * job.on_demand, 0.0
    for _ in range(16):
        price = (low + high) / 2
        value, progress = _path(job, prices, steps, price)
        best = max(best, value + price * job.work_h)
        low, high = (low, price) if progress >= job.work_h else (price, high)
    return best


def _path(
    job: Job, prices: Sequence[Sequence[float | None]], steps: int, worth: float
) -> tuple[float, float]:
    """(cost less `worth` per hour of progress, progress) of the best path; its states: waiting, on-demand, places."""
    tick, late = job.step_h, job.overhead_h
    states: list[tuple[float, float]] = [(0.0, 0.0)] + [(math.inf, 0.0)] * (len(prices) + 1)
    paid = job.on_demand * tick - worth * tick
    for step in range(steps):
        best = min(states)
        begun = best[0] + worth * late
        at = states[1]
        after = [
            best,
            (at[0] + paid, at[1] + tick) if at[0] <= begun else (begun + paid, best[1] + tick - late),
        ]
        for place, row in enumerate(prices, 2):
            price = row[step]
            if price is None:
                after.append((math.inf, 0.0))
                continue
            at, cost = states[place], price * tick - worth * tick
            stays = at[0] <= begun
            after.append((at[0] + cost, at[1] + tick) if stays else (begun + cost, best[1] + tick - late))
        states = after
    return min(states)
