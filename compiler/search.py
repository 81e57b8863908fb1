"""From a Task and offers to a Plan: runs the passes over one request or several, and explains when nothing is left."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from compiler import pricing, throughput, unfit, wishes
from compiler.catalog.shelf import Catalog
from compiler.cost import Data, Estimate, Reckoner
from compiler.offer import Offer
from compiler.passes import PASSES, fit
from compiler.passes.rank import order, unease
from compiler.plan import Alternative, Envelope, Placement, Plan, Rejection, Step, shared
from compiler.problem import Problem, nearest
from compiler.relax import relaxations
from compiler.searching import KEPT, Group, Search, Shelf
from compiler.task import Requirements, Task
from compiler.terms import Terms
from compiler.words import asked

HEADROOM = 1.2
"""Recovery may pay this many times the chosen price without asking again."""

PLACEMENTS_APPROVED = 20
"""Most places that one approval covers."""

FORGIVEN_S = 3600.0
"""A place is stayed away from for so long after a failure; then what it counts halves with every such span."""

FORGOTTEN_S = 24 * 3600.0


Tried = tuple[Search, Search, tuple[Step, ...]]
"""The search before `market`, the one that is done, and its steps."""

Location = tuple[str, str | None]
"""Cloud and region: what moving data costs depends on these alone."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of each request of a task, in groups of which an earlier one is preferred."""

    name: str
    budget: float | None
    asking: Search
    shelves: tuple[Shelf, ...]
    searches: tuple[tuple[Tried, ...], ...]
    catalog: Catalog | None

    @property
    def turn(self) -> int:
        """The number of the first group of which anything can be had; 0 when nothing can."""
        there = (turn for turn, group in enumerate(self.searches) if any(one.ranked for _, one, _ in group))
        return next(there, 0)


def plan(
    task: Task,
    offers: Iterable[Offer],
    *,
    name: str,
    enabled: Collection[str],
    avoid: Collection[str] | Mapping[str, float] = (),
    catalog: Catalog | None = None,
    options: Sequence[Requirements] | None = None,
    ordered: bool = False,
    hours: float | None = None,
    data: Sequence[Data] = (),
    exact: bool = False,
    terms: Terms | None = None,
) -> Plan:
    """Every offer judged, the best ranked by the cost of the whole task.

    `avoid` holds names of places where something failed (`Offer.where`, or of a region or cloud), with how many
    seconds ago, or without: just now. `catalog` adds its offers to `offers`. `options` are requests of which any
    will do, or with `ordered` the first that something fits; without, the task's own alternatives. `hours` is
    how long the task runs when somebody knows, `data` what it reads beside the buckets among its file_mounts.
    `exact` refuses machines larger than asked.
    """
    judged = judge(
        task, offers, name=name, enabled=enabled, avoid=avoid, catalog=catalog, options=options,
        ordered=ordered, hours=hours, data=data, exact=exact, terms=terms,
    )  # fmt: skip
    return planned(judged)


def judge(
    task: Task,
    offers: Iterable[Offer],
    *,
    name: str,
    enabled: Collection[str],
    avoid: Collection[str] | Mapping[str, float] = (),
    catalog: Catalog | None = None,
    options: Sequence[Requirements] | None = None,
    ordered: bool = False,
    hours: float | None = None,
    data: Sequence[Data] = (),
    exact: bool = False,
    terms: Terms | None = None,
) -> Judged:
    """Every offer judged for each request; arguments as of `plan`."""
    terms = terms or Terms()
    shelves = pricing.over(terms.prices, offers, catalog)
    away, uneasy = _decayed(avoid)
    asking = Search(
        requirements=task.requirements, nodes=task.num_nodes, enabled=frozenset(enabled), avoided=away,
        uneasy=uneasy, exact=exact, isolation=task.isolation,
        estimate=Estimate.of(task, hours, data, terms.now), terms=terms,
    )  # fmt: skip
    wanted = wishes.of(task) if options is None else wishes.expanded(options, ordered)
    return Judged(name, task.budget, asking, shelves, _searched(asking, wanted, shelves), catalog)


def planned(judged: Judged, *, compare: bool = True) -> Plan:
    """The plan; with `compare` also the best in the other market."""
    tried = [(turn, *one) for turn, group in enumerate(judged.searches) for one in group]
    best = min(range(len(tried)), key=lambda one: _worth(tried[one][0], tried[one][2]))
    _, sized, done, steps = tried[best]
    placements = _in_turn([_merged([one for _, one, _ in group]) for group in judged.searches])
    made = Plan(
        name=judged.name,
        offers=done.count + sum(count for _, _, count in done.rejected),
        steps=steps,
        placements=placements,
        rejections=tuple(Rejection(by, reason, count) for by, reason, count in done.rejected),
        relaxations=() if placements else relaxations(sized, judged.shelves, _meant(sized, judged.catalog)),
        envelope=_envelope(placements, judged.budget) if placements else None,
        fitting=done.count,
        estimate=done.estimate,
        requirements=done.requirements,
        others=tuple(_alternative(one) for number, (_, _, one, _) in enumerate(tried) if number != best),
        catalog=judged.catalog.date if judged.catalog else None,
        pinned=judged.catalog.pinned if judged.catalog else None,
    )
    if not placements:
        return made
    dearest = max(group.highest for _, _, one, _ in tried for group in one.left) * done.nodes
    return replace(
        made,
        dearest=round(max(dearest, *(one.hourly for one in placements)), 6),
        elsewise=_elsewise(sized) if judged.catalog and compare else None,
    )


