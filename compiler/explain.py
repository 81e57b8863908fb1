"""What `explain` says: the funnel from all offers to the chosen one, as styled lines and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from compiler import sharing
from compiler.cost import DISK_GB, Cost, soonest_h
from compiler.lower import GANG_DEADMAN_S, SINGLE_DEADMAN_S
from compiler.offer import Market, Offer
from compiler.plan import Placement, Plan
from compiler.task import Requirements, Task
from compiler.words import asked, gigabytes, money, span

Style = Literal["chosen", "grey", "plain"]

ALTERNATIVES = 10
"""Rows shown below the chosen one."""

DEFAULT_STAY_S = 600
"""How long nodes stay after the last run when the task says nothing."""

LEFT_ALONE = {
    "aws": "are terminated",
    "gcp": "stop: then only their disks cost",
    "azure": "are deallocated: then only their disks and addresses cost",
    "kubernetes": "end with their Job",
}
"""What nodes do when control has been silent for too long."""

NOTHING = 0.0005
"""USD that nobody calls dearer."""

_A_SECOND = 1 / 3600

PARTS = {
    "compute": "compute",
    "start": "start and setup",
    "reruns": "losses",
    "disk": "disk",
    "address": "IPv4",
    "transfer": "transfer",
    "unease": "failed lately",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line without colour codes; `style` is what a terminal may do with it."""

    text: str
    style: Style = "plain"


def lines(task: Task, plan: Plan) -> tuple[Line, ...]:
    """Head, funnel, the chosen row, some alternatives, and how many are left out.

    A plan without placements gives head and funnel; `unfit.no_offer` says the rest.
    """
    found = [Line(_head(task, plan)), Line("")]
    found.extend(_funnel(plan))
    if plan.placements:
        found.append(Line(""))
        found.extend(_rows(plan))
        found.extend(Line(text, "grey") for text in _remarks(task, plan))
    return tuple(found)


def to_data(plan: Plan) -> dict[str, Any]:
    """The same facts for `--json`."""
    return plan.to_data()


def _head(task: Task, plan: Plan) -> str:
    nodes = f"{task.num_nodes} node" + ("s" if task.num_nodes != 1 else "")
    wanted = plan.requirements
    sizes = asked(wanted).split(" · ") if wanted.accelerator or wanted.cpus or wanted.memory_gb else []
    size = next((part for part in sizes if part[:1].isdigit()), "")
    market = "spot" if wanted.use_spot else "on-demand"
    parts = [plan.name, f"{nodes} × {size}" if size else nodes, market]
    if plan.placements and not plan.chosen.free:
        hours = span(plan.estimate.hours * 3600)
        until = plan.estimate.assumed and plan.estimate.deadline_h is not None
        assumed = f"reckoned for {hours}, its deadline" if until else f"reckoned for {hours}"
        parts.append(assumed if plan.estimate.assumed else f"about {hours}")
    return " · ".join(parts)


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
    yield from _others(plan)


def _others(plan: Plan) -> Iterator[Line]:
    """What became of the other alternatives; those that nobody sells are counted."""
    there = [one for one in plan.others if one.best]
    for other in there[:ALTERNATIVES]:
        assert other.best
        yield Line(f"{other.fitting:>8,}  or {other.asks}, from {_price(other.best)}", "grey")
    left = len(there) - ALTERNATIVES
    if left > 0:
        yield Line(f"          and {left} more alternatives that can be had", "grey")
    none = len(plan.others) - len(there)
    if none:
        yield Line(f"          {none} other alternative{'s' if none > 1 else ''} that nothing fits", "grey")


@dataclass(frozen=True, slots=True)
class Row:
    """Placements that differ in their zone only, by the best of them."""

    best: Placement
    zones: int

    @property
    def where(self) -> str:
        more = f" +{self.zones - 1} zone{'s' if self.zones > 2 else ''}" if self.zones > 1 else ""
        return f"{self.best.offer.where}{more} {self.best.offer.instance_type}"


def rows(placements: Sequence[Placement]) -> tuple[Row, ...]:
    """The placements with zones of one price put together, in their order."""
    found: dict[tuple[object, ...], Row] = {}
    for one in placements:
        offer = one.offer
        key: tuple[object, ...] = (
            offer.cloud,
            offer.reserved,
            offer.listed,
            offer.region,
            offer.instance_type,
            offer.market,
            one.total,
            one.larger,
        )
        if offer.zone is None:
            key = (*key, len(found))
        there = found.get(key)
        found[key] = Row(there.best, there.zones + 1) if there else Row(one, 1)
    return tuple(found.values())


def _rows(plan: Plan) -> Iterator[Line]:
    all_rows = rows(plan.placements)
    shown = all_rows[: ALTERNATIVES + 1]
    wide = max(len(row.where) for row in shown)
    markets = max(len(row.best.offer.market.value) for row in shown)
    prices = [_price(row.best) for row in shown]
    priced = max(len(price) for price in prices)
    totals = [money(row.best.total) if row.best.total else "" for row in shown]
    counted = max(len(total) for total in totals)
    for index, row in enumerate(shown):
        one = row.best
        mark, market = "▶" if index == 0 else " ", one.offer.market.value
        text = f"{mark} {row.where:<{wide}}  {market:<{markets}}  {prices[index]:<{priced}}"
        if counted:
            text += f"  {totals[index]:>{counted}}"
        said = _why(one, plan.chosen) if index else f"({_size(one.offer)})"
        said = ", ".join(part for part in (said, _yours(one)) if part)
        yield Line(f"{text}   {said}".rstrip(), "grey" if index else "chosen")
        if index == 0 and one.total:
            yield Line(f"  {parts(one.cost)}")
    more = plan.possible - sum(row.zones for row in shown)
    if more > 0:
        dearest = f", up to {money(plan.dearest)}/h" if plan.dearest else ""
        yield Line(f"  … {more:,} more{dearest}", "grey")


