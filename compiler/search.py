"""From a Task and offers to a Plan: runs the passes, counts after each, and explains when nothing is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from compiler.offer import Accelerator, Market, Offer
from compiler.passes import PASSES
from compiler.plan import Envelope, Placement, Plan, Rejection, Relaxation, Step
from compiler.problem import Place, Problem
from compiler.quantity import Quantity
from compiler.searching import Search
from compiler.task import Task
from compiler.words import money

HEADROOM = 1.2
"""Recovery may pay this many times the chosen price without asking again."""

PLACEMENTS_APPROVED = 20
"""Most places that one approval covers."""


def plan(
    task: Task,
    offers: Iterable[Offer],
    *,
    name: str,
    enabled: Collection[str],
    avoid: Collection[str] = (),
) -> Plan:
    """Every offer judged, the rest ranked. `avoid` holds `Offer.where` of places to stay away from."""
    search = Search(
        requirements=task.requirements,
        nodes=task.num_nodes,
        enabled=frozenset(enabled),
        avoided=frozenset(avoid),
        left=tuple(offers),
    )
    done, steps = run(search)
    placements = tuple(
        Placement(offer, search.nodes, _price(offer.price * search.nodes)) for offer in done.left
    )
    return Plan(
        name=name,
        offers=len(search.left),
        steps=steps,
        placements=placements,
        rejections=tuple(Rejection(by, reason, count) for by, reason, count in done.rejected),
        relaxations=() if placements else _relaxations(task, search),
        envelope=_envelope(placements) if placements else None,
    )


def run(search: Search) -> tuple[Search, tuple[Step, ...]]:
    """All passes in order, with what each left."""
    steps = []
    for by, apply in PASSES:
        search = apply(search)
        steps.append(Step(by, len(search.left), search.says, search.asks))
    return search, tuple(steps)


def no_offer(task: Task, plan: Plan) -> Problem:
    """Why nothing fits, counted by reason, and the nearest one-line changes that would help."""
    wide = max((len(str(rejection.count)) for rejection in plan.rejections), default=1)
    lines = [f"no offer can run `{plan.name}`"]
    if not plan.offers:
        lines.append("  the enabled clouds sell nothing; `skywright check` tells why")
    said = max((len(rejection.reason) for rejection in plan.rejections), default=0)
    for rejection in plan.rejections:
        lines.append(f"  {rejection.count:>{wide}}  {rejection.reason:<{said}}   {rejection.by}")
    nearest = [f"{one.change} → {_offered(one.offer, task.num_nodes)}" for one in plan.relaxations]
    emptied = next((step.by for step in plan.steps if not step.left), "fit")
    return Problem(
        "plan/no-offer",
        "\n".join(lines),
        _place(task, emptied),
        "nearest: " + "\n         ".join(nearest) if nearest else None,
    )


def _place(task: Task, by: str) -> Place | None:
    fields = {
        "reach": ("infra", "cloud", "region", "zone"),
        "fit": ("accelerators", "cpus", "memory", "disk_size"),
        "market": ("use_spot",),
    }.get(by, ())
    for field in fields:
        if task.source and task.source.place(("resources", field)):
            return task.place("resources", field)
    return task.place("resources", key=True)


def _offered(offer: Offer, nodes: int) -> str:
    price = money(offer.price) + ("/h" if offer.price else "")
    each = f" × {nodes}" if nodes > 1 and offer.price else ""
    spot = " spot" if offer.market is Market.SPOT else ""
    return f"{offer.where} {offer.instance_type}{spot} {price}{each}"


def _relaxations(task: Task, search: Search) -> tuple[Relaxation, ...]:
    """Single changes after which something fits, each with the best offer it brings."""
    wanted = search.requirements
    found: list[Relaxation] = []

    def attempt(change: Callable[[Offer], str], relaxed: Search, most: Callable[[Offer], float]) -> None:
        """Of the offers that a change admits take the one with the most of something, then the cheapest."""
        offers = run(relaxed)[0].left
        if offers:
            best = max(offers, key=lambda one: (most(one), -one.price))
            found.append(Relaxation(f"`{change(best)}`", best))

    def nothing(_: Offer) -> float:
        return 0.0

    other = str(not wanted.use_spot).lower()
    attempt(lambda _: f"use_spot: {other}", search.but(use_spot=not wanted.use_spot), nothing)
    if wanted.region or wanted.zone:
        attempt(_infra, search.but(region=None, zone=None), nothing)
    if wanted.cloud:
        attempt(_infra, search.but(cloud=None, region=None, zone=None), nothing)
    if wanted.accelerator:
        asked = wanted.accelerator
        attempt(
            lambda one: f"accelerators: {_accelerator(one, asked)}",
            _with_accelerators(search),
            lambda one: _likeness(one, asked),
        )
    if cpus := wanted.cpus:
        attempt(lambda one: f"cpus: {_down(one.cpus, cpus)}", search.but(cpus=None), lambda one: one.cpus)
    if memory := wanted.memory_gb:
        attempt(
            lambda one: f"memory: {_down(one.memory_gb, memory)}",
            search.but(memory_gb=None),
            lambda one: one.memory_gb,
        )
    if wanted.disk_gb:
        attempt(
            lambda one: f"disk_size: {math.floor(one.disk_gb or 0)}",
            search.but(disk_gb=None),
            lambda one: one.disk_gb or 0,
        )
    unique = {(one.change, one.offer): one for one in found}
    return tuple(unique.values())


def _infra(offer: Offer) -> str:
    return "infra: " + "/".join(part for part in (offer.cloud, offer.region, offer.zone) if part)


def _with_accelerators(search: Search) -> Search:
    """Any accelerator in place of the one asked for, but some."""
    some = tuple(offer for offer in search.left if offer.accelerator)
    return replace(search.but(accelerator=None), left=some)


def _likeness(offer: Offer, asked: Accelerator) -> float:
    """The same kind, as many of them as there are; else as many of another kind; else as near as possible."""
    has = offer.accelerator
    if not has:
        return -1.0
    return min(has.count, asked.count) + (0.5 if has.name == asked.name else 0.0)


def _accelerator(offer: Offer, asked: Accelerator) -> str:
    has = offer.accelerator or asked
    return f"{has.name}:{min(has.count, asked.count):g}"


def _down(value: float, wanted: Quantity) -> Quantity:
    rounded = math.floor(value) if value >= 1 else value
    return Quantity(rounded, wanted.at_least)


def _envelope(placements: tuple[Placement, ...]) -> Envelope:
    chosen = placements[0]
    ceiling = _price(math.ceil(chosen.hourly * HEADROOM * 100) / 100)
    places = dict.fromkeys(
        f"{one.offer.where} {one.offer.market.value}" for one in placements if one.hourly <= ceiling
    )
    return Envelope(
        placements=tuple(places)[:PLACEMENTS_APPROVED],
        nodes=chosen.nodes,
        price_ceiling=ceiling,
        market=chosen.offer.market,
    )


def _price(value: float) -> float:
    return round(value, 6)
