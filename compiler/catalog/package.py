"""The catalog that is shipped: its mark without opening it, and unpacking it into a file with indexes."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass

CLOUDS = ("aws", "azure", "gcp", "lambda", "vast")
"""Whose prices are in it."""

_HERE = os.path.dirname(__file__)
PACKED = os.path.join(_HERE, "catalog.sqlite.xz")


INDEXES = """
create index offer_price on offer (cell, price) where price is not null;
create index offer_spot on offer (cell, spot) where spot is not null;
create index offer_place on offer (place, cell);
create index cell_accelerator on cell (accelerator);
create index place_region on place (region);
"""
"""Made when the catalog is unpacked: they would double what is shipped."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which catalog is shipped: content hash, date of the snapshot, rows."""

    sha256: str
    date: str
    rows: int


def mark() -> Mark:
    """Read from the small file beside the catalog."""
    with open(os.path.join(_HERE, "catalog.json"), encoding="utf-8") as file:
        return Mark(**json.load(file))


def unpack(path: str, packed: str | None = None) -> None:
    """Write the catalog in `packed`, without it the shipped one, to `path` and index it. The caller sees to it that
    nobody reads a half of it. Raises OSError, lzma.LZMAError, sqlite3.Error."""
    import lzma

    with lzma.open(packed or PACKED) as source, open(path, "wb") as file:
        file.write(source.read())
    index(path)


def index(path: str) -> None:
    """Make the indexes of a catalog that has none."""
    connection = sqlite3.connect(path)
    with connection:
        connection.executescript(INDEXES)
    connection.close()
