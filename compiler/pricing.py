"""Shelves at the prices that somebody pays: discounts put over what they hold, reservations and own machines beside."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING

from compiler.offer import Market, Offer
from compiler.prices import DIGITS, Machine, Prices, Reservation
from compiler.searching import Group, Loose, Search, Shelf

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog

Rows = Callable[[], Iterator[Offer]]

_LESS = 10.0**-DIGITS
"""Prices are rounded to so much: a bound below them is lower by it."""


def over(prices: Prices, offers: Iterable[Offer], catalog: Catalog | None) -> tuple[Shelf, ...]:
    """The shelves of a plan. What is reserved and what is one's own are offers of their own, on the first one."""
    loose = tuple(offers)
    if not prices:
        return (Loose(loose), *((catalog,) if catalog else ()))
    sold = [_paid(one, prices) for one in loose]
    own = [_made(one) for one in prices.machines if one.cpus is not None]
    shelves: list[Shelf] = [Loose((*sold, *own, *_reserved(prices, loose, catalog)))]
    if catalog:
        shelves.append(Discounted(catalog, prices) if prices.discounts else catalog)
    return tuple(shelves)


def _reserved(prices: Prices, loose: Iterable[Offer], catalog: Catalog | None) -> list[Offer]:
    """What each reservation is good for; of several for the same machine in the same place the counts add up."""
    counts: dict[Offer, int] = {}
    for one in prices.reservations:
        listed = [offer for offer in loose if offer.market is Market.ON_DEMAND and _is(one, offer)]
        if catalog:
            listed += (offer for offer in catalog.sold(one.cloud, one.instance_type) if _is(one, offer))
        for offer in listed:
            counts[offer] = counts.get(offer, 0) + one.count
    return [replace(_paid(offer, prices), reserved=count) for offer, count in counts.items()]


def _is(one: Reservation | Machine, offer: Offer) -> bool:
    return (
        (one.cloud, one.instance_type) == (offer.cloud, offer.instance_type)
        and one.region in (None, offer.region)
        and one.zone in (None, offer.zone)
    )


def _paid(offer: Offer, prices: Prices) -> Offer:
    """An offer at one's own price if it has one, else with the discounts that fit."""
    own = next((one for one in prices.machines if one.cpus is None and _is(one, offer)), None)
    if own is None:
        return prices.of(offer)
    return replace(offer, price=own.price, listed=offer.price, stock=own.count)


def _made(one: Machine) -> Offer:
    return Offer(
        cloud=one.cloud,
        region=one.region,
        zone=one.zone,
        instance_type=one.instance_type,
        market=Market.ON_DEMAND,
        price=one.price,
        cpus=one.cpus or 0.0,
        memory_gb=one.memory_gb or 0.0,
        accelerator=one.accelerator,
        source="your own price",
        stock=one.count,
    )


@dataclass(frozen=True, slots=True)
class Discounted:
    """A shelf whose groups come at the prices that are paid, each still with its cheapest first."""

    shelf: Shelf
    prices: Prices

    def groups(self, search: Search) -> Iterable[Group]:
        clouds = {one.cloud for one in self.prices.discounts}
        for group in self.shelf.groups(search):
            yield self._paid(group) if group.offer.cloud in clouds else group

    def _paid(self, group: Group) -> Group:
        if group.split is not None:
            return replace(group, split=partial(self._split, group.split))
        if group.rows is None:
            return group
        offer = group.offer
        least, most = self.prices.span(offer.cloud, offer.market)
        if least == 1:
            return group
        rows = partial(self._rows, group.rows, least)
        cheapest = replace(offer, price=max(0.0, round(offer.price * least, DIGITS) - _LESS))
        upto = partial(self._upto, cheapest, rows, group, least)
        return Group(cheapest, group.count, round(group.highest * most, DIGITS), rows, upto=upto)

    def _split(self, split: Callable[[Market], Iterable[Group]], market: Market) -> Iterator[Group]:
        return (self._paid(group) for group in split(market))

    def _rows(self, rows: Rows, least: float) -> Iterator[Offer]:
        """By what is paid: a row waits until no later one, at the largest discount, can be cheaper."""
        waiting: list[tuple[float, int, Offer]] = []
        for number, listed in enumerate(rows()):
            bound = listed.price * least - 2 * _LESS
            while waiting and waiting[0][0] <= bound:
                yield heapq.heappop(waiting)[2]
            paid = self.prices.of(listed)
            heapq.heappush(waiting, (paid.price, number, paid))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _upto(self, cheapest: Offer, rows: Rows, group: Group, least: float, most: float) -> Group | None:
        listed = group if group.upto is None or not least else group.upto((most + 2 * _LESS) / least)
        if listed is None or listed.rows is None:
            return None
        count, high = 0, 0.0
        for offer in map(self.prices.of, listed.rows()):
            if offer.price <= most:
                count, high = count + 1, max(high, offer.price)
        if not count:
            return None
        return Group(cheapest, count, high, lambda: takewhile(lambda one: one.price <= most, rows()))
