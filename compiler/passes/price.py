"""Price: offers whose node costs no more per hour than the task allows (`max_hourly_cost`)."""

from __future__ import annotations

from dataclasses import replace

from compiler.offer import Offer
from compiler.searching import Group, Search
from compiler.words import money


def price(search: Search) -> Search:
    """Keep what is cheap enough; of a group of many prices the part that is."""
    most = search.requirements.max_hourly_cost
    if most is None:
        return replace(search, says="at any price", asks=False)
    limit = most
    parts = tuple(part for group in search.left for part in _parted(group, limit))

    def reason(offer: Offer) -> str | None:
        return (
            f"cost more than {money(limit)}/h" if offer.price > limit and offer.paid(search.nodes) else None
        )

    return replace(search, left=parts).keep("price", f"cost {money(limit)}/h or less", reason, asks=True)


def _parted(group: Group, most: float) -> tuple[Group, ...]:
    """The group whole where one word holds for all of it, else what is within the price, and the rest."""
    if group.upto is None or group.offer.price > most or group.highest <= most:
        return (group,)
    within = group.upto(most)
    if within is None:
        return (replace(group, offer=replace(group.offer, price=group.highest)),)
    if within.count == group.count:
        return (group,)
    return within, Group(replace(group.offer, price=group.highest), group.count - within.count, group.highest)
