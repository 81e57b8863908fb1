"""The control store's tables for SQLAlchemy, derived from rows.py: one per row, the same for SQLite and PostgreSQL."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, MetaData, Table, Text, TypeDecorator, text
from sqlalchemy.engine import Dialect

from skywright.control.entries import ENTRIES
from skywright.control.rows import ROWS, Row

NO_NUL = "\N{REPLACEMENT CHARACTER}"
"""Stands for a NUL: PostgreSQL keeps none in a text, and what a program says may hold one."""


class Words(TypeDecorator[str]):
    """A text of any length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return value.replace("\0", NO_NUL) if isinstance(value, str) and "\0" in value else value


class Json(TypeDecorator[Any]):
    """A value as JSON text; None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


TYPES: dict[str, Any] = {"str": Words, "int": BigInteger, "float": Double, "bool": Boolean}

METADATA = MetaData()


def _column(kind: type[Row], item: dataclasses.Field[Any]) -> Column[Any]:
    form = str(item.type)
    optional = form.endswith(" | None")
    held = Json if item.metadata.get("json") else TYPES[form.removesuffix(" | None")]
    primary = item.name in kind.KEY
    # A key is given, never counted up by the database.
    return Column(item.name, held(), primary_key=primary, nullable=optional, autoincrement=False)


def _table(kind: type[Row]) -> Table:
    return Table(kind.TABLE, METADATA, *(_column(kind, item) for item in dataclasses.fields(kind)))


TABLES: dict[type[Row], Table] = {kind: _table(kind) for kind in (*ROWS, *ENTRIES)}


def _index(name: str, table: str, column: str, *, only: str | None = None, unique: bool = False) -> None:
    where = text(only) if only else None
    Index(name, METADATA.tables[table].c[column], unique=unique, sqlite_where=where, postgresql_where=where)


_index("one_living_deployment", "deployments", "name", only="ended IS NULL", unique=True)
_index("nodes_of_deployment", "nodes", "uid")
_index("operations_of_deployment", "operations", "uid")
_index("jobs_by_phase", "jobs", "phase")
_index("jobs_of_batch", "jobs", "batch")
_index("ledger_spans_of_deployment", "ledger_spans", "uid")
