"""Makes the catalog from price lists: `python -m compiler.catalog.build FOLDER DATE [OUT]`, always the same bytes."""

from __future__ import annotations

import hashlib
import json
import lzma
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from compiler.catalog.images import Image
from compiler.catalog.rows import Row, read

FORMAT = 1

TABLES = """
create table meta (key text primary key, value text) without rowid;
create table source (id integer primary key, says text);
create table place (id integer primary key, cloud text, region text, zone text);
create table cell (
  id integer primary key, cloud text, accelerator text, count real, cpus real, memory_gb real, arch text,
  burstable integer, sold integer, spot_sold integer, low real, high real, spot_low real, spot_high real
);
create table shape (id integer primary key, cell integer, name text);
create table offer (
  id integer primary key, cell integer, shape integer, place integer, price real, spot real, band integer,
  source integer
);
"""


IMAGE = f"create table image ({', '.join(one.name for one in fields(Image))})"
"""Only in a catalog that knows images of its own; others take those that are shipped."""


def write(
    rows: Iterable[Row],
    path: Path,
    *,
    date: str,
    dropped: Mapping[str, int],
    images: Sequence[Image] = (),
) -> None:
    """The catalog of `rows` as a SQLite file without indexes. `date` names the snapshot."""
    ordered = sorted(rows, key=_order)
    with sqlite3.connect(path) as to:
        to.executescript(TABLES)
        cells, shapes, places, sources = _Numbers(), _Numbers(), _Numbers(), _Numbers()
        offers = []
        for number, row in enumerate(ordered):
            cell = cells.of(_cell(row))
            shape = shapes.of((cell, row.instance_type))
            place = places.of((row.cloud, row.region, row.zone))
            source = sources.of((row.source,))
            offers.append((number, cell, shape, place, row.price, row.spot, row.band, source))
        to.executemany("insert into offer values (?, ?, ?, ?, ?, ?, ?, ?)", offers)
        to.executemany("insert into shape values (?, ?, ?)", shapes.rows())
        to.executemany("insert into place values (?, ?, ?, ?)", places.rows())
        to.executemany("insert into source values (?, ?)", sources.rows())
        to.executemany(
            "insert into cell (id, cloud, accelerator, count, cpus, memory_gb, arch, burstable)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            cells.rows(),
        )
        sums = to.execute(
            "select count(price), count(spot), min(price), max(price), min(spot), max(spot), cell from offer"
            " group by cell order by cell"
        ).fetchall()
        to.executemany(
            "update cell set sold = ?, spot_sold = ?, low = ?, high = ?, spot_low = ?, spot_high = ? where id = ?",
            sums,
        )
        totals = {
            cloud: (sold, spot)
            for cloud, sold, spot in to.execute(
                "select cloud, sum(sold), sum(spot_sold) from cell group by cloud order by cloud"
            )
        }
        facts = {
            "format": FORMAT,
            "date": date,
            "rows": len(offers),
            "totals": totals,
            "dropped": dict(sorted(dropped.items())),
        }
        to.executemany("insert into meta values (?, ?)", [(key, json.dumps(facts[key])) for key in facts])
        if images:
            to.execute(IMAGE)
            marks = ", ".join("?" * len(fields(Image)))
            to.executemany(f"insert into image values ({marks})", [astuple(one) for one in images])  # noqa: S608
    to.close()


def packed(
    rows: Iterable[Row],
    *,
    date: str,
    dropped: Mapping[str, int],
    images: Sequence[Image] = (),
    preset: int = 9 | lzma.PRESET_EXTREME,
) -> bytes:
    """The catalog of `rows`, compressed: what is shipped, and what `catalog update` keeps."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        write(rows, path, date=date, dropped=dropped, images=images)
        return lzma.compress(path.read_bytes(), preset=preset)


class _Numbers:
    """Numbers values in the order in which they come."""

    def __init__(self) -> None:
        self.known: dict[tuple[object, ...], int] = {}

    def of(self, value: tuple[object, ...]) -> int:
        return self.known.setdefault(value, len(self.known))

    def rows(self) -> list[tuple[object, ...]]:
        return [(number, *value) for value, number in self.known.items()]


def _cell(row: Row) -> tuple[object, ...]:
    return (
        row.cloud, row.accelerator, row.count if row.accelerator else None, row.cpus, row.memory_gb, row.arch,
        int(row.burstable),
    )  # fmt: skip


def _order(row: Row) -> tuple[object, ...]:
    return (
        row.cloud, row.accelerator or "", row.count, row.cpus, row.memory_gb, row.arch, row.burstable,
        row.instance_type, row.region, row.zone or "", row.price or 0.0, row.spot or 0.0,
    )  # fmt: skip


def main(arguments: list[str], say: Callable[[str], None] = print) -> int:
    """Build from the lists in FOLDER; the packed catalog goes to OUT, by default beside this module."""
    if len(arguments) not in (2, 3):
        say("python -m compiler.catalog.build FOLDER DATE [OUT]")
        return 2
    out = Path(arguments[2]) if len(arguments) == 3 else Path(__file__).with_name("catalog.sqlite.xz")
    rows, dropped = read(Path(arguments[0]), arguments[1])
    content = packed(rows, date=arguments[1], dropped=dropped.counts)
    out.write_bytes(content)
    mark = {"sha256": hashlib.sha256(content).hexdigest(), "date": arguments[1], "rows": len(rows)}
    out.with_name("catalog.json").write_text(json.dumps(mark) + "\n", encoding="utf-8")
    say(f"{len(rows):,} rows, {len(content):,} bytes packed")
    for what, count in sorted(dropped.counts.items()):
        say(f"  left out {count:,}: {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
