"""Reach: offers of enabled clouds, in the cloud, region and zone that the task names."""

from __future__ import annotations

from compiler.offer import Offer
from compiler.searching import Search


def reach(search: Search) -> Search:
    """Keep what can be bought where the task wants to be."""
    wanted = search.requirements
    named = " ".join(part for part in (wanted.cloud, wanted.region, wanted.zone) if part)

    def reason(offer: Offer) -> str | None:
        if offer.cloud not in search.enabled:
            return "are of clouds that are not enabled"
        if wanted.cloud and offer.cloud != wanted.cloud:
            return f"are not of {wanted.cloud}"
        if offer.cloud in search.terms.unable:
            return f"are of a cloud that cannot do {search.terms.unable[offer.cloud]} yet"
        if offer.cloud in search.terms.regions and offer.region not in search.terms.regions[offer.cloud]:
            return "are in regions that your settings leave out"
        if wanted.region and offer.region != wanted.region:
            return f"are not in {wanted.region}"
        if wanted.zone and offer.zone != wanted.zone:
            return f"are not in {wanted.zone}"
        return None

    says = f"in {named}" if named else "of clouds that are enabled"
    if search.terms.regions:
        says += ", in regions of your settings"
    return search.keep("reach", says, reason, asks=bool(named))
