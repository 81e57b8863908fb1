"""What stand-ins share with the test: resources that outlive an engine run, refusals to come, calls that were made.

One SQLite file, named by SKYWRIGHT_STANDINS in the environment of the engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "SKYWRIGHT_STANDINS"

_TABLES = """
CREATE TABLE IF NOT EXISTS things (cloud, kind, id, data, PRIMARY KEY (cloud, kind, id));
CREATE TABLE IF NOT EXISTS refusals (n INTEGER PRIMARY KEY, cloud, kind, zone, machine, text, times);
CREATE TABLE IF NOT EXISTS calls (n INTEGER PRIMARY KEY, cloud, service, operation, detail);
CREATE TABLE IF NOT EXISTS steps (n INTEGER PRIMARY KEY, cloud, method, urn, moment, pid);
CREATE TABLE IF NOT EXISTS halts (n INTEGER PRIMARY KEY, reached);
CREATE TABLE IF NOT EXISTS holds (method, name, moment, n);
"""


@dataclass(frozen=True)
class Call:
    """One call of a cloud's API that a stand-in made, or would have made."""

    cloud: str
    service: str
    operation: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One call of the engine at a provider: before it was answered, or after. `n` counts from 1."""

    n: int
    cloud: str
    method: str
    urn: str
    moment: str


class Store:
    """The file; every method is one short transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            with self._open() as base:
                base.execute("PRAGMA journal_mode=WAL")
                base.executescript(_TABLES)

    @classmethod
    def named(cls) -> Store:
        """The one that the environment names."""
        assert os.environ.get(VARIABLE), f"{VARIABLE} has to name the stand-ins' file"
        return cls(Path(os.environ[VARIABLE]))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        base = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            base.execute("PRAGMA synchronous=OFF")
            yield base
        finally:
            base.close()

    # Resources.

    def put(self, cloud: str, kind: str, name: str, data: Mapping[str, Any]) -> None:
        with self._open() as base:
            row = (cloud, kind, name, json.dumps(dict(data)))
            base.execute("INSERT OR REPLACE INTO things VALUES (?, ?, ?, ?)", row)

    def add(self, cloud: str, kind: str, name: str, data: Mapping[str, Any]) -> bool:
        """False, and nothing done, where there is one of that name."""
        with self._open() as base:
            row = (cloud, kind, name, json.dumps(dict(data)))
            return base.execute("INSERT OR IGNORE INTO things VALUES (?, ?, ?, ?)", row).rowcount == 1

    def get(self, cloud: str, kind: str, name: str) -> dict[str, Any] | None:
        with self._open() as base:
            where = "cloud = ? AND kind = ? AND id = ?"
            row = base.execute(f"SELECT data FROM things WHERE {where}", (cloud, kind, name)).fetchone()
        return json.loads(row[0]) if row else None

    def drop(self, cloud: str, kind: str, name: str) -> bool:
        """Was there one?"""
        with self._open() as base:
            where = "cloud = ? AND kind = ? AND id = ?"
            return base.execute(f"DELETE FROM things WHERE {where}", (cloud, kind, name)).rowcount == 1

    def all(self, cloud: str, kind: str | None = None) -> dict[str, dict[str, Any]]:
        """Id -> data; of every kind when none is named."""
        with self._open() as base:
            rows = base.execute("SELECT kind, id, data FROM things WHERE cloud = ? ORDER BY rowid", (cloud,))
            return {name: json.loads(data) for of, name, data in rows if kind in (None, of)}

    def left(self) -> list[tuple[str, str]]:
        """(kind, id) of everything that any stand-in still holds."""
        with self._open() as base:
            return sorted(base.execute("SELECT kind, id FROM things"))

    def kinds(self, cloud: str) -> list[tuple[str, str]]:
        """(kind, id) of all there is."""
        with self._open() as base:
            return list(base.execute("SELECT kind, id FROM things WHERE cloud = ? ORDER BY rowid", (cloud,)))

    # Refusals.

    def refuse(
        self,
        cloud: str,
        kind: str,
        text: str,
        zone: str | None = None,
        machine: str | None = None,
        times: int = 1,
    ) -> None:
        """The next `times` creations of `kind` (its class name) in `zone` of type `machine` fail with `text`."""
        with self._open() as base:
            row = (cloud, kind, zone, machine, text, times)
            base.execute("INSERT INTO refusals VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)

    def refusal(self, cloud: str, kind: str, zone: str | None, machine: str | None) -> str | None:
        """The text that this creation has to fail with, counted as used."""
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            row = base.execute(
                "SELECT n, text FROM refusals WHERE cloud = ? AND kind = ? AND times > 0"
                " AND (zone IS NULL OR zone = ?) AND (machine IS NULL OR machine = ?) ORDER BY n",
                (cloud, kind, zone, machine),
            ).fetchone()
            if row:
                base.execute("UPDATE refusals SET times = times - 1 WHERE n = ?", (row[0],))
            base.execute("COMMIT")
        return str(row[1]) if row else None

    # What happened.

    def called(self, cloud: str, service: str, operation: str, detail: Mapping[str, Any]) -> None:
        with self._open() as base:
            row = (cloud, service, operation, json.dumps(dict(detail), default=str))
            base.execute("INSERT INTO calls VALUES (NULL, ?, ?, ?, ?)", row)

    def calls(self, cloud: str) -> list[Call]:
        with self._open() as base:
            rows = base.execute(
                "SELECT cloud, service, operation, detail FROM calls WHERE cloud = ? ORDER BY n", (cloud,)
            )
            return [Call(*row[:3], json.loads(row[3])) for row in rows]

    def forget_calls(self) -> None:
        """Drop the records of calls and steps; the next step is the first."""
        with self._open() as base:
            base.executescript("DELETE FROM calls; DELETE FROM steps; DELETE FROM halts;")

    def steps(self) -> list[Step]:
        with self._open() as base:
            rows = base.execute("SELECT n, cloud, method, urn, moment FROM steps ORDER BY n")
            return [Step(*row) for row in rows]

    # A process held at a step, for a test that kills it there.

    def halt_at(self, step: int) -> None:
        """Hold the plugin at its step number `step` for as long as it lives."""
        with self._open() as base:
            base.execute("INSERT INTO halts VALUES (?, 0)", (step,))

    def halt_when(self, method: str, name: str, moment: str) -> None:
        """Hold the plugin when the engine next calls `method` for the resource `name`, `before` or `after` it is
        done."""
        with self._open() as base:
            base.execute("INSERT INTO holds VALUES (?, ?, ?, NULL)", (method, name, moment))

    def halted(self) -> int | None:
        """The step at which a plugin is held now."""
        with self._open() as base:
            row = base.execute("SELECT n FROM halts WHERE reached").fetchone()
        return int(row[0]) if row else None

    def go_on(self) -> None:
        """Hold nobody any more."""
        with self._open() as base:
            base.execute("DELETE FROM halts")

    def step(self, cloud: str, method: str, urn: str, moment: str) -> None:
        """Note a step; returns later than asked where a test wants this process held."""
        with self._open() as base:
            base.execute("BEGIN IMMEDIATE")
            made = base.execute(
                "INSERT INTO steps VALUES (NULL, ?, ?, ?, ?, ?)", (cloud, method, urn, moment, os.getpid())
            )
            held = base.execute("UPDATE halts SET reached = 1 WHERE n = ?", (made.lastrowid,)).rowcount == 1
            named = (made.lastrowid, method, urn.rpartition("::")[2], moment)
            where = "method = ? AND name = ? AND moment = ? AND n IS NULL"
            if base.execute(f"UPDATE holds SET n = ? WHERE {where}", named).rowcount:
                base.execute("INSERT INTO halts VALUES (?, 1)", (made.lastrowid,))
                held = True
            base.execute("COMMIT")
        while held:
            time.sleep(0.01)
            with self._open() as base:
                held = bool(base.execute("SELECT 1 FROM halts WHERE reached").fetchone())