def _meant(search: Search, catalog: Catalog | None) -> str | None:
    """The machine type whose name is nearest to one that nobody sells."""
    asked = fit.named(search.requirements)
    if asked is None or catalog is None:
        return None
    known = [name for (name,) in catalog.find("select distinct name from shape order by name")]
    return None if asked in known else nearest(asked, known)


def location(offer: Offer) -> Location:
    """Where an offer is, as far as moving data goes."""
    return offer.cloud, offer.region


def spread(judged: Judged, most: float = math.inf) -> dict[Location, float]:
    """For each location where a plan of these requests may be, the cost of its best placement there, in USD; only
    those of `most` or less."""
    group = judged.searches[judged.turn]
    larger = all(one.ranked[0].larger for _, one, _ in group if one.ranked)
    found: dict[Location, float] = {}
    for _, done, _ in group:
        reckoner = Reckoner(done.nodes, done.estimate)
        groups = [one for one in done.left if bool(fit.larger(one.offer, done.requirements)) == larger]
        for offer in _everywhere(groups, judged.catalog, reckoner, most):
            total = reckoner.cost(offer, unease(done, offer)).total
            where = location(offer)
            if total <= most and total < found.get(where, math.inf):
                found[where] = total
    return found


def moved(judged: Judged, made: Plan, where: Location) -> Plan:
    """The plan with the best placement of a location of `spread` as the chosen one."""
    cloud, region = where
    wanted = [one.requirements for _, one, _ in judged.searches[judged.turn]]
    there = [replace(one, cloud=cloud, region=region or one.region) for one in wanted]
    possible = [
        number
        for number, one in enumerate(wanted)
        if one.cloud in (None, cloud) and one.region in (None, region)
    ]
    asked_there = (tuple(there[number] for number in possible),)
    searches = _searched(judged.asking, asked_there, judged.shelves)
    placements = _merged([one for _, one, _ in searches[0]])
    best = next(one for one in placements if location(one.offer) == where)
    original = next(wanted[number] for number in possible if there[number] == best.requirements)
    best = replace(best, requirements=original, turn=made.chosen.turn)
    rest = (one for one in made.placements if one.offer != best.offer)
    placements = (best, *rest)
    return replace(
        made, placements=placements, envelope=_envelope(placements, judged.budget), requirements=original
    )


def _everywhere(
    groups: Sequence[Group], catalog: Catalog | None, reckoner: Reckoner, most: float
) -> Iterator[Offer]:
    """Offers among which each location has its best; of the catalog those that can cost `most` or less."""
    packed = []
    for group in groups:
        if group.lot is not None and catalog:
            packed.append(group)
            continue
        highest = reckoner.dearest(group.offer.cloud, group.offer.market, most)
        cheaper = group.upto(highest) if group.upto else group
        if cheaper:
            yield from cheaper.offers()
    if catalog:
        yield from catalog.spread(packed, lambda cloud, market: reckoner.dearest(cloud, market, most))


def _searched(
    asking: Search, wanted: Sequence[Sequence[Requirements]], shelves: Sequence[Shelf]
) -> tuple[tuple[Tried, ...], ...]:
    found: list[tuple[Tried, ...]] = []
    for group in wanted:
        tried: list[Tried] = []
        for one in group:
            hours = asking.estimate.hours * (_slower(asking, one, wanted) or 1.0)
            estimate = replace(asking.estimate, disk_gb=one.disk_gb, disk_tier=one.disk_tier, hours=hours)
            exact = asking.exact or getattr(one, "exact", False)
            search = replace(asking, requirements=one, estimate=estimate, exact=exact)
            done, steps, sized = run(search, shelves)
            tried.append((sized, done, steps))
        found.append(tuple(tried))
    return tuple(found)


def _slower(asking: Search, one: Requirements, wanted: Sequence[Sequence[Requirements]]) -> float | None:
    """How many times as long a request takes as the first one; 1 where only the cost counts."""
    if not asking.terms.by_time:
        return 1.0
    return throughput.slower(one, wanted[0][0], asking.terms.throughput)


