"""What `explain` says of several tasks: where each runs, what moves between them, and what all of it costs."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.dag import DagPlan
from compiler.explain import NOTHING, Line, parts
from compiler.words import gigabytes, money, span


def lines(made: DagPlan) -> tuple[Line, ...]:
    """A head, a row for each task with its cost by part, a row for each transfer, and the total with its parts."""
    return (*_head(made), *_tasks(made), *_transfers(made), *_total(made))


def _head(made: DagPlan) -> Iterator[Line]:
    count = f"{len(made.plans)} tasks"
    if made.together:
        order = "together in one region"
    elif made.edges == tuple((one, one + 1) for one in range(len(made.plans) - 1)):
        order = "one after the other"
    else:
        order = f"with {len(made.edges)} that wait for another" if made.edges else "each by itself"
    yield Line(f"{made.name} · {count} {order} · {_cost(made.total)} in all")
    yield Line("")


def _tasks(made: DagPlan) -> Iterator[Line]:
    rows = []
    for plan in made.plans:
        one = plan.chosen
        nodes = f" × {one.nodes}" if one.nodes > 1 else ""
        price = "free" if one.free else f"{money(one.offer.price)}/h{nodes}"
        hours = span(plan.estimate.hours * 3600)
        where = f"{one.offer.where} {one.offer.instance_type}"
        larger = f"   larger than asked: {one.larger}" if one.larger else ""
        row = (plan.name, where, one.offer.market.value, price, hours, _cost(one.total))
        rows.append((row, larger))
    wide = [max(len(row[column]) for row, _ in rows) for column in range(6)]
    for (row, larger), plan in zip(rows, made.plans, strict=True):
        left = "  ".join(f"{cell:<{wide[column]}}" for column, cell in enumerate(row[:5]))
        yield Line(f"▶ {left}  {row[5]:>{wide[5]}}{larger}", "chosen")
        if plan.chosen.total:
            yield Line(f"  {parts(plan.chosen.cost)}", "grey")


def _transfers(made: DagPlan) -> Iterator[Line]:
    for one in made.transfers:
        first, then = made.plans[one.first], made.plans[one.then]
        here, there = first.chosen.offer, then.chosen.offer
        near = (here.cloud, here.region) == (there.cloud, there.region)
        place = "in one region" if near else f"{here.where} → {there.where}"
        nodes = f" to {then.chosen.nodes} nodes" if then.chosen.nodes > 1 else ""
        text = f"  {first.name} → {then.name}: {gigabytes(one.gb)}{nodes}, {_cost(one.cost)}   {place}"
        yield Line(text, "grey")


def _total(made: DagPlan) -> Iterator[Line]:
    tasks = made.total - made.moved
    yield Line("")
    yield Line(f"total {_cost(made.total)}: tasks {_cost(tasks)} · transfers {_cost(made.moved)}")
    more = made.apart - made.total
    if more > NOTHING:
        text = (
            f"  each where it is cheapest alone: {money(made.apart)}, dearer by {money(more)} for transfers"
        )
        yield Line(text, "grey")
    elif made.together and -more > NOTHING:
        text = f"  in one region, as a group runs; each where it is cheapest alone: {money(made.apart)}"
        yield Line(text, "grey")
    dates = dict.fromkeys(plan.catalog for plan in made.plans if plan.catalog)
    if dates:
        yield Line(f"  catalog {', '.join(dates)} · not counted: traffic your own code causes", "grey")


def _cost(amount: float) -> str:
    return money(amount)
