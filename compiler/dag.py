"""Tasks that hand data on, or run together, into one plan: the places whose cost is least for all of them.

What moves between two tasks costs by the cloud and region of both, and by nothing else. So of all machines in one
region only the best can stand in the best plan, and the choice is one region for each task. A task whose own cost
in a region is above its cheapest by more than a known plan costs above the sum of the cheapest is not tried there:
moving data is never paid back. What is left is solved exactly by compiler.assignment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compiler import search, unfit
from compiler.assignment import least
from compiler.catalog import tariffs
from compiler.cost import Data, cloud_of
from compiler.plan import PLACEMENTS_WRITTEN, Plan
from compiler.problem import Problem, Problems
from compiler.search import Judged, Location
from compiler.task import Task

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Transfer:
    """`gb` that every node of task `then` reads from where task `first` ran; `cost` is USD for all of them."""

    first: int
    then: int
    gb: float
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class DagPlan:
    """A Plan for each task, the chosen placement of which is the one that is best for all together.

    `edges` are (first, then) by number of task, `transfers` those that move data and what that costs in USD.
    `together`: the tasks run at the same time, in one region. `apart` is what it would cost if each task ran where
    it is cheapest alone.
    """

    name: str
    plans: tuple[Plan, ...]
    edges: tuple[tuple[int, int], ...] = ()
    transfers: tuple[Transfer, ...] = ()
    together: bool = False
    apart: float = 0.0

    @property
    def total(self) -> float:
        """USD for all tasks and what moves between them."""
        return round(
            sum(plan.chosen.total for plan in self.plans) + sum(one.cost for one in self.transfers), 6
        )

    @property
    def moved(self) -> float:
        """USD for what moves between tasks."""
        return round(sum(one.cost for one in self.transfers), 6)

    def to_data(self, most: int = PLACEMENTS_WRITTEN) -> dict[str, Any]:
        """Plain data; tasks are called by the names of their plans, which differ."""
        names = [plan.name for plan in self.plans]
        return {
            "name": self.name,
            "together": self.together,
            "total": self.total,
            "transfer_total": self.moved,
            "each_alone_total": self.apart,
            "tasks": [plan.to_data(most) for plan in self.plans],
            "edges": [[names[first], names[then]] for first, then in self.edges],
            "transfers": [
                {"from": names[one.first], "to": names[one.then], "gb": one.gb, "cost": round(one.cost, 6)}
                for one in self.transfers
            ],
        }


Judge = Callable[[Task, str, Sequence[Data]], Judged]
"""Judges all offers for a task of that name, which reads some data besides its own inputs: compiler.search.judge."""


def plan(
    tasks: Sequence[Task],
    edges: Iterable[tuple[int, int]],
    *,
    name: str,
    names: Sequence[str],
    judge: Judge,
    together: bool = False,
) -> DagPlan:
    """The cheapest placements of tasks joined by `edges` (first, then); with `together` all in one region. `names`
    are those of the tasks' plans.

    Raises Problems plan/no-offer for each task that nothing fits, plan/no-common-place.
    """
    edges = tuple(edges)
    transfers, reads = _moved(tasks, edges)
    found = [judge(task, called, data) for task, called, data in zip(tasks, names, reads, strict=True)]
    plans = [search.planned(one, compare=False) for one in found]
    wrong = [
        unfit.no_offer(task, made) for task, made in zip(tasks, plans, strict=True) if not made.placements
    ]
    if wrong:
        raise Problems(wrong)
    alone = [search.location(made.chosen.offer) for made in plans]
    pairs = {(one.first, one.then): one.gb * tasks[one.then].num_nodes for one in transfers}
    apart = sum(made.chosen.total for made in plans) + _egress(pairs, alone)
    if together:
        chosen = _common(found, name)
    elif apart - sum(made.chosen.total for made in plans) < _ROUNDING:
        chosen = alone
    else:
        chosen = _cheapest(found, plans, pairs, apart)
    settled = [
        made if where == at else search.moved(one, made, where)
        for one, made, where, at in zip(found, plans, chosen, alone, strict=True)
    ]
    priced = [
        replace(one, cost=_egress({(one.first, one.then): pairs[one.first, one.then]}, chosen))
        for one in transfers
    ]
    return DagPlan(name, tuple(settled), edges, tuple(priced), together, round(apart, 6))


def _moved(
    tasks: Sequence[Task], edges: Sequence[tuple[int, int]]
) -> tuple[tuple[Transfer, ...], list[tuple[Data, ...]]]:
    """What moves along the edges, and what each task reads besides its own inputs.

    That is what the task before writes. In a bucket it lies in the bucket's cloud, elsewhere where that task ran.
    Inputs of unknown place come from the one task before, when that one does not say what it writes.
    """
    transfers: list[Transfer] = []
    reads: list[list[Data]] = [[] for _ in tasks]
    for first, then in dict.fromkeys(edges):
        written, read = tasks[first].outputs, tasks[then].inputs
        if written is None and read is not None and cloud_of(read.uri) is None:
            only = sum(1 for _, other in edges if other == then) == 1
            written = read if only else None
        if written is None or written.gb <= 0:
            continue
        bucket = cloud_of(written.uri)
        if bucket is None:
            transfers.append(Transfer(first, then, written.gb))
            # The way is counted with the transfer, the time that the nodes wait for it with the task.
            reads[then].append(Data("", None, written.gb))
        elif read is None or read.uri != written.uri:
            reads[then].append(Data(bucket, None, written.gb))
    return tuple(transfers), [tuple(one) for one in reads]


def _egress(pairs: Mapping[tuple[int, int], float], chosen: Sequence[Location]) -> float:
    return sum(tariffs.egress(gb, chosen[first], chosen[then]) for (first, then), gb in pairs.items())


def _common(found: Sequence[Judged], name: str) -> list[Location]:
    """The one location where all tasks together are cheapest. Raises Problems plan/no-common-place."""
    owns = [search.spread(one) for one in found]
    common = set(owns[0]).intersection(*owns[1:])
    if not common:
        says = f"no region has offers for all tasks of `{name}`, which run together"
        hint = "see `explain` of each task alone, or leave out `execution: parallel`"
        raise Problems(Problem("plan/no-common-place", says, hint=hint))
    best = min(common, key=lambda where: (sum(own[where] for own in owns), _named(where)))
    return [best] * len(found)


def _cheapest(
    found: Sequence[Judged], plans: Sequence[Plan], pairs: Mapping[tuple[int, int], float], apart: float
) -> list[Location]:
    """The locations of which tasks and transfers together cost least."""
    known = min(apart, _together(plans), _improved(plans, pairs))
    spare = known - sum(made.chosen.total for made in plans) + _ROUNDING
    owns = [
        sorted(
            search.spread(one, made.chosen.total + spare).items(), key=lambda item: (item[1], _named(item[0]))
        )
        for one, made in zip(found, plans, strict=True)
    ]
    tables = {
        (first, then): _table(gb, [where for where, _ in owns[first]], [where for where, _ in owns[then]])
        for (first, then), gb in pairs.items()
    }
    chosen = least([[cost for _, cost in own] for own in owns], tables, known + _ROUNDING)
    return [own[number][0] for own, number in zip(owns, chosen, strict=True)]


def _table(gb: float, sources: Sequence[Location], targets: Sequence[Location]) -> list[list[float]]:
    """USD by source and target. To all other clouds the way costs the same."""
    rows = []
    for source in sources:
        out = tariffs.egress(gb, source, ("", None))
        rows.append(
            [out if target[0] != source[0] else tariffs.egress(gb, source, target) for target in targets]
        )
    return rows


def _seen(made: Plan) -> dict[Location, float]:
    """Locations among the best placements, with the least cost in each."""
    found: dict[Location, float] = {}
    for one in made.placements:
        if one.turn == made.chosen.turn and bool(one.larger) == bool(made.chosen.larger):
            found.setdefault(search.location(one.offer), one.total)
    return found


def _together(plans: Sequence[Plan]) -> float:
    """The least cost of all tasks in one location, among those that are known to be good."""
    seen = [_seen(made) for made in plans]
    common = set(seen[0]).intersection(*seen[1:])
    return min((sum(own[where] for own in seen) for where in common), default=math.inf)


def _improved(plans: Sequence[Plan], pairs: Mapping[tuple[int, int], float]) -> float:
    """The cost after each task in turn went where it is cheapest beside the others, until none does."""
    seen = [_seen(made) for made in plans]
    chosen = [next(iter(own)) for own in seen]
    best = math.inf
    while True:
        for number, own in enumerate(seen):
            met = {pair: gb for pair, gb in pairs.items() if number in pair}
            costs = {
                where: cost + _egress(met, [*chosen[:number], where, *chosen[number + 1 :]])
                for where, cost in own.items()
            }
            chosen[number] = min(costs, key=costs.__getitem__)
        total = sum(own[where] for own, where in zip(seen, chosen, strict=True)) + _egress(pairs, chosen)
        if total >= best - _ROUNDING:
            return min(best, total)
        best = total


def _named(where: Location) -> tuple[str, str]:
    return where[0], where[1] or ""
