"""The tables of docs/catalog.md that are made from the catalog: prices of traffic and storage, and images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from compiler.catalog import images, tariffs

DOC = Path(__file__).resolve().parents[1] / "docs" / "catalog.md"


def text() -> str:
    """The document with its tables made anew."""
    found = DOC.read_text()
    for name, lines in (("tariffs", _tariffs()), ("images", _images())):
        table = "\n".join(lines)
        found, times = re.subn(
            rf"(?s)(<!-- {name}: .*? -->\n).*?(\n<!-- end -->)",
            lambda match, table=table: f"{match[1]}{table}{match[2]}",
            found,
        )
        assert times == 1, name
    return found


def _tariffs() -> Iterator[str]:
    yield "| what | cloud | USD | source |"
    yield "|---|---|---|---|"
    for row in tariffs.listed():
        price = f"{row.low:g}" if row.low == row.high else f"{row.low:g} to {row.high:g}"
        yield f"| {row.what} | {row.cloud} | {price} per {row.unit} | {row.source} |"


def _images() -> Iterator[str]:
    yield "| cloud | name | CPU | for | id | what the id is | driver, CUDA | source |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in images.shipped():
        versions = ", ".join(part for part in (row.driver, row.cuda) if part) or "-"
        yield (
            f"| {row.cloud} | {row.name} | {row.arch} | {row.drives or 'no accelerator'} | `{row.id}` | {row.kind} |"
            f" {versions} | {row.source}, {row.date} |"
        )


if __name__ == "__main__":
    DOC.write_text(text())
