"""The control store: guarded changes, transactions, encrypted values, and tables that match their rows."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc

from compiler.problem import Problems
from skywright.control import desk, loop, schema, space, view
from skywright.control.context import Control
from skywright.control.orders import read_order
from skywright.control.rows import Deployment, Event, Node, Operation, Run, RunRank
from skywright.control.store import Broken, Store
from skywright.control.tables import METADATA
from skywright.control.vault import Vault
from tests.e2e.control_fakes import FakeCloud, FakeOperations, order

Where = Path | str


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """An empty place for a store: a file, or a schema of a PostgreSQL server."""
    if request.param == "sqlite":
        return tmp_path / "control.db"
    fresh: Callable[[], str] = request.getfixturevalue("postgres_place")
    return fresh()


@pytest.fixture
def store(where: Where) -> Iterator[Store]:
    found = Store(where)
    yield found
    found.close()


def node(name: str = "hello-0-aaaaaa", **more: object) -> Node:
    return Node(node=name, uid="u", rank=0, address="127.0.0.2", created=1.0, **more)  # type: ignore[arg-type]


def said(store: Store, sql: str) -> list[tuple[Any, ...]]:
    """What the database itself answers."""
    found = store._connection.exec_driver_sql(sql)
    return [tuple(row) for row in found] if found.returns_rows else []


def differences(store: Store) -> list[Any]:
    """What the tables lack of the rows. SQLite takes any type, and had keys that might be NULL."""
    context = MigrationContext.configure(store._connection, opts={"compare_type": store.is_shared})
    found = compare_metadata(context, METADATA)
    return found if store.is_shared else [one for one in found if one[0][0] != "modify_nullable"]


def walk(store: Store, revision: str) -> None:
    """Instead of what it has, the tables as a program of that revision left them."""
    with store.together():
        METADATA.drop_all(store._connection)
        said(store, f"DELETE FROM {schema.NOW}")
        schema.upgrade(store._connection, revision)


def test_the_steps_lead_to_the_tables_of_the_rows(store: Store) -> None:
    assert differences(store) == []
    walk(store, schema.newest())
    assert differences(store) == []
    assert said(store, f"SELECT version_num FROM {schema.NOW}") == [(schema.newest(),)]


def test_the_steps_follow_one_another() -> None:
    steps = list(ScriptDirectory(str(schema.STEPS), version_locations=[str(schema.STEPS)]).walk_revisions())
    assert [step.revision for step in reversed(steps)] == [f"{n:04d}" for n in range(1, len(steps) + 1)]
    assert steps[0].revision == schema.newest()


FIRST_ROW = {
    "uid": "u", "name": "hello", "project": "p", "owner": "o", "cloud": "local", "place": "local", "market": "spot",
    "hourly": 0.5, "digest": "d", "created": 1.5, "spec": '{"nodes":1}', "wanted": "up", "stage": "up", "failures": 0,
}  # fmt: skip


def put_first(store: Store) -> None:
    """A deployment as the first release stored it."""
    names = [*FIRST_ROW, "keep", "stop_down", "retry", "purge"]
    values = [repr(value) for value in FIRST_ROW.values()] + ["FALSE", "TRUE", "FALSE", "FALSE"]
    said(store, f"INSERT INTO deployments ({', '.join(names)}) VALUES ({', '.join(values)})")


@pytest.mark.parametrize("revision", [1, 3, 6])
def test_an_older_store_keeps_its_deployments(where: Where, revision: int) -> None:
    old = Store(where)
    walk(old, f"{revision:04d}")
    put_first(old) if revision == 1 else None
    old.close()
    again = Store(where)
    assert differences(again) == []
    if revision == 1:
        [row] = again.find(Deployment)
        assert (row.spec, row.task, row.choices, row.stop_down) == ({"nodes": 1}, None, [], True)
    again.close()


@pytest.mark.parametrize("version", range(1, schema.LAST_OLD + 1))
def test_a_store_of_before_alembic_is_taken_over(tmp_path: Path, version: int) -> None:
    old = Store(tmp_path / "control.db")
    walk(old, f"{version:04d}")
    if version == 1:
        put_first(old)
    said(old, f"DROP TABLE {schema.NOW}")
    said(old, f"CREATE TABLE {schema.OLD} (version INTEGER NOT NULL)")
    said(old, f"INSERT INTO {schema.OLD} VALUES ({version})")
    old.close()
    again = Store(tmp_path / "control.db")
    assert said(again, f"SELECT version_num FROM {schema.NOW}") == [(schema.newest(),)]
    assert [row.name for row in again.find(Deployment)] == ["hello"] * (version == 1)
    assert said(again, f"SELECT version > {schema.LAST_OLD} FROM {schema.OLD}") == [(1,)], (
        "too new for old programs"
    )
    again.close()
    Store(tmp_path / "control.db").close()


def test_a_number_of_before_alembic_that_nobody_had_is_refused(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "control.db")
    raw.execute(f"CREATE TABLE {schema.OLD} (version INTEGER NOT NULL)")
    raw.execute(f"INSERT INTO {schema.OLD} VALUES (99)")
    raw.commit()
    raw.close()
    with pytest.raises(Problems, match="control/store-newer"):
        Store(tmp_path / "control.db")


def test_rows_come_back_as_they_were(store: Store) -> None:
    row = Deployment(
        uid="u",
        name="hello",
        project="p",
        owner="o",
        cloud="local",
        place="local",
        market="spot",
        hourly=0.5,
        digest="d",
        created=1.5,
        spec={"nodes": 2, "labels": {"ä": "ö"}},
        keep=True,
        problem={"code": "a/b"},
    )
    assert store.add(row)
    assert store.find(Deployment) == [row]
    assert store.first(Deployment, keep=True, ended=None, name=("other", "hello")) == row
    assert store.first(Deployment, name=()) is None


def test_a_row_is_added_once(store: Store) -> None:
    assert store.add(node())
    assert not store.add(dataclasses.replace(node(), address="127.0.0.9"))
    assert [row.address for row in store.find(Node)] == ["127.0.0.2"]


def test_a_change_happens_only_while_it_is_expected(store: Store) -> None:
    store.add(node())
    assert store.change(node(), when={"state": "starting", "revoked": None}, state="up")
    assert not store.change(node(), when={"state": "starting"}, state="lost")
    assert not store.change(node("another"), state="lost")
    [row] = store.find(Node)
    assert row.state == "up"


def test_all_or_nothing(store: Store) -> None:
    def fail() -> None:
        with store.together():
            store.add(node())
            with store.together():
                store.add(node("hello-1-bbbbbb"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.find(Node) == []
    with store.together():
        store.add(node())
    assert len(store.find(Node)) == 1


def test_orders_and_limits(store: Store) -> None:
    for seq in (3, 1, 2):
        store.add(Event("u", seq, float(seq), "step", f"text {seq}"))
    assert [event.seq for event in store.find(Event, order="-seq", uid="u")] == [3, 2, 1]
    assert [event.seq for event in store.since(Event, "seq", 1, limit=1, uid="u")] == [2]
    assert store.highest(Event, "seq", uid="u") == 3
    assert store.highest(Event, "seq", uid="other") == 0


def test_one_name_lives_once(store: Store) -> None:
    row = Deployment("u1", "hello", "p", "o", "local", "local", "spot", 0.0, "d", 1.0, spec={})
    store.add(row)
    with pytest.raises(exc.IntegrityError):
        store.add(dataclasses.replace(row, uid="u2"))
    store.change(row, ended=2.0)
    assert store.add(dataclasses.replace(row, uid="u2"))


def test_what_is_stored_outlives_the_process(where: Where) -> None:
    first = Store(where)
    first.add(Run("u", 1, "hello", 1.0, body={"num_nodes": 1}))
    del first  # no close: as after a kill
    again = Store(where)
    assert [run.num_nodes for run in again.find(Run)] == [1]
    again.close()


def test_a_store_of_today_is_opened_again_and_a_newer_one_is_not(where: Where) -> None:
    Store(where).close()
    if isinstance(where, Path):
        assert where.stat().st_mode & 0o777 == 0o600
    again = Store(where)
    said(again, f"UPDATE {schema.NOW} SET version_num = '9999'")
    again.close()
    with pytest.raises(Problems, match="control/store-newer"):
        Store(where)


def test_what_cannot_be_a_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"this is no database, and long enough to be seen as none" * 9)
    with pytest.raises(Problems, match="control/store-unusable"):
        Store(tmp_path / "control.db")
    with pytest.raises(Problems, match="control/store-unusable") as refused:
        Store("postgresql://somebody:canary-2@127.0.0.1:1/none")
    assert "canary-2" not in str(refused.value)


def test_large_numbers_and_strange_texts_are_kept(store: Store) -> None:
    rank = RunRank("u", 1, 1, 0, "n", 1.0, message="a\0b ö \u2028 \U0001f600", log_run=5 * 2**40)
    store.add(rank)
    store.add(Event("u", 1, 1.5, "step", "text", {"said": "a\0b", "none": None}))
    [found] = store.find(RunRank)
    assert (found.message, found.log_run) == ("a\ufffdb ö \u2028 \U0001f600", 5 * 2**40)
    assert store.find(Event)[0].data == {"said": "a\0b", "none": None}


def test_what_is_unset_comes_first(store: Store) -> None:
    for name, ended in (("a", 2.0), ("b", None), ("c", 1.0)):
        store.add(Operation(name, "u", "up", 1.0, spec={}, ended=ended))
    assert [one.id for one in store.find(Operation, order="ended")] == ["b", "c", "a"]
    assert [one.id for one in store.find(Operation, order="-ended")] == ["a", "c", "b"]
    with pytest.raises(KeyError):
        store.find(Operation, no_such=1)


def test_a_server_that_was_started_again_is_found_again(postgres_place: Callable[[], str]) -> None:
    place = postgres_place()
    mine, other = Store(place), Store(place)

    cut(mine, other)
    assert mine.add(node())
    cut(mine, other)
    assert [row.node for row in mine.find(Node)] == ["hello-0-aaaaaa"]

    def lose_it_in_the_middle() -> None:
        with mine.together():
            mine.add(node("hello-1-bbbbbb"))
            cut(mine, other)
            mine.add(node("hello-2-cccccc"))

    with pytest.raises(Broken):
        lose_it_in_the_middle()
    assert [row.node for row in mine.find(Node)] == ["hello-0-aaaaaa"], "all or nothing"
    assert mine.add(node("hello-1-bbbbbb"))
    mine.close()
    other.close()


def cut(mine: Store, other: Store) -> None:
    """The server ends the connection of `mine`."""
    [(pid,)] = said(mine, "SELECT pg_backend_pid()")
    said(other, f"SELECT pg_terminate_backend({pid}, 5000)")


def test_secrets_are_sealed(tmp_path: Path, store: Store) -> None:
    vault = Vault(store, tmp_path / "secrets.key")
    vault.put("run:u:1", {"TOKEN": "canary-1"})
    assert vault.get("run:u:1") == {"TOKEN": "canary-1"}
    assert Vault(store, tmp_path / "secrets.key").get("run:u:1") == {"TOKEN": "canary-1"}
    for path in tmp_path.iterdir():
        assert b"canary-1" not in path.read_bytes()
    vault.forget("run:u:1")
    assert vault.get("run:u:1") == {}
    vault.put("run:u:2", {"A": "b"})
    (tmp_path / "secrets.key").write_bytes(b"A" * 43 + b"=")
    with pytest.raises(Problems, match="control/secrets-key"):
        Vault(store, tmp_path / "secrets.key").get("run:u:2")


def fill(control: Control, row: Deployment, size: int) -> None:
    for _ in range(1000):
        control.tell(row, "step", "x" * size)


def test_a_full_store_is_noticed_and_work_goes_on_when_there_is_space(tmp_path: Path) -> None:
    cloud = FakeCloud()
    operations = FakeOperations(cloud, lambda *_: SimpleNamespace(start=lambda: None))  # type: ignore[arg-type, return-value]
    control = Control(tmp_path, operations, lambda _: cloud)  # type: ignore[arg-type, return-value]
    desk.launch(control, read_order(order()))
    [(pages,)] = said(control.store, "PRAGMA page_count")
    said(control.store, f"PRAGMA max_page_count={pages}")
    row = control.store.find(Deployment)[0]
    for size in (1000, 100, 1):
        with pytest.raises(Broken) as full:
            fill(control, row, size)
        assert space.is_full(full.value)
    for _ in range(20):
        asyncio.run(loop.turn(control))
        if control.full:
            break
    assert control.full
    assert view.deployment(control, row)["state"] == "blocked"
    said(control.store, "PRAGMA max_page_count=100000")
    space.look(control)
    asyncio.run(loop.turn(control))
    asyncio.run(loop.turn(control))
    assert control.full is None
    row = control.store.find(Deployment)[0]
    assert (row.stage, view.deployment(control, row)["blocked"]) == ("up", None)
    control.store.close()
