"""PASSES: what an offer must get through, in order. Each gives a Search with fewer offers left."""

from __future__ import annotations

from collections.abc import Callable

from compiler.passes import avoid, deadline, fit, market, price, rank, reach
from compiler.searching import Search

PASSES: tuple[tuple[str, Callable[[Search], Search]], ...] = (
    ("reach", reach.reach),
    ("fit", fit.fit),
    ("market", market.market),
    ("avoid", avoid.avoid),
    ("price", price.price),
    ("deadline", deadline.deadline),
    ("rank", rank.rank),
)
