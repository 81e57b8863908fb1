"""What `explain` says: the funnel from all offers to the chosen one, as styled lines and as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from compiler.offer import Market, Offer
from compiler.plan import Placement, Plan
from compiler.task import Requirements, Task
from compiler.words import gigabytes, money, span

Style = Literal["chosen", "grey", "plain"]

ALTERNATIVES = 3
"""Rows shown below the chosen one."""

DEFAULT_STAY_S = 600
"""How long nodes stay after the last run when the task says nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line without colour codes; `style` is what a terminal may do with it."""

    text: str
    style: Style = "plain"


def lines(task: Task, plan: Plan) -> tuple[Line, ...]:
    """Head, funnel, the chosen row, some alternatives, and how many are left out.

    A plan without placements gives head and funnel; `search.no_offer` says the rest.
    """
    found = [Line(_head(task, plan)), Line("")]
    found.extend(_funnel(plan))
    if plan.placements:
        found.append(Line(""))
        found.extend(_rows(task, plan))
        found.extend(Line(text, "grey") for text in _remarks(task, plan.chosen))
    return tuple(found)


def to_data(plan: Plan) -> dict[str, Any]:
    """The same facts for `--json`."""
    return plan.to_data()


def _head(task: Task, plan: Plan) -> str:
    nodes = f"{task.num_nodes} node" + ("s" if task.num_nodes != 1 else "")
    asked = _asked(task.requirements)
    market = "spot" if task.requirements.use_spot else "on-demand"
    return " · ".join((plan.name, f"{nodes} × {asked}" if asked else nodes, market))


def _asked(wanted: Requirements) -> str:
    parts = []
    if wanted.accelerator:
        parts.append(f"{wanted.accelerator.count:g} {wanted.accelerator.name}")
    if wanted.cpus:
        parts.append(f"{wanted.cpus} vCPU")
    if wanted.memory_gb:
        parts.append(gigabytes(wanted.memory_gb.value) + ("+" if wanted.memory_gb.at_least else ""))
    return ", ".join(parts)


def _funnel(plan: Plan) -> Iterator[Line]:
    yield Line(f"{plan.offers:,} offer{'' if plan.offers == 1 else 's'}", "grey")
    before = plan.offers
    shown = []
    for step in plan.steps:
        if step.left != before or (step.by != "rank" and step.asks):
            shown.append((f"{step.left:>8,}", step.says, step.by))
        if not step.left:
            break
        before = step.left
    wide = max((len(says) for _, says, _ in shown), default=0)
    for left, says, by in shown:
        yield Line(f"{left}  {says:<{wide}}   {by}", "grey")


def _rows(task: Task, plan: Plan) -> Iterator[Line]:
    placements = plan.placements[: ALTERNATIVES + 1]
    names = [f"{one.offer.where} {one.offer.instance_type}" for one in placements]
    wide = max(len(name) for name in names)
    markets = [one.offer.market.value for one in placements]
    sold = max(len(market) for market in markets)
    prices = [_hourly(one) for one in placements]
    for index, one in enumerate(placements):
        mark = "▶" if index == 0 else " "
        dearer = "   dearer" if one.hourly > plan.chosen.hourly else "   same price" if index else ""
        size = "" if index else _size(one.offer)
        text = f"{mark} {names[index]:<{wide}}  {markets[index]:<{sold}}  {prices[index]}{size}{dearer}"
        yield Line(text, "grey" if index else "chosen")
    more = len(plan.placements) - len(placements)
    if more:
        last = plan.placements[-1]
        yield Line(f"  … {more:,} more" + ("" if last.free else f", up to {money(last.hourly)}/h"), "grey")


def _hourly(one: Placement) -> str:
    if one.free:
        return "free"
    each = f"{money(one.offer.price)}/h"
    return each if one.nodes == 1 else f"{each} × {one.nodes} = {money(one.hourly)}/h"


def _size(offer: Offer) -> str:
    parts = [f"{offer.cpus:g} vCPU", gigabytes(offer.memory_gb)]
    if offer.accelerator:
        parts.insert(0, f"{offer.accelerator.count:g} × {offer.accelerator.name}")
    return f"   ({', '.join(parts)})"


def _remarks(task: Task, chosen: Placement) -> Iterator[str]:
    larger = _larger(task.requirements, chosen.offer)
    if larger:
        yield f"  the nearest machine is larger: {larger}"
    if chosen.offer.market is Market.SPOT:
        kept = f"{task.checkpoint} is kept" if task.checkpoint else "nothing is kept (no `checkpoint`)"
        yield f"  a node that is taken away is replaced and the task starts again; {kept}"
    autostop = task.requirements.autostop
    idle = DEFAULT_STAY_S if autostop is None else autostop.idle_s
    if idle is None:
        yield "  after the last run the nodes stay until `down`"
    else:
        yield f"  after the last run the nodes stay for {span(idle)}"


def _larger(wanted: Requirements, offer: Offer) -> str:
    """Where the machine has more than was asked for exactly."""
    parts = []
    if wanted.accelerator and offer.accelerator and offer.accelerator.count > wanted.accelerator.count:
        name = wanted.accelerator.name
        parts.append(f"{offer.accelerator.count:g} × {name}, asked {wanted.accelerator.count:g}")
    if wanted.cpus and not wanted.cpus.at_least and offer.cpus > wanted.cpus.value:
        parts.append(f"{offer.cpus:g} vCPU, asked {wanted.cpus.value:g}")
    if wanted.memory_gb and not wanted.memory_gb.at_least and offer.memory_gb > wanted.memory_gb.value:
        parts.append(f"{gigabytes(offer.memory_gb)}, asked {gigabytes(wanted.memory_gb.value)}")
    return "; ".join(parts)
