"""The control store: SQLite (WAL, synchronous FULL), portable SQL, guarded changes so that a replay does no harm."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from compiler.problem import Problem, Problems
from skywright.control.rows import ROWS, Row
from skywright.control.schema import MIGRATIONS

R = TypeVar("R", bound=Row)


class Store:
    """One connection, used by one thread. Outside `together()` every call is a transaction of its own."""

    def __init__(self, path: Path) -> None:
        """Open or make the store and bring its tables up to date. Raises Problems for one that is newer or broken."""
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA busy_timeout=5000")
            self._migrate()
        except sqlite3.Error as error:
            raise Problems(_unusable(path, error)) from error
        self._depth = 0

    def close(self) -> None:
        self._db.close()

    def _migrate(self) -> None:
        self._db.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        row = self._db.execute("SELECT version FROM schema_version").fetchone()
        version = int(row[0]) if row else 0
        if version > len(MIGRATIONS):
            raise Problems(
                Problem(
                    "control/store-newer",
                    f"the control store has schema {version}, this program knows {len(MIGRATIONS)}",
                    hint="use the newer skywright that wrote it",
                )
            )
        for number in range(version, len(MIGRATIONS)):
            self._db.execute("BEGIN IMMEDIATE")
            for statement in MIGRATIONS[number]:
                self._db.execute(statement)
            self._db.execute("DELETE FROM schema_version")
            self._db.execute("INSERT INTO schema_version VALUES (:version)", {"version": number + 1})
            self._db.execute("COMMIT")

    @contextmanager
    def together(self) -> Iterator[None]:
        """All changes inside happen or none does; may be nested."""
        if self._depth:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def add(self, row: Row) -> bool:
        """Store a new row; False when its key exists already (then nothing changes)."""
        names, _ = _columns(type(row))
        sql = (
            f"INSERT INTO {row.TABLE} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"  # noqa: S608
            f" ON CONFLICT ({', '.join(row.KEY)}) DO NOTHING"
        )
        return (
            self._db.execute(sql, _encode({name: getattr(row, name) for name in names}, type(row))).rowcount
            > 0
        )

    def change(self, row: Row, *, when: Mapping[str, Any] | None = None, **values: Any) -> bool:
        """Change the row with `row`'s key, only while the columns in `when` have these values. False: it was not so."""
        where = {name: getattr(row, name) for name in row.KEY} | dict(when or {})
        condition, given = _where(where, type(row))
        given |= {f"new_{name}": value for name, value in _encode(values, type(row)).items()}
        sets = ", ".join(f"{name} = :new_{name}" for name in values)
        sql = f"UPDATE {row.TABLE} SET {sets} WHERE {condition}"  # noqa: S608
        return self._db.execute(sql, given).rowcount > 0

    def find(self, kind: type[R], *, order: str = "", limit: int | None = None, **where: Any) -> list[R]:
        """Rows whose columns equal `where` (None: NULL, a tuple: one of its values), by `order` (`-`: descending)."""
        condition, given = _where(where, kind)
        sql = f"SELECT * FROM {kind.TABLE} WHERE {condition or '1 = 1'}"  # noqa: S608
        if order:
            sql += " ORDER BY " + ", ".join(
                f"{name[1:]} DESC" if name.startswith("-") else name for name in order.split()
            )
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        return [_decode(row, kind) for row in self._db.execute(sql, given)]

    def first(self, kind: type[R], *, order: str = "", **where: Any) -> R | None:
        found = self.find(kind, order=order, limit=1, **where)
        return found[0] if found else None

    def since(self, kind: type[R], column: str, after: float, /, *, limit: int, **where: Any) -> list[R]:
        """Rows with `column` above `after`, in its order."""
        condition, given = _where(where, kind)
        given["after"] = after
        sql = f"SELECT * FROM {kind.TABLE} WHERE {condition} AND {column} > :after ORDER BY {column} LIMIT {limit}"  # noqa: S608
        return [_decode(row, kind) for row in self._db.execute(sql, given)]

    def highest(self, kind: type[Row], column: str, **where: Any) -> int:
        """The largest value of `column`, 0 when there is none."""
        condition, given = _where(where, kind)
        sql = f"SELECT MAX({column}) FROM {kind.TABLE} WHERE {condition}"  # noqa: S608
        return int(self._db.execute(sql, given).fetchone()[0] or 0)

    def remove(self, kind: type[Row], **where: Any) -> None:
        condition, given = _where(where, kind)
        self._db.execute(f"DELETE FROM {kind.TABLE} WHERE {condition}", given)  # noqa: S608


def _described(kind: type[Row]) -> tuple[tuple[str, ...], dict[str, str]]:
    fields = dataclasses.fields(kind)
    special = {item.name: "json" for item in fields if item.metadata.get("json")}
    special |= {item.name: "bool" for item in fields if item.type == "bool"}
    return tuple(item.name for item in fields), special


_COLUMNS = {kind.TABLE: _described(kind) for kind in ROWS}
"""By table: names of the columns, and those of a special kind: json or bool."""


def _columns(kind: type[Row]) -> tuple[tuple[str, ...], dict[str, str]]:
    return _COLUMNS[kind.TABLE]


def _encode(values: Mapping[str, Any], kind: type[Row]) -> dict[str, Any]:
    names, special = _columns(kind)
    unknown = set(values) - set(names)
    if unknown:
        raise KeyError(f"{kind.__name__} has no {sorted(unknown)}")
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if special.get(name) == "json" and value is not None
        else value
        for name, value in values.items()
    }


def _decode(row: sqlite3.Row, kind: type[R]) -> R:
    names, special = _columns(kind)
    values = {name: row[name] for name in names}
    for name, form in special.items():
        if form == "bool":
            values[name] = bool(values[name])
        elif values[name] is not None:
            values[name] = json.loads(values[name])
    return kind(**values)


def _where(where: Mapping[str, Any], kind: type[Row]) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    given: dict[str, Any] = {}
    for name, value in where.items():
        if value is None:
            parts.append(f"{name} IS NULL")
        elif isinstance(value, tuple):
            keys = [f"is_{name}_{number}" for number in range(len(value))]
            parts.append(f"{name} IN ({', '.join(':' + key for key in keys)})" if keys else "1 = 0")
            given |= dict(zip(keys, value, strict=True))
        else:
            parts.append(f"{name} = :is_{name}")
            given |= {f"is_{key}": item for key, item in _encode({name: value}, kind).items()}
    return " AND ".join(parts), given


def _unusable(path: Path, error: sqlite3.Error) -> Problem:
    if "disk is full" in str(error):
        return Problem(
            "machine/disk-full",
            f"there is no space left for the control store {path}",
            hint="free some space there, then run the command again",
        )
    return Problem(
        "control/store-unusable",
        f"the control store {path} cannot be used: {error}",
        hint="free disk space, or move the file away to begin with an empty store (then run `skywright orphans`)",
    )
