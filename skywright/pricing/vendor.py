"""What a vendor's module is given and gives: Job, Fetched, and the two ways to give nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.catalog import accelerators
from compiler.catalog.images import Image
from compiler.catalog.rows import Dropped, Row, sane
from skywright.pricing.fetching import Fetcher


class Skipped(Exception):
    """The vendor was not asked, since something of the user's is absent. The text says what."""


@dataclass(frozen=True, slots=True)
class Job:
    """One vendor to ask. `last` are its rows in the catalog in use, `regions` those that the user's settings leave
    (None: all), `tell` takes a few words on how far it is."""

    cloud: str
    date: str
    last: tuple[Row, ...]
    fetcher: Fetcher
    regions: tuple[str, ...] | None = None
    images: tuple[Image, ...] = ()
    tell: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Fetched:
    """`rows` are of now; `kept` those that the source does not tell anew; `notes`
    are remarks for people, `dropped` says how often something was wrong."""

    rows: tuple[Row, ...]
    kept: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, sheet: Sheet, kept: Iterable[Row] = (), *, notes: tuple[str, ...] = ()) -> Fetched:
        """What a parser made."""
        return cls(tuple(sheet.rows), tuple(kept), notes, dict(sheet.dropped.counts))


@dataclass(frozen=True, slots=True)
class Shape:
    """A machine as the last catalog knows it: for sources that tell names and prices only."""

    accelerator: str | None
    count: float
    cpus: float
    memory_gb: float
    arch: str
    burstable: bool


@dataclass(slots=True)
class Sheet:
    """Collects rows of one cloud: names of accelerators become ours, prices that cannot be are left out."""

    cloud: str
    source: str
    dropped: Dropped = field(default_factory=Dropped)
    rows: list[Row] = field(default_factory=list)

    def add(
        self,
        place: tuple[str, str | None],
        name: str,
        shape: Shape,
        price: float | None,
        spot: float | None = None,
        band: int | None = None,
    ) -> None:
        """A row for (region, zone); none when it has no price at all or nobody knows how large it is."""
        if not place[0] or not name or shape.cpus <= 0 or shape.memory_gb <= 0:
            self.dropped.count("without a name, a region or a size")
            return
        price, spot = sane(price, spot, self.dropped)
        if price is None and spot is None:
            self.dropped.count("without any price")
            return
        self.rows.append(
            Row(
                self.cloud, *place, name, shape.accelerator, shape.count if shape.accelerator else 0.0, shape.cpus,
                shape.memory_gb, shape.arch, shape.burstable, _rounded(price), _rounded(spot),
                band if spot is not None else None, self.source,
            )
        )  # fmt: skip

    def card(self, text: str) -> str | None:
        """Our name for a vendor's accelerator; None and counted when nobody knows it."""
        name = accelerators.canonical(text)
        if name is None:
            self.dropped.count(f"an accelerator nobody knows: {text[:40]}")
        return name


def _rounded(price: float | None) -> float | None:
    return None if price is None else round(price, 6)


def shapes(rows: Iterable[Row]) -> dict[str, list[Shape]]:
    """Machine -> how it is known; several where cards are attached to one host."""
    found: dict[str, dict[Shape, None]] = {}
    for row in rows:
        one = Shape(row.accelerator, row.count, row.cpus, row.memory_gb, row.arch, row.burstable)
        found.setdefault(row.instance_type, {})[one] = None
    return {name: list(known) for name, known in found.items()}


def number(value: Any) -> float | None:
    """A price or size as vendors write it (4.5, "4.50", None); None for what is no number from 0 up."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if 0 <= found < math.inf else None


def text(record: Mapping[str, Any], name: str) -> str:
    """The text that stands there, else an empty one."""
    found = record.get(name)
    return found if isinstance(found, str) else ""


def texts(record: Mapping[str, Any], name: str) -> list[str]:
    """The texts of the list that stands there."""
    found = record.get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def items(data: Any, *keys: str) -> list[Any]:
    """The list at `keys` of an answer. Raises Broken when the answer has another shape."""
    from skywright.pricing.fetching import Broken

    for key in keys:
        if not isinstance(data, Mapping) or key not in data:
            raise Broken(f"the answer has no `{'.'.join(keys)}`")
        data = data[key]
    if not isinstance(data, list):
        raise Broken(f"`{'.'.join(keys)}` of the answer is no list")
    return data


def mappings(found: Any) -> list[Mapping[str, Any]]:
    """The records of what should be a list of them: what else stands there is none."""
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, (list, tuple)) else []


def key(*names: str) -> str:
    """The first of these environment variables that is set. Raises Skipped."""
    for name in names:
        if value := os.environ.get(name):
            return value
    raise Skipped(f"needs {' or '.join(names)}")
