"""From a Task and offers to a Plan: runs the passes, counts after each, and explains when nothing is left."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace

from compiler.offer import Market, Offer
from compiler.passes import PASSES
from compiler.plan import Envelope, Placement, Plan, Rejection, Relaxation, Step
from compiler.problem import Place, Problem
from compiler.quantity import Quantity
from compiler.searching import Search
from compiler.task import Task

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
        steps.append(Step(by, len(search.left), search.says))
    return search, tuple(steps)


def no_offer(task: Task, plan: Plan) -> Problem:
    """Why nothing fits, counted by reason, and the nearest one-line changes that would help."""
    wide = max((len(str(rejection.count)) for rejection in plan.rejections), default=1)
    lines = [f"no offer can run `{plan.name}`"]
    if not plan.offers:
        lines.append("  the enabled clouds sell nothing; `skywright check` tells why")
    for rejection in plan.rejections:
        lines.append(f"  {rejection.count:>{wide}}  {rejection.reason}   {rejection.by}")
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
    price = "free" if offer.price == 0 else f"${offer.price:,.2f}/h"
    each = f" × {nodes}" if nodes > 1 and offer.price else ""
    spot = " spot" if offer.market is Market.SPOT else ""
    return f"{offer.where} {offer.instance_type}{spot} {price}{each}"


def _relaxations(task: Task, search: Search) -> tuple[Relaxation, ...]:
    """Single changes after which something fits, each with the best offer it brings."""
    wanted = search.requirements
    found: list[Relaxation] = []

    def attempt(search: Search) -> tuple[Offer, ...]:
        return run(search)[0].left

    def first(change: str, offers: tuple[Offer, ...]) -> None:
        if offers:
            found.append(Relaxation(change, offers[0]))

    other = not wanted.use_spot
    first(f"`use_spot: {str(other).lower()}`", attempt(search.but(use_spot=other)))
    if wanted.zone or wanted.region:
        offers = attempt(search.but(region=None, zone=None))
        if offers:
            first(f"region {offers[0].zone or offers[0].region or offers[0].cloud}", offers)
    if wanted.cloud:
        offers = attempt(search.but(cloud=None, region=None, zone=None))
        if offers and offers[0].cloud != wanted.cloud:
            first(f"`infra: {offers[0].cloud}`", offers)
    if wanted.accelerator:
        offers = attempt(search.but(accelerator=None))
        most = [one for one in offers if one.accelerator and one.accelerator.name == wanted.accelerator.name]
        if most:
            best = max(most, key=lambda one: (one.accelerator.count if one.accelerator else 0, -one.price))
            found.append(Relaxation(f"`accelerators: {best.accelerator}`", best))
        else:
            first("no `accelerators`", offers)
    if wanted.cpus:
        offers = attempt(search.but(cpus=None))
        if offers:
            best = max(offers, key=lambda one: (one.cpus, -one.price))
            found.append(Relaxation(f"`cpus: {_down(best.cpus, wanted.cpus)}`", best))
    if wanted.memory_gb:
        offers = attempt(search.but(memory_gb=None))
        if offers:
            best = max(offers, key=lambda one: (one.memory_gb, -one.price))
            found.append(Relaxation(f"`memory: {_down(best.memory_gb, wanted.memory_gb)}`", best))
    if wanted.disk_gb:
        offers = attempt(search.but(disk_gb=None))
        if offers:
            best = max(offers, key=lambda one: (one.disk_gb or 0, -one.price))
            found.append(Relaxation(f"`disk_size: {math.floor(best.disk_gb or 0)}`", best))
    if search.avoided:
        first("wait, and try again", attempt(replace(search, avoided=frozenset())))
    return tuple(found)


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
