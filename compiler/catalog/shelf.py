"""The catalog as a shelf: groups of offers from its SQLite file, of which a search reads only what it needs.

A cell holds what one cloud sells in one size: the passes judge it as a whole, whatever the number of places. Rows
are read only where a task names a region, a zone or an instance type, and while the best are ranked.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

from compiler.catalog import inside
from compiler.needs import Requirements
from compiler.offer import Accelerator, Market, Offer
from compiler.searching import Group, Search, names_of

_CELL = "id, cloud, accelerator, count, cpus, memory_gb, arch, burstable"
_SUMS = "count(price), count(spot), min(price), max(price), min(spot), max(spot)"
_PRICE = {Market.ON_DEMAND: "price", Market.SPOT: "spot"}


_Sold = tuple[Market, int, float, float]


class _Size(NamedTuple):
    """What a cell has on sale in some scope, by market: how many, from which price to which."""

    cell: int
    cpus: float
    memory_gb: float
    accelerator: Accelerator | None
    arch: str
    burstable: bool
    sold: tuple[_Sold, ...]

    def offer(
        self, place: tuple[str, str | None, str | None], name: str, market: Market, price: float
    ) -> Offer:
        return Offer(
            *place, name, market, price, self.cpus, self.memory_gb, self.accelerator, None, False, self.arch,
            self.burstable,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows that a task can mean, as numbers of places and shapes; None: all."""

    places: tuple[int, ...] | None = None
    shapes: tuple[int, ...] | None = None

    @property
    def whole(self) -> bool:
        return self.places is None and self.shapes is None

    def where(self) -> str:
        parts = []
        if self.places is not None:
            parts.append(f"place in ({_list(self.places)})")
        if self.shapes is not None:
            parts.append(f"shape in ({_list(self.shapes)})")
        return " and ".join(parts) or "1"


class Lot:
    """Which rows a group stands for: those of a cell in some scope, but for some places. Called, it gives them."""

    __slots__ = ("high", "offer", "scope", "shelf", "size", "skip")

    def __init__(
        self, shelf: Catalog, size: _Size, scope: Scope, skip: tuple[int, ...], offer: Offer, high: float
    ) -> None:
        self.shelf, self.size, self.scope = shelf, size, scope
        self.skip, self.offer, self.high = skip, offer, high

    def __call__(self) -> Iterator[Offer]:
        return self.shelf.rows_of(self)

    def upto(self, most: float) -> Group | None:
        """The cheaper end of the group: its rows come by price."""
        price = _PRICE[self.offer.market]
        ((count, dearest),) = self.shelf.find(
            f"select count(*), max({price}) from offer"  # noqa: S608
            f" where cell = ? and {price} <= ? and {self.scope.where()}{_without(self.skip)}",
            (self.size.cell, most),
        )
        if not count:
            return None
        high = min(self.high, dearest)
        return Group(self.offer, count, high, lambda: takewhile(lambda row: row.price <= most, self()))


_ANYWHERE: frozenset[int] | None = None
_OTHER = {market: Offer("", None, None, "", market, 0.0, 0.0, 0.0) for market in Market}


