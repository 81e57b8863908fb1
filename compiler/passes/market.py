"""Market: spot capacity when the task asks for it, on-demand when it does not."""

from __future__ import annotations

from dataclasses import replace

from compiler.offer import Market, Offer
from compiler.searching import Search


def market(search: Search) -> Search:
    """Keep the market that was asked for; nothing is ever sold as the other in silence."""
    asked = Market.SPOT if search.requirements.use_spot else Market.ON_DEMAND

    def reason(offer: Offer) -> str | None:
        return None if offer.market is asked else f"are {offer.market.value}, you asked {asked.value}"

    split = tuple(one for group in search.left for one in (group.split(asked) if group.split else (group,)))
    return replace(search, left=split).keep(
        "market", f"are {asked.value}", reason, asks=search.requirements.use_spot
    )
