"""The nearest one-line changes to a task after which something fits, each with the best offer it brings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from compiler import sharing
from compiler.catalog import accelerators, tariffs
from compiler.cost import soonest_h
from compiler.offer import Accelerator, Offer
from compiler.passes import PASSES, fit
from compiler.plan import Relaxation
from compiler.quantity import Quantity
from compiler.searching import Group, Search, Shelf
from compiler.task import Requirements

Keep = Callable[[Offer], bool]


def relaxations(search: Search, shelves: Sequence[Shelf], meant: str | None = None) -> tuple[Relaxation, ...]:
    """Single changes, in the order in which people would try them. `meant` is the machine type that was probably
    meant by one that nobody sells."""
    wanted = search.requirements
    found: list[Relaxation] = []

    def attempt(
        change: Callable[[Offer], str],
        relaxed: Search,
        most: Callable[[Offer], float],
        only: Keep | None = None,
    ) -> None:
        """Of the offers that a change admits take the one with the most of something, then an exact one, then
        the cheapest."""
        best = _best(relaxed, _left(relaxed, shelves, only), most)
        if best:
            found.append(Relaxation(f"`{change(best)}`", best))

    other = str(not wanted.use_spot).lower()
    attempt(lambda _: f"use_spot: {other}", search.but(use_spot=not wanted.use_spot), _nothing)
    if wanted.region or wanted.zone:
        attempt(_infra, search.but(region=None, zone=None), _nothing)
    if wanted.cloud:
        attempt(_infra, search.but(cloud=None, region=None, zone=None), _nothing)
    if wanted.accelerator:
        asked = wanted.accelerator
        attempt(
            lambda one: f"accelerators: {_accelerator(one, asked)}",
            search.but(accelerator=None),
            lambda one: _likeness(one, asked),
            lambda one: _another(one, asked),
        )
    if fit.named(wanted):
        attempt(lambda one: f"instance_type: {one.instance_type}", search.but(instance_type=meant), _nothing)
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
    _of_limits(search, attempt)
    unique = {(one.change, one.offer): one for one in found}
    return tuple(unique.values())


def _of_limits(search: Search, attempt: Callable[..., None]) -> None:
    """Limits that the task sets itself, given up one at a time."""
    wanted = search.requirements
    if wanted.max_hourly_cost is not None:
        attempt(_price, search.but(max_hourly_cost=None), _nothing)
    if search.estimate.late:
        longer = replace(search.estimate, deadline_h=None)
        attempt(
            lambda one: f"deadline: {math.ceil(soonest_h(one.cloud, longer) * 10) / 10:g}h",
            replace(search, estimate=longer),
            _nothing,
        )
    if search.isolation is not None:
        free = replace(search, isolation=None)
        attempt(lambda one: f"isolation: {_isolation(one, wanted)}", free, _nothing)
    if wanted.network_tier == "best":
        attempt(lambda _: "network_tier: standard", search.but(network_tier=None), _nothing)
    if wanted.local_disk:
        attempt(lambda _: "local_disk: null", search.but(local_disk=None), _nothing)
    if wanted.disk_tier not in tariffs.PLAIN:
        attempt(lambda _: "disk_tier: best", search.but(disk_tier="best"), _nothing)
    if search.exact:
        attempt(lambda _: "exact: false", replace(search, exact=False), _nothing)


def _left(search: Search, shelves: Sequence[Shelf], only: Keep | None) -> tuple[Group, ...]:
    """What gets through all passes but the last, which only puts things in order."""
    groups = (group for shelf in shelves for group in shelf.groups(search))
    search = replace(search, left=tuple(one for one in groups if only is None or only(one.offer)))
    for _, apply in PASSES[:-1]:
        search = apply(search)
    return search.left


def _best(search: Search, groups: Sequence[Group], most: Callable[[Offer], float]) -> Offer | None:
    """The first of the best group; one that was cut to size stays so."""
    if not groups:
        return None

    def worth(one: Group) -> tuple[float, bool, float]:
        return most(one.offer), not fit.larger(one.offer, search.requirements), -one.offer.price

    best = max(groups, key=worth)
    return next(best.offers(), None) if best.rows else best.offer


def _nothing(_: Offer) -> float:
    return 0.0


def _isolation(offer: Offer, wanted: Requirements) -> str:
    found = sharing.isolation(wanted.accelerator, offer.accelerator, None)
    return found.kind if isinstance(found, sharing.Isolation) else "exclusive"


def _price(offer: Offer) -> str:
    return f"max_hourly_cost: {math.ceil(offer.price * 100) / 100:g}"


def _infra(offer: Offer) -> str:
    return "infra: " + "/".join(part for part in (offer.cloud, offer.region, offer.zone) if part)


def _another(offer: Offer, asked: Accelerator) -> bool:
    """Whether it has accelerators, and not just those that were asked for: they were refused for another reason."""
    has = offer.accelerator
    return has is not None and (has.name != asked.name or has.count < asked.count)


def _likeness(offer: Offer, asked: Accelerator) -> float:
    """As many as there are, of the same kind if there are any, else of one with as much memory."""
    has = offer.accelerator
    if not has:
        return -1.0
    return min(has.count, asked.count) + (
        0.5 if has.name == asked.name else 0.4 * _alike(has.name, asked.name)
    )


def _alike(name: str, other: str) -> float:
    """How near the memories of two accelerators are, 0 to 1."""
    sizes = [one.memory_gb for one in map(accelerators.facts, (name, other)) if one and one.memory_gb]
    return min(sizes) / max(sizes) if len(sizes) == 2 else 0.0


def _accelerator(offer: Offer, asked: Accelerator) -> str:
    has = offer.accelerator or asked
    return f"{has.name}:{min(has.count, asked.count):g}"


def _down(value: float, wanted: Quantity) -> Quantity:
    rounded = math.floor(value) if value >= 1 else value
    return Quantity(rounded, wanted.at_least)
