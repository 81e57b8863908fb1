"""Replicas of control over one store: each deployment is one's, who lost it writes nothing, and the dead leave all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compiler.problem import Problems
from skywright.control import holdings
from skywright.control.holdings import Among, Elsewhere
from skywright.control.rows import Event, Lease, Replica
from skywright.control.store import Lost, Store
from stacks import process

Where = Path | str


class House:
    """Replicas by their number, each with a store of its own over the same rows."""

    def __init__(self, where: Where, home: Path) -> None:
        self.where, self.home = where, home
        self.stores: list[Store] = []
        self.taken: list[tuple[int, str]] = []

    def replica(self, home: Path | None = None) -> Among:
        store = Store(self.where)
        self.stores.append(store)
        number = len(self.stores)
        return Among(
            store, home or self.home, f"http://replica-{number}", lambda uid: self.taken.append((number, uid))
        )

    def silence(self, replica: Among) -> None:
        """It did not renew for longer than its lease."""
        row = self.row(replica)
        assert self.stores[0].change(row, until=row.until - holdings.LEASE_S - 1)

    def row(self, replica: Among) -> Replica:
        found = self.stores[0].first(Replica, id=replica.id)
        assert found
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    fresh: Callable[[], str]
    if request.param == "sqlite":
        made = House(tmp_path / "control.db", tmp_path)
    else:
        fresh = request.getfixturevalue("postgres_place")
        made = House(fresh(), tmp_path)
    yield made
    for store in made.stores:
        store.close()


def test_each_deployment_is_one_replicas(house: House) -> None:
    one, two = house.replica(), house.replica()
    assert one.claim(["a", "b"]) == {"a", "b"}
    assert two.claim(["a", "b", "c"]) == {"c"}
    assert (one.holds("c"), two.holds("c")) == (False, True)
    with pytest.raises(Elsewhere) as moved:
        two.need("a")
    assert moved.value.url == "http://replica-1"
    two.need("d")
    assert one.claim(["a", "d"]) == {"a"}, "what is gone has no lease any more"
    assert {lease.uid for lease in house.stores[0].find(Lease)} == {"a", "c", "d"}
    assert sorted(house.taken) == [(1, "a"), (1, "b"), (2, "c"), (2, "d")]


def test_a_silent_replica_loses_what_it_had_and_writes_nothing_more(house: House) -> None:
    one, two = house.replica(), house.replica()
    mine, theirs = house.stores
    one.claim(["a"])
    with one.guard("a"):
        assert mine.add(Event("a", 1, 1.0, "step", "before"))
    house.silence(one)
    assert two.claim(["a"]) == {"a"}
    with one.guard("a"):
        for write in (
            lambda: mine.add(Event("a", 2, 1.0, "step", "after")),
            lambda: mine.change(Event("a", 1, 1.0, "", ""), text="after"),
            lambda: mine.remove(Event, uid="a"),
            mine.prove,
        ):
            with pytest.raises(Lost):
                write()
        assert [event.text for event in mine.find(Event)] == ["before"], "reading is allowed"
    with two.guard("a"):
        assert theirs.add(Event("a", 2, 1.0, "step", "the new one's"))
    assert [event.text for event in mine.find(Event, order="seq")] == ["before", "the new one's"]
    one.beat()
    assert one.claim(["a", "b"]) == {"b"}, "one that woke up takes nothing back"
    one.lost("a")
    with pytest.raises(Elsewhere):
        one.need("a")


def test_a_lease_that_ended_holds_until_somebody_takes_it(house: House) -> None:
    one = house.replica()
    one.claim(["a"])
    house.silence(one)
    with one.guard("a"):
        assert house.stores[0].add(Event("a", 1, 1.0, "step", "nobody else was there"))


def test_the_deployments_of_a_dead_process_are_free_at_once(house: House) -> None:
    one, two = house.replica(), house.replica()
    one.claim(["a"])
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = {**holdings.whereabouts(house.home), **process.identity(child.pid).to_data()}
    house.stores[0].change(house.row(one), who=who)
    assert two.claim(["a"]) == set(), "it lives"
    child.communicate(b"\n")
    elsewhere = {**who, "space": "pid:[another container]"}
    house.stores[0].change(house.row(one), who=elsewhere)
    assert two.claim(["a"]) == set(), "its pid says nothing here"
    house.stores[0].change(house.row(one), who=who)
    assert two.claim(["a"]) == {"a"}


def test_replicas_of_another_home_are_refused(house: House, tmp_path: Path) -> None:
    one = house.replica()
    (tmp_path / "another").mkdir()
    with pytest.raises(Problems, match="control/other-home"):
        house.replica(tmp_path / "another")
    one.end()
    house.replica(tmp_path / "another")


def test_one_that_ends_gives_all_to_the_others(house: House) -> None:
    one, two = house.replica(), house.replica()
    one.claim(["a"])
    one.end()
    assert two.claim(["a"]) == {"a"}
    assert [row.url for row in house.stores[0].find(Replica)] == ["http://replica-2"]
