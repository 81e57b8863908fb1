"""One choice for each of several things, so that what each costs and what each pair costs is least in all: exact.

Things that meet at most two others are taken out one at a time: whatever these choose, the best answer to it is
known, and its cost becomes a cost of theirs. Chains, trees and what is made of diamonds end so, each step with the
same least cost as before. A core in which everything meets three others or more is searched depth first, with the
least that the rest can cost as the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

Table = Sequence[Sequence[float]]
"""USD by the choice of one thing, then that of the other; never negative."""


def least(
    own: Sequence[Sequence[float]], pairs: Mapping[tuple[int, int], Table], most: float = math.inf
) -> tuple[int, ...]:
    """The index of the choice for each thing. `own[thing][choice]` is what a choice costs, `pairs[one, other]` what
    two choices cost together; `most` is more than the least of all, where that is known. Equal arguments give
    equal answers."""
    costs = [list(one) for one in own]
    meets: list[dict[int, Table]] = [{} for _ in own]
    for (one, other), table in pairs.items():
        _join(meets, one, other, table)
    taken: list[tuple[int, dict[int, Table]]] = []
    rest = set(range(len(own)))
    while rest:
        thing = min(rest, key=lambda one: (len(meets[one]), one))
        if len(meets[thing]) > 2:
            break
        rest.remove(thing)
        taken.append((thing, _taken_out(thing, costs, meets)))
    chosen = _searched(sorted(rest), costs, meets, most) if rest else {}
    for thing, others in reversed(taken):
        answers = costs[thing]
        for other, table in others.items():
            answers = list(map(add, answers, table[chosen[other]]))
        chosen[thing] = answers.index(min(answers))
    return tuple(chosen[thing] for thing in range(len(own)))


def _join(meets: list[dict[int, Table]], one: int, other: int, table: Table) -> None:
    """Add a table between two things; each side holds it with its own choices second."""
    there = meets[other].get(one)
    if there is not None:
        table = [list(map(add, row, more)) for row, more in zip(table, meets[other][one], strict=True)]
    meets[other][one] = table
    meets[one][other] = [list(column) for column in zip(*table, strict=True)]


def _taken_out(thing: int, costs: list[list[float]], meets: list[dict[int, Table]]) -> dict[int, Table]:
    """Put the least cost of a thing on those that it meets; by them, tables with its own choices second."""
    others = meets[thing]
    meets[thing] = {}
    for other in others:
        del meets[other][thing]
    if len(others) == 1:
        ((other, table),) = others.items()
        answers = (min(map(add, row, costs[thing])) for row in table)
        costs[other] = list(map(add, costs[other], answers))
    elif len(others) == 2:
        (one, first), (other, second) = others.items()
        begun = [list(map(add, row, costs[thing])) for row in first]
        _join(meets, one, other, [[min(map(add, row, last)) for last in second] for row in begun])
    return others


Open = dict[int, dict[int, float]]
"""Things without a choice yet: what each of their choices costs beside the choices that were made."""


@dataclass(slots=True)
class _Best:
    total: float
    chosen: dict[int, int] = field(default_factory=dict)


def _searched(
    things: list[int], costs: list[list[float]], meets: list[dict[int, Table]], most: float
) -> dict[int, int]:
    """The best choice for each of a core."""
    best = _Best(most)
    left = {one: dict(enumerate(costs[one])) for one in things}
    size = -1
    while size != (size := sum(map(len, left.values()))):
        for one in things:
            for other in meets[one]:
                _shifted(one, other, left, meets)
        left = _possible(left, 0.0, best.total)
    _deeper(left, 0.0, {}, meets, best)
    return best.chosen


def _shifted(one: int, other: int, left: Open, meets: list[dict[int, Table]]) -> None:
    """Put what a choice of `one` costs with every choice of `other` on the choice itself: sums stay the same, and
    the least of each thing says more."""
    answers = left[other]
    table = [list(row) for row in meets[other][one]]
    for choice in left[one]:
        always = min(table[choice][answer] for answer in answers)
        if always:
            left[one][choice] += always
            table[choice] = [cost - always for cost in table[choice]]
    meets[other][one] = table
    meets[one][other] = [list(column) for column in zip(*table, strict=True)]


def _possible(left: Open, spent: float, most: float) -> Open:
    """Without the choices that are too dear whatever the other things choose."""
    rest = {one: min(answers.values(), default=math.inf) for one, answers in left.items()}
    room = most - spent - sum(rest.values())
    return {
        one: {choice: cost for choice, cost in answers.items() if cost - rest[one] < room}
        for one, answers in left.items()
    }


def _deeper(
    left: Open, spent: float, chosen: dict[int, int], meets: list[dict[int, Table]], best: _Best
) -> None:
    """Try the choices of the thing that has fewest, cheapest first, while the rest could still make it the best."""
    if not left:
        best.total, best.chosen = spent, chosen
        return
    thing = min(left, key=lambda one: (len(left[one]), one))
    answers = sorted(left[thing].items(), key=lambda item: item[1])
    rest = sum(min(left[one].values(), default=math.inf) for one in left if one != thing)
    for choice, cost in answers:
        if spent + cost + rest >= best.total:
            break
        after: Open = {}
        for one, costs in left.items():
            if one != thing and thing in meets[one]:
                row = meets[one][thing][choice]
                after[one] = {other: cost + row[other] for other, cost in costs.items()}
            elif one != thing:
                after[one] = costs
        after = _possible(after, spent + cost, best.total)
        if all(after.values()):
            _deeper(after, spent + cost, {**chosen, thing: choice}, meets, best)
