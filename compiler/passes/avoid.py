"""Avoid: places where capacity was lost or refused a short time ago, as the caller knows them."""

from __future__ import annotations

from compiler.offer import Offer
from compiler.searching import Search, names_of


def avoid(search: Search) -> Search:
    """Keep offers elsewhere. The places come from outside: a file compiles the same after a loss."""

    def reason(offer: Offer) -> str | None:
        return None if search.avoided.isdisjoint(names_of(offer)) else "were lost or refused lately"

    listed = ", ".join(sorted(search.avoided))
    return search.keep("avoid", f"not lost lately ({listed})" if listed else "not lost lately", reason)
