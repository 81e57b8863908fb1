"""The control store over SQLAlchemy: SQLite or PostgreSQL, guarded changes so that a replay does no harm."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Delete,
    Executable,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    create_engine,
    delete,
    event,
    exc,
    false,
    func,
    make_url,
    select,
    update,
)
from sqlalchemy.pool import NullPool

from compiler.problem import Problem, Problems
from skywright.control import schema
from skywright.control.rows import Lease, Row
from skywright.control.tables import TABLES

R = TypeVar("R", bound=Row)

Broken = exc.DBAPIError
"""The database refused or could not be reached."""

ONE_WRITER = 0x736B7977
"""The number of PostgreSQL's lock that lets one transaction write at a time, as SQLite does by itself."""

Shape = tuple[tuple[str, str], ...]
"""A condition without its values: (column, `null`, `in` or `is`)."""


class Lost(Exception):
    """Another replica looks after the deployment by now: nothing was written."""


_proof: ContextVar[Lease | None] = ContextVar("proof", default=None)
"""The lease that every write has to prove, in its own transaction."""


class _Held(threading.local):
    """A thread's own: its connection, and how many `together` it is in."""

    connection: Connection | None = None
    depth = 0


class Store:
    """One connection for each thread. Outside `together()` every call is a transaction of its own."""

    def __init__(self, where: Path | str) -> None:
        """Open or make the store, a file or a `postgresql://` URL, and bring its tables up to date.

        Raises Problems for one that is newer, broken or cannot be reached.
        """
        self.where = where
        self._held = _Held()
        try:
            self._engine = create_engine(
                _url(where),
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
                hide_parameters=True,
                execution_options={"preserve_rowcount": True},
            )
            self.is_shared = self._engine.dialect.name == "postgresql"
            if not self.is_shared:
                event.listen(self._engine, "connect", _prepare)
            with self.together():
                schema.bring_up(self._connection)
        except (exc.SQLAlchemyError, ImportError) as error:
            raise Problems(_unusable(where, error)) from error

    @property
    def _connection(self) -> Connection:
        held = self._held
        if held.connection is None or held.connection.invalidated:
            held.connection = self._engine.connect()
        return held.connection

    def close(self) -> None:
        """This thread's connection is given back."""
        if self._held.connection is not None:
            self._held.connection.close()
            self._held.connection = None

    def now(self) -> float:
        """Seconds since 1970 by the one clock that all who share the store go by."""
        if not self.is_shared:
            return time.time()
        asked = "SELECT extract(epoch FROM clock_timestamp())::double precision"
        return float(self._connection.exec_driver_sql(asked).scalar_one())

    @contextmanager
    def only_while(self, uid: str, holder: str) -> Iterator[None]:
        """Inside, in this task alone, every write raises Lost once `uid` is not looked after by `holder` any more."""
        before = _proof.set(Lease(uid, holder, 0.0))
        try:
            yield
        finally:
            _proof.reset(before)

    def prove(self) -> None:
        """To be asked before something that is no write of the store. Raises Lost."""
        with self.together():
            pass

    def _prove(self) -> None:
        proof = _proof.get()
        if proof and self.first(Lease, uid=proof.uid, holder=proof.holder) is None:
            raise Lost(proof.uid)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All changes inside happen or none does, and nobody else changes anything meanwhile; may be nested."""
        held = self._held
        if held.depth:
            yield
            return
        self._begin()
        held.depth = 1
        try:
            self._prove()
            yield
            self._connection.exec_driver_sql("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            held.depth = 0

    def _begin(self) -> None:
        if not self.is_shared:
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        begin = f"BEGIN; SELECT pg_advisory_xact_lock({ONE_WRITER})"
        try:
            self._connection.exec_driver_sql(begin)
        except Broken as error:
            if not error.connection_invalidated:
                raise
            self._drop()  # the server was started again meanwhile: nothing was begun
            self._connection.exec_driver_sql(begin)

    def _roll_back(self) -> None:
        """A full disk has ended the transaction already, a lost connection too."""
        connection = self._held.connection
        if connection is None or connection.invalidated:
            return self._drop()
        raw = cast(Any, connection.connection.driver_connection)
        if self.is_shared or raw.in_transaction:
            try:
                connection.exec_driver_sql("ROLLBACK")
            except Broken:
                self._drop()
        return None

    def _drop(self) -> None:
        connection, self._held.connection = self._held.connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _read(self, statement: Executable, given: Mapping[str, Any]) -> list[Any]:
        try:
            return list(self._connection.execute(statement, dict(given)))
        except Broken as error:
            if not error.connection_invalidated:
                raise
            self._drop()
            if self._held.depth:
                raise
            return list(self._connection.execute(statement, dict(given)))

    def _write(self, statement: Executable, given: Mapping[str, Any]) -> int:
        """How many rows it changed. Where others write too, a write of its own is a transaction as any other."""
        if not self._held.depth and (self.is_shared or _proof.get()):
            with self.together():
                return self._write(statement, given)
        return int(self._connection.execute(statement, dict(given)).rowcount)

    def add(self, row: Row) -> bool:
        """Store a new row; False when its key exists already (then nothing changes)."""
        kind = type(row)
        values = {name: getattr(row, name) for name in TABLES[kind].c.keys()}  # noqa: SIM118 (it is no mapping)
        return self._write(_insert(TABLES[kind], self._engine.dialect.name), values) > 0

    def change(self, row: Row, *, when: Mapping[str, Any] | None = None, **values: Any) -> bool:
        """Change the row with `row`'s key, only while the columns in `when` have these values. False: it was not so."""
        where = {name: getattr(row, name) for name in row.KEY} | dict(when or {})
        shape, given = _split(TABLES[type(row)], where)
        given |= {f"new_{name}": value for name, value in values.items()}
        return self._write(_update(TABLES[type(row)], shape, tuple(values)), given) > 0

    def find(self, kind: type[R], *, order: str = "", limit: int | None = None, **where: Any) -> list[R]:
        """Rows whose columns equal `where` (None: NULL, a tuple: one of its values), by `order` (`-`: descending).

        NULL comes before every value, and after it in descending order.
        """
        shape, given = _split(TABLES[kind], where)
        statement = _select(TABLES[kind], shape, order, "", limit is not None)
        return [kind(*row) for row in self._read(statement, given | {"limit": limit})]

    def first(self, kind: type[R], *, order: str = "", **where: Any) -> R | None:
        found = self.find(kind, order=order, limit=1, **where)
        return found[0] if found else None

    def since(self, kind: type[R], column: str, after: float, /, *, limit: int, **where: Any) -> list[R]:
        """Rows with `column` above `after`, in its order."""
        shape, given = _split(TABLES[kind], where)
        statement = _select(TABLES[kind], shape, column, column, True)
        return [kind(*row) for row in self._read(statement, given | {"after": after, "limit": limit})]

    def highest(self, kind: type[Row], column: str, **where: Any) -> int:
        """The largest value of `column`, 0 when there is none."""
        shape, given = _split(TABLES[kind], where)
        [row] = self._read(_highest(TABLES[kind], column, shape), given)
        return int(row[0] or 0)

    def remove(self, kind: type[Row], **where: Any) -> None:
        shape, given = _split(TABLES[kind], where)
        self._write(_delete(TABLES[kind], shape), given)


