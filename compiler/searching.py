"""Search: what the passes hand on, groups of offers that are left and why the others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from compiler.cost import Estimate
from compiler.offer import Market, Offer
from compiler.plan import Placement
from compiler.task import Requirements
from compiler.terms import Terms

KEPT = 100
"""Placements that a plan holds; the others are counted."""


@dataclass(frozen=True, slots=True)
class Group:
    """Offers that every pass judges alike: `offer` stands for them and has their lowest price.

    `rows` gives them, cheapest first; a group without is its one offer. `split` takes the offers in
    one market out of a group that is sold in both, before anything looks at the market. `upto` gives what costs
    no more than a price, None when nothing does. `lot` is what the shelf calls them.
    """

    offer: Offer
    count: int = 1
    highest: float = 0.0
    rows: Callable[[], Iterator[Offer]] | None = None
    split: Callable[[Market], Iterable[Group]] | None = None
    upto: Callable[[float], Group | None] | None = None
    lot: object | None = None

    def offers(self) -> Iterator[Offer]:
        return self.rows() if self.rows else iter((self.offer,))


class Shelf(Protocol):
    """Where offers come from."""

    def groups(self, search: Search) -> Iterable[Group]:
        """Every offer that there is, in groups of which each pass of the search can judge one as a whole."""
        ...


@dataclass(frozen=True, slots=True)
class Loose:
    """A shelf of single offers, each its own group."""

    offers: tuple[Offer, ...]

    def groups(self, search: Search) -> Iterable[Group]:
        return (Group(offer, 1, offer.price) for offer in self.offers)


@dataclass(frozen=True, slots=True)
class Search:
    """`rejected` counts offers by (pass, reason); `says` is what the last pass asked for, for people,
    and `asks` whether the task asked for it itself. `avoided` are places to stay away from now, `uneasy` those
    where something was lost earlier, with how much that still counts (0 to 1). `exact` refuses larger machines.
    `isolation` is how parts of accelerators are to be kept apart, None: in the best way there is.
    `ranked` are the best `most` placements, once there is an order."""

    requirements: Requirements
    nodes: int
    enabled: frozenset[str]
    avoided: frozenset[str]
    left: tuple[Group, ...] = ()
    rejected: tuple[tuple[str, str, int], ...] = ()
    says: str = ""
    asks: bool = False
    estimate: Estimate = field(default_factory=Estimate)
    uneasy: Mapping[str, float] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    exact: bool = False
    isolation: str | None = None
    most: int = KEPT
    ranked: tuple[Placement, ...] = ()

    @property
    def count(self) -> int:
        """Offers that are left."""
        return sum(group.count for group in self.left)

    def keep(self, by: str, says: str, reason: Callable[[Offer], str | None], asks: bool = False) -> Search:
        """Without the offers that `reason` has a word against; the first word counts, so each has one."""
        left, counts = [], dict[str, int]()
        for group in self.left:
            word = reason(group.offer)
            if word is None:
                left.append(group)
            else:
                counts[word] = counts.get(word, 0) + group.count
        worst = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        rejected = (*self.rejected, *((by, word, count) for word, count in worst))
        return replace(self, left=tuple(left), rejected=rejected, says=says, asks=asks)

    def but(self, **changes: object) -> Search:
        return replace(self, requirements=replace(self.requirements, **changes))  # type: ignore[arg-type]


def names_of(offer: Offer) -> tuple[str, ...]:
    """Every name by which a place can be avoided: its own, its region's and its cloud's."""
    whole = f"{offer.cloud} {offer.region}" if offer.region else offer.cloud
    return tuple(dict.fromkeys((offer.where, whole, offer.cloud)))
