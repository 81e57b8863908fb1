"""Leases in the PostgreSQL database that holds the state, in a table of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from compiler.problem import Problem, Problems
from stacks.carriers import Entry

TIMEOUT_S = 5
TABLE = """
CREATE TABLE IF NOT EXISTS skywright_leases (
    key text PRIMARY KEY,
    content bytea NOT NULL,
    written timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
PULUMIS = frozenset({"table"})
"""Parameters of the URL that Pulumi's backend understands and PostgreSQL does not."""


class PostgresCarrier:
    """One connection per call: leases are renewed every few seconds, and servers forget idle connections."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = [(name, value) for name, value in parse_qsl(parts.query) if name not in PULUMIS]
        self._url = urlunsplit(parts._replace(query=urlencode(query)))
        with self._asking() as database:
            # Two that come first at once meet in the catalog; the second finds the table there.
            database.execute("SELECT pg_advisory_xact_lock(hashtext('skywright_leases'))")
            database.execute(TABLE)

    def read(self, key: str) -> Entry | None:
        with self._asking() as database:
            row = database.execute(
                "SELECT content, extract(epoch FROM clock_timestamp() - written)"
                " FROM skywright_leases WHERE key = %s",
                (key,),
            ).fetchone()
        return None if row is None else Entry(bytes(row[0]), max(0.0, float(row[1])))

    def write(self, key: str, content: bytes, expected: bytes | None) -> bool:
        with self._asking() as database:
            if expected is None:
                done = database.execute(
                    "INSERT INTO skywright_leases (key, content) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                    (key, content),
                )
            else:
                done = database.execute(
                    "UPDATE skywright_leases SET content = %s, written = clock_timestamp()"
                    " WHERE key = %s AND content = %s",
                    (content, key, expected),
                )
            return bool(done.rowcount == 1)

    def remove(self, key: str, expected: bytes) -> bool:
        with self._asking() as database:
            done = database.execute(
                "DELETE FROM skywright_leases WHERE key = %s AND content = %s", (key, expected)
            )
            return bool(done.rowcount == 1)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        import psycopg

        try:
            with psycopg.connect(self._url, connect_timeout=TIMEOUT_S) as database:
                yield database
        except psycopg.Error as error:
            raise OSError(f"PostgreSQL: {str(error).strip()}") from None


def open_carrier(url: str) -> PostgresCarrier:
    """With the backend's own URL."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        says = "the lease of a PostgreSQL backend needs its client"
        hint = "./invoke setup --extra postgres"
        raise Problems(Problem("engine/backend-unreachable", says, hint=hint)) from None
    return PostgresCarrier(url)