def unmeasured(task: Task, plan: Plan, terms: Terms) -> Problem | None:
    """What keeps a plan by time from being right: accelerators that compete in it and that nobody measured."""
    if not terms.by_time or task.ordered:
        return None
    fitting = [plan.requirements, *(one.best.requirements for one in plan.others if one.best)]
    names = list(dict.fromkeys(throughput.name_of(one.accelerator) for one in fitting if one))
    if len(names) < 2 or all(name in terms.throughput for name in names):
        return None
    return throughput.unknown(names, terms.throughput, unfit.place(task, "fit"))


def run(search: Search, shelves: Sequence[Shelf]) -> tuple[Search, tuple[Step, ...], Search]:
    """All passes in order over what the shelves hold, with what each left; and the search before `market`."""
    search = collect(search, shelves)
    sized = search
    steps = []
    for by, apply in PASSES:
        if by == "market":
            sized = search
        search = apply(search)
        steps.append(Step(by, search.count, search.says, search.asks))
    return search, tuple(steps), sized


def collect(search: Search, shelves: Sequence[Shelf]) -> Search:
    """The search before its first pass: everything is left."""
    groups = [group for shelf in shelves for group in shelf.groups(search)]
    return replace(search, left=tuple(groups))


def _alternative(done: Search) -> Alternative:
    return Alternative(asked(done.requirements), done.count, done.ranked[0] if done.ranked else None)


def _worth(turn: int, done: Search) -> tuple[bool, int, bool, tuple[float, float]]:
    """Something fits, it was asked for first, it is exact, it is cheap: in this order."""
    if not done.ranked:
        return True, -turn, True, (0.0, 0.0)
    return False, turn, bool(done.ranked[0].larger), done.ranked[0].key


def _in_turn(groups: Sequence[Sequence[Placement]]) -> tuple[Placement, ...]:
    """All of the first request, then of the next what the ones before have not: the order of failover."""
    found: dict[tuple[Offer, int], Placement] = {}
    for turn, group in enumerate(groups):
        for one in group:
            found.setdefault((one.offer, one.nodes), replace(one, turn=turn) if turn else one)
    return tuple(found.values())


def _merged(searches: Sequence[Search]) -> tuple[Placement, ...]:
    """The best of several requests; one that several admit counts once, with the fewest remarks."""
    if len(searches) == 1:
        return searches[0].ranked
    found: dict[tuple[Offer, int], Placement] = {}
    for search in searches:
        for one in search.ranked:
            there = found.get((one.offer, one.nodes))
            if there is None or (bool(one.larger), one.key) < (bool(there.larger), there.key):
                found[one.offer, one.nodes] = one
    ordered = sorted(found.values(), key=lambda one: (bool(one.larger), *order(one)))
    return tuple(ordered[:KEPT])


def _elsewise(sized: Search) -> Placement | None:
    """The best in the other market, for comparison: everything before `market` holds for both."""
    search = replace(sized.but(use_spot=not sized.requirements.use_spot), most=1)
    names = [by for by, _ in PASSES]
    for _, apply in PASSES[names.index("market") :]:
        search = apply(search)
    return search.ranked[0] if search.ranked else None


def _decayed(avoid: Collection[str] | Mapping[str, float]) -> tuple[frozenset[str], dict[str, float]]:
    """Places to stay away from, and those where an older failure still counts, with how much."""
    ages = dict(avoid) if isinstance(avoid, Mapping) else dict.fromkeys(avoid, 0.0)
    away = frozenset(name for name, age in ages.items() if age < FORGIVEN_S)
    uneasy = {
        name: 0.5 ** (age / FORGIVEN_S) for name, age in ages.items() if FORGIVEN_S <= age < FORGOTTEN_S
    }
    return away, uneasy


def _envelope(placements: tuple[Placement, ...], budget: float | None) -> Envelope:
    """What the task says in order is approved with it: each of its requests up to its own ceiling."""
    ceilings: dict[int, float] = {}
    for one in placements:
        ceilings.setdefault(one.turn, round(math.ceil(one.hourly * HEADROOM * 100) / 100, 6))
    places: dict[str, Placement] = {}
    for one in placements:
        affordable = budget is None or one is placements[0] or one.total <= budget
        if one.hourly <= ceilings[one.turn] and affordable:
            places.setdefault(_market_at(one.offer), one)
    chosen = placements[0]
    return Envelope(
        placements=tuple(
            _market_at(one.offer) for one in shared(tuple(places.values()), PLACEMENTS_APPROVED)
        ),
        nodes=chosen.nodes,
        price_ceiling=max(ceilings.values()),
        market=chosen.offer.market,
    )


def approved(plan: Plan) -> tuple[Placement, ...]:
    """The placements that the envelope names, in its order: of each place and market the best."""
    if plan.envelope is None:
        return ()
    places: dict[str, Placement] = {}
    for one in plan.placements:
        if one.hourly <= plan.envelope.price_ceiling or one is plan.chosen:
            places.setdefault(_market_at(one.offer), one)
    return tuple(places[name] for name in plan.envelope.placements if name in places)


def _market_at(offer: Offer) -> str:
    return f"{offer.where} {offer.market.value}"
