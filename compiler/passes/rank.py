"""Rank: exact matches first, then by cost or time of the whole task; names break ties, so order is never chance."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

from compiler import sharing
from compiler.cost import Reckoner
from compiler.offer import Offer
from compiler.passes import fit
from compiler.plan import Placement
from compiler.searching import Group, Search, names_of

Key = tuple[float, float]
"""Hours (0 unless the fastest is wanted), then USD."""


def rank(search: Search) -> Search:
    """The best `search.most`, exactly as if every offer had been sorted; reject nothing."""
    exact: list[Group] = []
    larger: list[Group] = []
    for group in search.left:
        says = fit.larger(group.offer, search.requirements)
        (larger if says else exact).append(group)
    reckoner = Reckoner(search.nodes, search.estimate)
    ranked = _best(search, reckoner, exact, search.most)
    if len(ranked) < search.most:
        ranked += _best(search, reckoner, larger, search.most - len(ranked))
    return replace(
        search,
        ranked=tuple(ranked),
        says="fastest first" if search.terms.by_time else "cheapest first",
        asks=False,
    )


def _best(search: Search, reckoner: Reckoner, groups: list[Group], most: int) -> list[Placement]:
    """Merges the groups, whose rows come by price: a price bounds the cost from below, and reading ends where
    the bound is above the worst that would be kept."""
    heap: list[tuple[Key, int, Offer | None, Iterator[Offer] | None]] = []
    for number, group in enumerate(groups):
        one = group.offer
        heap.append((_least(search, reckoner, one), number, None, None))
    heapq.heapify(heap)
    found: list[Placement] = []
    worst: list[Key] = []
    while heap:
        bound, number, offer, rows = heap[0]
        if len(worst) == most and bound > _turned(worst[0]):
            break
        if rows is None:
            rows = groups[number].offers()
        else:
            assert offer is not None
            placement = _placement(search, reckoner, offer)
            found.append(placement)
            worth = _turned(placement.key)
            if len(worst) < most:
                heapq.heappush(worst, worth)
            elif worth > worst[0]:
                heapq.heapreplace(worst, worth)
        following = next(rows, None)
        if following is None:
            heapq.heappop(heap)
        else:
            bound = _least(search, reckoner, following)
            heapq.heapreplace(heap, (bound, number, following, rows))
    found.sort(key=order)
    return found[:most]


def _least(search: Search, reckoner: Reckoner, offer: Offer) -> Key:
    """A bound below the key of this offer, and of all that are dearer in its group."""
    price = offer.price
    if offer.reserved:
        price *= offer.paid(reckoner.nodes) / reckoner.nodes
    hours = reckoner.hours(offer.cloud, offer.market, 0) if search.terms.by_time else 0.0
    return hours, reckoner.least(offer.cloud, offer.market, price)


def _turned(key: Key) -> Key:
    return -key[0], -key[1]


def _placement(search: Search, reckoner: Reckoner, offer: Offer) -> Placement:
    offer = fit.cut(offer, search.requirements)
    return Placement(
        offer,
        search.nodes,
        round(offer.price * offer.paid(search.nodes), 6),
        reckoner.cost(offer, unease(search, offer)),
        fit.larger(offer, search.requirements),
        search.requirements,
        isolation=_isolation(search, offer),
        hours=reckoner.hours(offer.cloud, offer.market, offer.band) if search.terms.by_time else 0.0,
    )


def _isolation(search: Search, offer: Offer) -> sharing.Isolation | None:
    """How a part of an accelerator is kept apart, or what the task asks for by name."""
    asked = search.requirements.accelerator
    if asked is None or (asked.count == int(asked.count) and search.isolation is None):
        return None
    found = sharing.isolation(asked, offer.accelerator, search.isolation)
    return None if isinstance(found, str) else found


def unease(search: Search, offer: Offer) -> float:
    """How much earlier failures count against a place, 0 to 1."""
    return max((search.uneasy.get(name, 0.0) for name in names_of(offer)), default=0.0)


def order(one: Placement) -> tuple[float, float, float, str, str, str, str, float, float]:
    """What placements are sorted by."""
    offer = one.offer
    return (
        *one.key,
        offer.price,
        offer.cloud,
        offer.region or "",
        offer.zone or "",
        offer.instance_type,
        offer.cpus,
        offer.memory_gb,
    )