class Catalog:
    """One open catalog. `date` names the snapshot, `pinned` is its content hash where a lock wants just this one.
    Not for two threads at once."""

    def __init__(self, connection: sqlite3.Connection, pinned: str | None = None) -> None:
        self.connection = connection
        self.pinned = pinned
        facts = {key: json.loads(value) for key, value in connection.execute("select key, value from meta")}
        self.date: str = facts["date"]
        self.rows: int = facts["rows"]
        self._last: tuple[object, tuple[Group, ...]] | None = None
        self._totals = {
            cloud: {Market.ON_DEMAND: sold, Market.SPOT: spot}
            for cloud, (sold, spot) in facts["totals"].items()
        }

    @property
    def clouds(self) -> tuple[str, ...]:
        return tuple(self._totals)

    def regions(self, cloud: str) -> tuple[str, ...]:
        """Names of a cloud's regions, sorted."""
        found = self.connection.execute(
            "select distinct region from place where cloud = ? order by region", (cloud,)
        )
        return tuple(region for (region,) in found)

    def groups(self, search: Search) -> Iterable[Group]:
        """Keeps the promise of compiler.searching.Shelf. The last answer is kept: markets differ by pass only."""
        wanted = search.requirements
        card = wanted.accelerator.name if wanted.accelerator else None
        place = wanted.cloud, wanted.region, wanted.zone, wanted.network_tier, wanted.local_disk
        allowed = tuple(sorted(search.terms.regions.items()))
        asked = (
            *place,
            getattr(wanted, "instance_type", None),
            card,
            search.enabled,
            search.avoided,
            allowed,
        )
        if self._last is None or self._last[0] != asked:
            self._last = asked, tuple(self._all(search))
        return self._last[1]

    def _all(self, search: Search) -> Iterator[Group]:
        clouds = []
        for cloud, totals in self._totals.items():
            if cloud in search.enabled and search.requirements.cloud in (None, cloud):
                clouds.append(cloud)
            else:
                yield from _lumps(Offer(cloud, None, None, "", Market.SPOT, 0.0, 0.0, 0.0), totals)
        for cloud in clouds:
            yield from self._of(cloud, search)

    def _of(self, cloud: str, search: Search) -> Iterator[Group]:
        """Lumps of what the task cannot mean, from the widest reason to the narrowest, then what is left."""
        wanted = search.requirements
        none = Offer(cloud, wanted.region, wanted.zone, "", Market.SPOT, 0.0, 0.0, 0.0)
        scope, left = Scope(), self._totals[cloud]
        allowed, within = search.terms.regions.get(cloud, ()), _ANYWHERE
        if cloud in search.terms.regions:
            within = frozenset(number for one in allowed for number in self._places(cloud, one, None))
            scope = Scope(tuple(sorted(within)))
            sold = self._sold(scope)
            yield from _lumps(replace(none, region=None, zone=None), _less(left, sold))
            left = sold
            # Who speaks for the rest is in a region that may be used, if possible in none to stay away from.
            names = sorted(allowed, key=lambda one: f"{cloud} {one}" in search.avoided)
            none = replace(none, region=wanted.region or next(iter(names), None))
        if wanted.region or wanted.zone:
            scope = Scope(self._places(cloud, wanted.region, None, within))
            sold = self._sold(scope)
            other = next((one for one in allowed if one != wanted.region), None)
            yield from _lumps(replace(none, region=other, zone=None), _less(left, sold))
            left = sold
            if wanted.zone:
                scope = Scope(self._places(cloud, wanted.region, wanted.zone, within))
                sold = self._sold(scope)
                yield from _lumps(replace(none, zone=None), _less(left, sold))
                left = sold
        named = getattr(wanted, "instance_type", None)
        if named:
            scope = Scope(scope.places, self._shapes(cloud, named))
            sold = self._sold(scope)
            yield from _lumps(none, _less(left, sold))
            left = sold
        speaks = replace(none, instance_type=named or "")
        scope, left, speaks = yield from self._inside(wanted, speaks, scope, left)
        card = wanted.accelerator.name if wanted.accelerator else None
        sizes = self._sizes(cloud, scope, card)
        if card:
            has = dict.fromkeys(Market, 0)
            for one in sizes:
                for market, count, _, _ in one.sold:
                    has[market] += count
            yield from _lumps(speaks, _less(left, has))
        yield from self._groups(sizes, speaks, scope, search.avoided)

    def _inside(
        self, wanted: Requirements, speaks: Offer, scope: Scope, left: dict[Market, int]
    ) -> Generator[Group, None, tuple[Scope, dict[Market, int], Offer]]:
        """Lumps of the machines without the network or the disk that is asked for. Returns the scope of the
        others, what is left, and an offer that speaks for them."""
        checks = inside.checks(wanted)
        if not checks:
            return scope, left, speaks
        cloud, shapes = speaks.cloud, self._named(speaks.cloud, scope.shapes)
        for check in checks:
            kept = [(number, name) for number, name in shapes if check(cloud, name)]
            gone = next((name for _, name in shapes if not check(cloud, name)), "")
            scope = Scope(scope.places, tuple(number for number, _ in kept))
            sold = self._sold(scope)
            yield from _lumps(replace(speaks, instance_type=gone), _less(left, sold))
            left, shapes = sold, kept
        return scope, left, replace(speaks, instance_type=shapes[0][1] if shapes else "")

    def _groups(
        self, sizes: list[_Size], like: Offer, scope: Scope, avoided: frozenset[str]
    ) -> Iterator[Group]:
        """A group for each size and market, and one more for each place to stay away from. What the task asks
        of place and machine all have as `like` has it."""
        cloud, named = like.cloud, like.instance_type
        away = self._avoided(cloud, scope, avoided)
        known = {one.cell: one for one in sizes}
        gone: dict[tuple[int, Market], int] = {}
        for number, offer in away:
            for part in self._sizes(cloud, Scope((number,), scope.shapes), None):
                if part.cell not in known:
                    continue
                for market, count, low, high in part.sold:
                    gone[part.cell, market] = gone.get((part.cell, market), 0) + count
                    place = cloud, offer.region, offer.zone
                    yield Group(part.offer(place, named, market, low), count, high)
        skip = tuple(number for number, _ in away)
        place = cloud, like.region, like.zone
        for one in sizes:
            sold = one.sold
            if gone:
                left = ((row[0], row[1] - gone.get((one.cell, row[0]), 0), *row[2:]) for row in sold)
                sold = tuple(row for row in left if row[1])
            if sold:
                offer = one.offer(place, named, sold[0][0], sold[0][2])
                split = partial(self._split, one, sold, offer, scope, skip)
                yield Group(offer, sum(row[1] for row in sold), split=split)

    def _split(
        self,
        size: _Size,
        sold: tuple[_Sold, ...],
        offer: Offer,
        scope: Scope,
        skip: tuple[int, ...],
        wanted: Market,
    ) -> Iterator[Group]:
        """What a size has in the market that is wanted; of the other only how many."""
        for market, count, low, high in sold:
            if market is not wanted:
                yield Group(_OTHER[market], count)
                continue
            one = offer
            if offer.market is not market:
                one = size.offer((offer.cloud, offer.region, offer.zone), offer.instance_type, market, low)
            lot = Lot(self, size, scope, skip, one, high)
            yield Group(one, count, high, lot, None, lot.upto, lot)

    def rows_of(self, lot: Lot) -> Iterator[Offer]:
        """Offers of a cell, cheapest first; those of one price in the order of the catalog."""
        size, market, cloud, price = lot.size, lot.offer.market, lot.offer.cloud, _PRICE[lot.offer.market]
        found = self.connection.execute(
            "select offer.price, spot, band, shape.name, region, zone, says from offer"  # noqa: S608
            " join shape on shape.id = shape join place on place.id = place join source on source.id = source"
            f" where offer.cell = ? and offer.{price} is not null and {lot.scope.where()}{_without(lot.skip)}"
            f" order by offer.{price}, offer.id",
            (size.cell,),
        )
        for on_demand, spot, band, name, region, zone, says in found:
            yield Offer(
                cloud, region, zone, name, market, spot if market is Market.SPOT else on_demand, size.cpus,
                size.memory_gb, size.accelerator, None, False, size.arch, size.burstable, band, on_demand, says,
            )  # fmt: skip

    def spread(self, groups: Sequence[Group], highest: Callable[[str, Market], float]) -> Iterator[Offer]:
        """Of the rows of these groups the cheapest in each place and band, if it is not above the `highest` price of
        its cloud and market."""
        parts: dict[tuple[str, Market, Scope, tuple[int, ...]], dict[int, Offer]] = {}
        for group in groups:
            if isinstance(lot := group.lot, Lot):
                key = group.offer.cloud, group.offer.market, lot.scope, lot.skip
                parts.setdefault(key, {})[lot.size.cell] = group.offer
        for (cloud, market, scope, skip), offers in parts.items():
            price = _PRICE[market]
            found = self.connection.execute(
                f"select region, zone, band, cell, min(offer.{price}) from offer"  # noqa: S608
                f" join place on place.id = place where offer.cell in ({_list(tuple(offers))})"
                f" and offer.{price} <= ? and {scope.where()}{_without(skip)} group by place, band",
                (min(highest(cloud, market), 1e300),),
            )
            for region, zone, band, cell, least in found:
                yield replace(offers[cell], region=region, zone=zone, band=band, price=least)

    def _sizes(self, cloud: str, scope: Scope, card: str | None) -> list[_Size]:
        which, values = "cloud = ?", [cloud]
        if card is not None:
            which, values = "accelerator = ? and cloud = ?", [card, cloud]
        if scope.whole:
            sums = "sold, spot_sold, low, high, spot_low, spot_high"
            found = self.connection.execute(f"select {_CELL}, {sums} from cell where {which}", values)  # noqa: S608
        else:
            found = self.connection.execute(
                f"select {_CELL}, summed.* from cell join (select cell, {_SUMS} from offer"  # noqa: S608
                f" where {scope.where()} group by cell) as summed on summed.cell = cell.id where {which}",
                values,
            )
        sizes = []
        for row in found:
            number, _, name, count, cpus, memory, arch, burst = row[:8]
            sold, spot, low, high, spot_low, spot_high = row[-6:]
            accelerator = Accelerator(name, int(count) if count == int(count) else count) if name else None
            kept = [(Market.ON_DEMAND, sold, low, high)] if sold else []
            if spot:
                kept.append((Market.SPOT, spot, spot_low, spot_high))
            sizes.append(_Size(number, cpus, memory, accelerator, arch, bool(burst), tuple(kept)))
        return sizes

    def _sold(self, scope: Scope) -> dict[Market, int]:
        sold, spot = self.connection.execute(
            f"select count(price), count(spot) from offer where {scope.where()}"  # noqa: S608
        ).fetchone()
        return {Market.ON_DEMAND: sold, Market.SPOT: spot}

    def _places(
        self, cloud: str, region: str | None, zone: str | None, within: frozenset[int] | None = None
    ) -> tuple[int, ...]:
        found = self.connection.execute(
            "select id from place where cloud = ? and (? is null or region = ?) and (? is null or zone = ?)",
            (cloud, region, region, zone, zone),
        )
        return tuple(number for (number,) in found if within is None or number in within)

    def _shapes(self, cloud: str, name: str) -> tuple[int, ...]:
        found = self.connection.execute(
            "select shape.id from shape join cell on cell.id = cell where name = ? and cloud = ?",
            (name, cloud),
        )
        return tuple(number for (number,) in found)

    def _named(self, cloud: str, among: tuple[int, ...] | None) -> list[tuple[int, str]]:
        """Number and name of a cloud's shapes, or of those among them."""
        sql = "select shape.id, name from shape join cell on cell.id = cell where cloud = ? order by shape.id"
        found = self.connection.execute(sql, (cloud,))
        return [row for row in found if among is None or row[0] in among]

    def _avoided(self, cloud: str, scope: Scope, avoided: frozenset[str]) -> list[tuple[int, Offer]]:
        if not any(name.partition(" ")[0] == cloud for name in avoided):
            return []
        found = self.connection.execute("select id, region, zone from place where cloud = ?", (cloud,))
        places = [
            (number, Offer(cloud, region, zone, "", Market.SPOT, 0.0, 0.0, 0.0))
            for number, region, zone in found
        ]
        return [
            (number, offer)
            for number, offer in places
            if (scope.places is None or number in scope.places) and not avoided.isdisjoint(names_of(offer))
        ]

    def sold(self, cloud: str, instance_type: str) -> Iterator[Offer]:
        """What a cloud sells of one machine type on demand, everywhere."""
        scope = Scope(shapes=self._shapes(cloud, instance_type))
        for size in self._sizes(cloud, scope, None):
            yield from self.rows_of(
                Lot(self, size, scope, (), replace(_OTHER[Market.ON_DEMAND], cloud=cloud), 0.0)
            )

    def find(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a question of the command line's own tables."""
        return self.connection.execute(sql, values).fetchall()


def _lumps(offer: Offer, sold: dict[Market, int]) -> Iterator[Group]:
    """Offers that no pass needs to tell apart, since one word holds against all of them."""
    for market, count in sold.items():
        if count:
            yield Group(replace(offer, market=market), count)


def _less(sold: dict[Market, int], part: dict[Market, int]) -> dict[Market, int]:
    return {market: count - part[market] for market, count in sold.items()}


def _without(skip: tuple[int, ...]) -> str:
    return f" and place not in ({_list(skip)})" if skip else ""


def _list(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
