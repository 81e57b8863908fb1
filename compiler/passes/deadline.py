"""Deadline: offers on which the work can be done in time, by the user's own estimate of how long it takes."""

from __future__ import annotations

from dataclasses import replace

from compiler.cost import soonest_h
from compiler.offer import Offer
from compiler.searching import Search
from compiler.words import span


def deadline(search: Search) -> Search:
    """Keep offers that make it when nothing is lost; without an estimate nobody can tell, and all are kept."""
    estimate = search.estimate
    left = estimate.deadline_h
    if left is None or not estimate.late:
        return replace(search, says="in time", asks=False)
    hours = left
    word = (
        f"cannot be done in {span(hours * 3600)}, the deadline"
        if hours > 0
        else "are too late: the deadline has passed"
    )

    def reason(offer: Offer) -> str | None:
        return word if hours <= 0 or soonest_h(offer.cloud, estimate) > hours else None

    return search.keep("deadline", f"done within {span(max(hours, 0) * 3600)}", reason, asks=True)
