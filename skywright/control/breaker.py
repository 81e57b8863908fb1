"""The circuit breaker: many losses in a short time without progress between them pause the replacing."""

from __future__ import annotations

from collections.abc import Iterable

from skywright.control import words
from skywright.control.context import Control

LOSSES = 10
WITHIN_S = 600.0


def reason(control: Control, losses: Iterable[float], progress_at: float | None) -> str | None:
    """Why nothing is replaced now, or None. `losses` are their times; time alone closes the breaker again."""
    since = max(control.clock.now() - WITHIN_S, progress_at or 0.0)
    count = sum(1 for at in losses if at > since)
    if count <= LOSSES:
        return None
    return (
        f"{count} losses within {words.duration(WITHIN_S)} without progress in between;"
        " it goes on when that has calmed down"
    )