def _price(one: Placement) -> str:
    if one.free:
        return "reserved" if one.offer.reserved else "free"
    each = f"{money(one.offer.price)}/h"
    paid = one.offer.paid(one.nodes)
    return each if one.nodes == 1 else f"{each} × {paid} = {money(one.hourly)}/h"


def _yours(one: Placement) -> str:
    """What of the price is not the list's."""
    parts, offer = [], one.offer
    if offer.reserved:
        parts.append(f"{min(offer.reserved, one.nodes)} of {one.nodes} reserved")
    if offer.listed is not None:
        parts.append(f"your price, listed {money(offer.listed)}/h")
    return ", ".join(parts)


def _size(offer: Offer) -> str:
    parts = [f"{offer.cpus:g} vCPU", gigabytes(offer.memory_gb)]
    if offer.accelerator:
        parts.insert(0, f"{offer.accelerator.count:g} × {offer.accelerator.name}")
    return ", ".join(parts)


def parts(cost: Cost) -> str:
    """Where the money goes, in all and by part."""
    parts = [f"{says} {money(getattr(cost, name))}" for name, says in PARTS.items() if getattr(cost, name)]
    return f"{money(cost.total)} for the run: {' · '.join(parts)}"


def _why(one: Placement, chosen: Placement) -> str:
    """Why this one is not the first, in a few words."""
    if one.larger and not chosen.larger:
        return f"larger than asked: {one.larger}"
    if one.turn > chosen.turn:
        return f"asked for later: {asked(one.requirements or Requirements())}"
    if one.hours > chosen.hours + _A_SECOND:
        return f"slower by {span((one.hours - chosen.hours) * 3600)}"
    more = round(one.total - chosen.total, 6)
    if more < NOTHING:
        return "same cost" if one.total else "same price"
    grown = {name: getattr(one.cost, name) - getattr(chosen.cost, name) for name in PARTS}
    worst = max(grown, key=lambda name: grown[name])
    why = "" if worst == "compute" else f" by {PARTS[worst]}"
    return f"dearer by {money(more)}{why}"


def _remarks(task: Task, plan: Plan) -> Iterator[str]:
    chosen = plan.chosen
    if chosen.larger:
        yield f"  larger than asked: nothing exact is for sale there ({chosen.larger})"
    if chosen.isolation:
        yield f"  isolation: {_isolation(chosen)}"
    if plan.elsewise:
        other = plan.elsewise
        yield f"  {other.offer.market.value}: from {_price(other)} ({other.offer.where})"
    if chosen.offer.market is Market.SPOT:
        kept = f"{task.checkpoint} is kept" if task.checkpoint else "nothing is kept (no `checkpoint`)"
        yield f"  a node that is taken away is replaced and the task starts again; {kept}"
    autostop = plan.requirements.autostop
    idle = DEFAULT_STAY_S if autostop is None else autostop.idle_s
    if idle is None:
        yield "  after the last run the nodes stay until `down`"
    else:
        yield f"  after the last run the nodes stay for {span(idle)}"
    ending = LEFT_ALONE.get(chosen.offer.cloud)
    if ending or not chosen.free:
        silent = span(GANG_DEADMAN_S if chosen.nodes > 1 else SINGLE_DEADMAN_S)
        yield f"  left alone (control's machine sleeps) for {silent}, nodes save and {ending or 'end'}"
    if chosen.hours:
        yield f"  it takes {span(chosen.hours * 3600)}, start and expected losses with it"
    yield from _limits(task, plan)
    if not chosen.free:
        yield from _basis(plan)


def _isolation(one: Placement) -> str:
    found, card = one.isolation, one.offer.accelerator
    assert found
    assert card
    many = f"{found.fit} on each {card.name}, " if found.fit > 1 else ""
    sold = "sold as a part, " if card.count < 1 else ""
    return f"{found} ({many}{sold}{sharing.SAYS[found.kind]}); the whole machine is paid"


def _limits(task: Task, plan: Plan) -> Iterator[str]:
    """How near the choice comes to the deadline and the budget."""
    estimate, chosen = plan.estimate, plan.chosen
    if estimate.deadline_h is not None and not estimate.assumed:
        done_h = soonest_h(chosen.offer.cloud, estimate)
        left = span((estimate.deadline_h - done_h) * 3600)
        spot = " when nothing is lost" if chosen.offer.market is Market.SPOT else ""
        yield f"  done after {span(done_h * 3600)}{spot}, {left} before its deadline"
    if task.budget is not None and chosen.total:
        yield f"  of its budget of {money(task.budget)} it takes {chosen.total / task.budget:.0%}"


def _basis(plan: Plan) -> Iterator[str]:
    """What the reckoning rests on."""
    assumed = []
    if plan.estimate.assumed:
        until = " until its deadline" if plan.estimate.deadline_h is not None else ""
        assumed.append(f"it runs {span(plan.estimate.hours * 3600)}{until}")
    if plan.chosen.cost.disk and plan.estimate.disk_gb is None:
        assumed.append(f"{DISK_GB:g} GB of disk")
    for data in plan.estimate.data:
        if data.assumed:
            assumed.append(f"{data.gb:g} GB in the bucket on {data.cloud}")
    if assumed:
        yield f"  assumed: {', '.join(assumed)}"
    pinned = f" pinned by catalog.lock ({plan.pinned[:12]})" if plan.pinned else ""
    catalog = f"catalog {plan.catalog}{pinned} · " if plan.catalog else ""
    said = f"prices: {plan.chosen.offer.source} · " if plan.chosen.offer.source else ""
    yield f"  {catalog}{said}not counted: traffic your own code causes"