# Statements, each built once for its shape.


@lru_cache(1024)
def _select(table: Table, shape: Shape, order: str, above: str, limited: bool) -> Select[Any]:
    statement = select(table).where(*_conditions(table, shape))
    if above:
        statement = statement.where(table.c[above] > bindparam("after", type_=table.c[above].type))
    for name in order.split():
        column = table.c[name.removeprefix("-")]
        wanted: ColumnElement[Any] = column.desc() if name.startswith("-") else column.asc()
        if column.nullable:  # or the two databases differ
            wanted = wanted.nulls_last() if name.startswith("-") else wanted.nulls_first()
        statement = statement.order_by(wanted)
    return statement.limit(bindparam("limit")) if limited else statement


@lru_cache(1024)
def _highest(table: Table, column: str, shape: Shape) -> Select[Any]:
    return select(func.max(table.c[column])).where(*_conditions(table, shape))


@lru_cache(64)
def _insert(table: Table, dialect: str) -> Insert:
    insert: Any = import_module(f"sqlalchemy.dialects.{dialect}").insert  # only the one is loaded
    values = {column.name: bindparam(column.name, type_=column.type) for column in table.c}
    made = insert(table).values(values).on_conflict_do_nothing(index_elements=list(table.primary_key))
    return cast(Insert, made)


@lru_cache(1024)
def _update(table: Table, shape: Shape, names: tuple[str, ...]) -> Update:
    values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return update(table).where(*_conditions(table, shape)).values(values)


@lru_cache(256)
def _delete(table: Table, shape: Shape) -> Delete:
    return delete(table).where(*_conditions(table, shape))


def _conditions(table: Table, shape: Shape) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for name, form in shape:
        column = table.c[name]
        if form == "null":
            found.append(column.is_(None))
        elif form == "never":
            found.append(false())
        elif form == "in":
            found.append(column.in_(bindparam(f"is_{name}", type_=column.type, expanding=True)))
        else:
            found.append(column == bindparam(f"is_{name}", type_=column.type))
    return found


def _split(table: Table, where: Mapping[str, Any]) -> tuple[Shape, dict[str, Any]]:
    """A condition's shape, and its values by parameter. Raises KeyError for what is no column."""
    unknown = where.keys() - table.c.keys()
    if unknown:
        raise KeyError(f"{table.name} has no {sorted(unknown)}")
    shape: list[tuple[str, str]] = []
    given: dict[str, Any] = {}
    for name, value in where.items():
        if value is None:
            shape.append((name, "null"))
        elif isinstance(value, tuple):
            shape.append((name, "in" if value else "never"))
            if value:
                given[f"is_{name}"] = list(value)
        else:
            shape.append((name, "is"))
            given[f"is_{name}"] = value
    return tuple(shape), given


# Opening.


def _url(where: Path | str) -> URL:
    """Where the store is, for SQLAlchemy. A file is made with mode 0600 before anybody writes into it."""
    if isinstance(where, str):
        return make_url(where).set(drivername="postgresql+psycopg")
    if not where.exists():
        os.close(os.open(where, os.O_CREAT | os.O_WRONLY, 0o600))
    return URL.create("sqlite", database=str(where))


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=5000")


def is_full(error: BaseException) -> bool:
    """Does the database say that its disk is full?"""
    said = str(error.orig).lower() if isinstance(error, Broken) else ""
    return "disk is full" in said or "no space left on device" in said


def _unusable(where: Path | str, error: Exception) -> Problem:
    if isinstance(where, str):
        shown = make_url(where).render_as_string(hide_password=True)
        why = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        hint = "see that PostgreSQL runs there and lets this user in; its driver comes with `skywright[postgres]`"
        return Problem(
            "control/store-unusable", f"the control store {shown} cannot be used: {why}", hint=hint
        )
    if is_full(error):
        return Problem(
            "machine/disk-full",
            f"there is no space left for the control store {where}",
            hint="free some space there, then run the command again",
        )
    why = str(getattr(error, "orig", None) or error)
    return Problem(
        "control/store-unusable",
        f"the control store {where} cannot be used: {why}",
        hint="free disk space, or move the file away to begin with an empty store (then run `skywright orphans`)",
    )
