"""What holds of the optimizer: the packed catalog answers as plain offers do, and asking for less costs no more."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from compiler import search
from compiler.catalog import build, package
from compiler.catalog.rows import Row
from compiler.catalog.shelf import Catalog
from compiler.cost import Estimate, Reckoner
from compiler.needs import LocalDisk
from compiler.offer import Accelerator, Market, Offer
from compiler.plan import Plan
from compiler.prices import Discount, Machine, Prices, Reservation
from compiler.quantity import Quantity
from compiler.search import plan
from compiler.task import Deadline, Requirements, Task
from compiler.terms import Terms

CLOUDS = ("aws", "gcp", "vast")
prices = st.none() | st.sampled_from([0.1, 0.5, 1.0, 2.5, 30.0])

rows = st.builds(
    Row,
    cloud=st.sampled_from(CLOUDS),
    region=st.sampled_from(["r1", "r2"]),
    zone=st.none() | st.sampled_from(["a", "b"]),
    instance_type=st.sampled_from(["small", "large", "p4d.24xlarge", "m5d.large", "a3-highgpu-8g"]),
    accelerator=st.none() | st.sampled_from(["A100", "L4", "GH200"]),
    count=st.sampled_from([1.0, 2.0, 8.0, 0.5]),
    cpus=st.sampled_from([2.0, 8.0, 16.0]),
    memory_gb=st.sampled_from([8.0, 64.0]),
    arch=st.sampled_from(["x86_64", "x86_64", "arm64"]),
    burstable=st.sampled_from([False, False, True]),
    price=prices,
    spot=prices,
    band=st.none() | st.integers(0, 4),
    source=st.sampled_from(["list of May", "list of June"]),
)

requirements = st.builds(
    Requirements,
    cloud=st.none() | st.sampled_from(CLOUDS),
    region=st.none() | st.none() | st.sampled_from(["r1", "r2"]),
    zone=st.none() | st.none() | st.sampled_from(["a", "b"]),
    accelerator=st.none()
    | st.builds(Accelerator, st.sampled_from(["A100", "L4", "GH200"]), st.sampled_from([1, 2, 8])),
    cpus=st.none() | st.builds(Quantity, st.sampled_from([2.0, 8.0, 9.0]), st.booleans()),
    memory_gb=st.none() | st.builds(Quantity, st.sampled_from([8.0, 16.0]), st.booleans()),
    disk_gb=st.none() | st.just(100.0),
    use_spot=st.booleans(),
    instance_type=st.none() | st.none() | st.sampled_from(["small", "m5d.large"]),
    disk_tier=st.none() | st.none() | st.sampled_from(["low", "medium", "high", "best", "ultra"]),
    network_tier=st.none() | st.none() | st.just("best"),
    local_disk=st.none()
    | st.none()
    | st.builds(
        LocalDisk, st.sampled_from(["nvme", "ssd"]), st.sampled_from([Quantity(50, True), Quantity(500)])
    ),
    max_hourly_cost=st.none() | st.none() | st.sampled_from([0.05, 0.5, 1.5]),
)

tasks = st.builds(
    Task,
    num_nodes=st.integers(1, 3),
    requirements=requirements,
    checkpoint=st.none() | st.just("~/ck"),
    setup=st.none() | st.just("pip install x"),
    deadline=st.none() | st.sampled_from([Deadline(span_s=3700.0), Deadline(span_s=4e5)]),
    duration_s=st.none() | st.sampled_from([1800.0, 3600.0]),
    file_mounts=st.sampled_from([{}, {"/data": "s3://bucket/x"}, {"/data": "gs://b", "/more": "s3://c"}]),
)
prices_paid = st.builds(
    Prices,
    discounts=st.lists(
        st.builds(
            Discount,
            st.sampled_from(CLOUDS),
            st.sampled_from([0.0, 0.1, 0.25, 1.0]),
            st.none() | st.sampled_from(["small", "l*", "x*"]),
            st.none() | st.sampled_from(Market),
        ),
        max_size=3,
    ).map(tuple),
    reservations=st.lists(
        st.builds(
            Reservation,
            st.sampled_from(CLOUDS),
            st.sampled_from(["small", "large"]),
            st.none() | st.sampled_from(["r1", "r2"]),
            st.none() | st.sampled_from(["a", "b"]),
            st.integers(1, 3),
        ),
        max_size=2,
    ).map(tuple),
    machines=st.lists(
        st.builds(
            Machine,
            st.sampled_from(CLOUDS),
            st.just("mine"),
            st.sampled_from([0.0, 0.3, 4.0]),
            st.just(16.0),
            st.just(64.0),
            st.none() | st.just(Accelerator("A100", 2)),
            count=st.none() | st.integers(1, 3),
        ),
        max_size=2,
    ).map(tuple),
)
enabled = st.sets(st.sampled_from(CLOUDS))
avoided = st.dictionaries(
    st.sampled_from(["aws", "aws r1", "aws a", "gcp r2", "vast b"]), st.sampled_from([0.0, 60.0, 7200.0, 1e6])
)
sold = st.lists(rows, max_size=14)
allowed = st.dictionaries(
    st.sampled_from(CLOUDS),
    st.lists(st.sampled_from(["r1", "r2", "r3"]), max_size=2, unique=True).map(tuple),
    max_size=2,
)


@contextmanager
def opened(found: list[Row]) -> Iterator[Catalog]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        build.write(found, path, date="2026-01-01", dropped={})
        package.index(str(path))
        connection = sqlite3.connect(path)
        try:
            yield Catalog(connection)
        finally:
            connection.close()


def loose(found: list[Row]) -> list[Offer]:
    """The same rows as plain offers."""
    offers = []
    for row in found:
        card = None
        if row.accelerator:
            card = Accelerator(row.accelerator, int(row.count) if row.count == int(row.count) else row.count)
        for market, price in ((Market.ON_DEMAND, row.price), (Market.SPOT, row.spot)):
            if price is not None:
                offer = Offer(
                    row.cloud, row.region, row.zone, row.instance_type, market, price, row.cpus, row.memory_gb,
                    card, None, False, row.arch, row.burstable, row.band, row.price, row.source,
                )  # fmt: skip
                offers.append(offer)
    return offers


def worth(made: Plan) -> list[tuple[object, ...]]:
    return [
        (bool(one.larger), one.total, one.offer.where, one.offer.instance_type, one.offer.cpus)
        for one in made.placements
    ]


@settings(suppress_health_check=[HealthCheck.too_slow])
@example(
    Task(requirements=Requirements(zone="a")),
    [Row("gcp", "r2", None, "small", None, 1.0, 2.0, 8.0, "x86_64", False, None, 0.1, None, "a list")],
    {"gcp"},
    {"gcp r2": 0.0},
    False,
    {"gcp": ("r2",)},
    Prices(),
    False,
)
@given(tasks, sold, enabled, avoided, st.booleans(), allowed, st.just(Prices()) | prices_paid, st.booleans())
def test_the_catalog_answers_as_its_rows_one_by_one(
    task: Task,
    found: list[Row],
    on: set[str],
    avoid: dict[str, float],
    exact: bool,
    only: dict[str, tuple[str, ...]],
    paid: Prices,
    by_time: bool,
) -> None:
    terms = Terms(only, prices=paid, by_time=by_time)
    with opened(found) as catalog:
        packed = plan(task, (), name="t", enabled=on, avoid=avoid, catalog=catalog, exact=exact, terms=terms)
        judged = search.judge(
            task, (), name="t", enabled=on, avoid=avoid, catalog=catalog, exact=exact, terms=terms
        )
        spread = search.spread(judged)
        near = search.spread(judged, packed.chosen.total + 1.0) if packed.placements else {}
        there = {where: search.moved(judged, packed, where).chosen for where in spread}
    plain = plan(task, loose(found), name="t", enabled=on, avoid=avoid, exact=exact, terms=terms)
    among = search.judge(task, loose(found), name="t", enabled=on, avoid=avoid, exact=exact, terms=terms)
    assert spread == search.spread(among)
    assert {(where, cost) for where, cost in near.items()} == {
        (where, cost) for where, cost in spread.items() if cost <= packed.chosen.total + 1.0
    }
    assert {where: one.total for where, one in there.items()} == spread
    assert packed.offers == plain.offers
    assert sorted(map(repr, packed.rejections)) == sorted(map(repr, plain.rejections))
    assert [(step.by, step.left) for step in packed.steps] == [(step.by, step.left) for step in plain.steps]
    assert worth(packed) == worth(plain)
    assert packed.envelope == plain.envelope


@given(tasks, sold, prices_paid, prices_paid)
def test_paying_less_never_makes_the_plan_dearer(
    task: Task, found: list[Row], paid: Prices, more: Prices
) -> None:
    """A discount or a reservation more: the plan costs the same or less, but for an exact match that was not
    allowed to cost so much before."""
    offers = loose(found)
    before = plan(task, offers, name="t", enabled=CLOUDS, terms=Terms(prices=paid))
    both = replace(
        paid,
        discounts=(*paid.discounts, *more.discounts),
        reservations=(*paid.reservations, *more.reservations),
    )
    after = plan(task, offers, name="t", enabled=CLOUDS, terms=Terms(prices=both))
    if before.placements:
        exact = bool(before.chosen.larger) and not after.chosen.larger
        assert exact or after.chosen.total <= before.chosen.total + 1e-6


@given(tasks, sold, prices_paid)
def test_what_is_reserved_costs_nothing_as_far_as_it_goes(task: Task, found: list[Row], paid: Prices) -> None:
    offers = loose(found)
    made = plan(task, offers, name="t", enabled=CLOUDS, terms=Terms(prices=paid))
    for one in made.placements:
        free = min(one.offer.reserved, one.nodes)
        assert one.hourly == round(one.offer.price * (one.nodes - free), 6)
        if one.offer.reserved:
            assert any(
                (place.cloud, place.instance_type) == (one.offer.cloud, one.offer.instance_type)
                for place in paid.reservations
            )
        if one.offer.stock is not None:
            assert one.nodes <= one.offer.stock


@given(tasks, st.lists(requirements, min_size=1, max_size=3), sold)
def test_the_fastest_is_the_fastest_and_among_equals_the_cheapest(
    task: Task, options: list[Requirements], found: list[Row]
) -> None:
    factors = {"A100": 1.0, "L4": 0.25, "GH200": 2.0, "": 0.1}
    terms = Terms(by_time=True, throughput=factors)
    made = plan(task, loose(found), name="t", enabled=CLOUDS, options=options, terms=terms)
    first = options[0].accelerator
    for one in made.placements:
        assert one.requirements
        card = one.requirements.accelerator
        slower = factors[first.name if first else ""] / factors[card.name if card else ""]
        estimate = Estimate.of(task)
        exact = Reckoner(task.num_nodes, replace(estimate, hours=estimate.hours * slower))
        assert one.hours == exact.hours(one.offer.cloud, one.offer.market, one.offer.band)
    keys = [(bool(one.larger), one.hours, one.total) for one in made.placements]
    assert keys == sorted(keys)


def relaxed(wanted: Requirements) -> list[Requirements]:
    """Every request that asks for less in one respect, exactly or not."""
    found = [
        replace(wanted, cloud=None),
        replace(wanted, region=None),
        replace(wanted, zone=None),
        replace(wanted, disk_gb=None),
        replace(wanted, max_hourly_cost=None),
        replace(wanted, network_tier=None),
        replace(wanted, local_disk=None),
        replace(wanted, max_hourly_cost=wanted.max_hourly_cost and wanted.max_hourly_cost * 2),
    ]
    if wanted.cpus:
        found.append(replace(wanted, cpus=Quantity(wanted.cpus.value, True)))
        if wanted.cpus.at_least:
            found.append(replace(wanted, cpus=Quantity(wanted.cpus.value / 2, True)))
    if wanted.memory_gb:
        found.append(replace(wanted, memory_gb=Quantity(wanted.memory_gb.value, True)))
    return found


@given(tasks, sold)
def test_asking_for_less_never_costs_more(task: Task, found: list[Row]) -> None:
    task = replace(task, requirements=replace(task.requirements, disk_gb=None))
    offers = loose(found)
    before = plan(task, offers, name="t", enabled=CLOUDS)
    if not before.placements:
        return
    for wanted in relaxed(task.requirements):
        after = plan(replace(task, requirements=wanted), offers, name="t", enabled=CLOUDS)
        exact = bool(before.chosen.larger) and not after.chosen.larger
        assert exact or after.chosen.total <= before.chosen.total


@given(tasks, st.lists(requirements, min_size=1, max_size=4), sold)
def test_any_of_several_is_the_best_of_each_and_ordered_the_first(
    task: Task, options: list[Requirements], found: list[Row]
) -> None:
    offers = loose(found)
    task = replace(task, requirements=options[0])
    alone = [plan(task, offers, name="t", enabled=CLOUDS, options=[one]) for one in options]
    some = [one for one in alone if one.placements]
    best = plan(task, offers, name="t", enabled=CLOUDS, options=options)
    first = plan(task, offers, name="t", enabled=CLOUDS, options=options, ordered=True)
    assert bool(best.placements) == bool(first.placements) == bool(some)
    if some:
        assert (bool(best.chosen.larger), best.chosen.total) == min(
            (bool(one.chosen.larger), one.chosen.total) for one in some
        )
        assert best.requirements in options
        listed = [replace(one, turn=0) for one in first.placements]
        assert tuple(listed[: len(some[0].placements)]) == some[0].placements
        everything = {(one.offer, one.nodes): one for made in reversed(alone) for one in made.placements}
        assert {(one.offer, one.nodes): one for one in listed} == everything


@given(tasks, sold, st.sampled_from([0.0, 60.0, 3600.0, 7200.0, 40_000.0, 90_000.0]))
def test_a_failure_counts_less_with_every_hour(task: Task, found: list[Row], age: float) -> None:
    offers = loose(found)
    before = plan(task, offers, name="t", enabled=CLOUDS)
    if not before.placements:
        return
    where = before.chosen.offer.where
    after = plan(task, offers, name="t", enabled=CLOUDS, avoid={where: age})
    there = [one for one in after.placements if one.offer.where == where]
    if age < 3600:
        assert not there
    else:
        assert there
        older = plan(task, offers, name="t", enabled=CLOUDS, avoid={where: age + 1800})
        again = [one for one in older.placements if one.offer.where == where]
        assert sum(one.total for one in again) <= sum(one.total for one in there)
    if age >= 24 * 3600:
        assert worth(after) == worth(before)
