"""Avoid: places where capacity was lost or refused a short time ago, as the caller knows them."""

from __future__ import annotations

from compiler.offer import Offer
from compiler.searching import Search


def avoid(search: Search) -> Search:
    """Keep offers elsewhere. The places come from outside: a file compiles the same after a loss."""

    def reason(offer: Offer) -> str | None:
        return "were lost or refused lately" if offer.where in search.avoided else None

    listed = ", ".join(sorted(search.avoided))
    return search.keep("avoid", f"not lost lately ({listed})" if listed else "not lost lately", reason)
