"""Rank: the cheapest first; at one price the place and the shape's name decide, so order is never chance."""

from __future__ import annotations

from dataclasses import replace

from compiler.offer import Offer
from compiler.searching import Search


def rank(search: Search) -> Search:
    """Sort what is left; reject nothing."""
    return replace(search, left=tuple(sorted(search.left, key=_order)), says="cheapest first", asks=False)


def _order(offer: Offer) -> tuple[float, str, str, str, str, float, float]:
    return (
        offer.price,
        offer.cloud,
        offer.region or "",
        offer.zone or "",
        offer.instance_type,
        offer.cpus,
        offer.memory_gb,
    )
