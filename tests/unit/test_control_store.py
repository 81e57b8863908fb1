"""The control store: guarded changes, transactions, encrypted values, and tables that match their rows."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from compiler.problem import Problems
from skywright.control import desk, loop, space, view
from skywright.control.context import Control
from skywright.control.orders import read_order
from skywright.control.rows import ROWS, Deployment, Event, Node, Run
from skywright.control.schema import MIGRATIONS
from skywright.control.store import Store
from skywright.control.vault import Vault
from tests.e2e.control_fakes import FakeCloud, FakeOperations, order


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "control.db")


def node(name: str = "hello-0-aaaaaa", **more: object) -> Node:
    return Node(node=name, uid="u", rank=0, address="127.0.0.2", created=1.0, **more)  # type: ignore[arg-type]


def test_every_table_has_the_columns_of_its_row(tmp_path: Path) -> None:
    Store(tmp_path / "control.db").close()
    raw = sqlite3.connect(tmp_path / "control.db")
    for kind in ROWS:
        columns = {row[1] for row in raw.execute(f"PRAGMA table_info({kind.TABLE})")}
        assert columns == {field.name for field in dataclasses.fields(kind)}, kind.TABLE
    raw.close()


def test_a_store_of_the_first_release_keeps_its_deployments(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "control.db")
    for statement in MIGRATIONS[0]:
        raw.execute(statement)
    raw.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
    raw.execute("INSERT INTO schema_version VALUES (1)")
    columns = [row[1] for row in raw.execute("PRAGMA table_info(deployments)")]
    given = {"spec": '{"nodes":1}', "ended": None, "kept": None, "problem": None, "envelope": None}
    raw.execute(
        f"INSERT INTO deployments VALUES ({', '.join('?' * len(columns))})",
        [given.get(name, 1) for name in columns],
    )
    raw.commit()
    raw.close()
    [row] = Store(tmp_path / "control.db").find(Deployment)
    assert (row.spec, row.task, row.before) == ({"nodes": 1}, None, None)


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
    with pytest.raises(sqlite3.IntegrityError):
        store.add(dataclasses.replace(row, uid="u2"))
    store.change(row, ended=2.0)
    assert store.add(dataclasses.replace(row, uid="u2"))


def test_what_is_stored_outlives_the_process(tmp_path: Path) -> None:
    first = Store(tmp_path / "control.db")
    first.add(Run("u", 1, "hello", 1.0, body={"num_nodes": 1}))
    del first  # no close: as after a kill
    again = Store(tmp_path / "control.db")
    assert [run.num_nodes for run in again.find(Run)] == [1]


def test_a_store_of_today_is_opened_again_and_a_newer_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    Store(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    Store(path).close()
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT version FROM schema_version").fetchall() == [(len(MIGRATIONS),)]
    raw.execute("UPDATE schema_version SET version = 99")
    raw.commit()
    raw.close()
    with pytest.raises(Problems, match="control/store-newer"):
        Store(path)


def test_statements_are_standard_sql() -> None:
    for statement in (statement for migration in MIGRATIONS for statement in migration):
        for word in ("AUTOINCREMENT", "WITHOUT ROWID", "STRICT", "INTEGER PRIMARY KEY", "BLOB", "DATETIME"):
            assert word not in statement.upper()


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
    [pages] = control.store._db.execute("PRAGMA page_count").fetchone()
    control.store._db.execute(f"PRAGMA max_page_count={pages}")
    row = control.store.find(Deployment)[0]
    for size in (1000, 100, 1):
        with pytest.raises(sqlite3.Error) as full:
            fill(control, row, size)
        assert space.is_full(full.value)
    for _ in range(20):
        asyncio.run(loop.turn(control))
        if control.full:
            break
    assert control.full
    assert view.deployment(control, row)["state"] == "blocked"
    control.store._db.execute("PRAGMA max_page_count=100000")
    space.look(control)
    asyncio.run(loop.turn(control))
    asyncio.run(loop.turn(control))
    assert control.full is None
    row = control.store.find(Deployment)[0]
    assert (row.stage, view.deployment(control, row)["blocked"]) == ("up", None)
    control.store.close()
