"""`gpus`: accelerators with their prices, cheapest first; one name shows every machine that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems, quote
from skywright.cli import screen
from skywright.cli.arguments import Values

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog

SHOWN = 30
"""Rows without --all."""

_ROWS = """
select cell.accelerator, cell.count, cell.cloud, place.region, shape.name, cell.cpus, cell.memory_gb,
  min(offer.price), min(offer.spot), count(*), offer.band
from cell join offer on offer.cell = cell.id join shape on shape.id = offer.shape
  join place on place.id = offer.place
where {where}
group by cell.accelerator, cell.count, cell.cloud, place.region, shape.name, cell.cpus, cell.memory_gb
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One machine in one region. Prices are USD per hour for the whole machine, of its cheapest zone."""

    accelerator: str
    count: float
    cloud: str
    region: str
    instance_type: str
    cpus: float
    memory_gb: float
    price: float | None
    spot: float | None
    zones: int
    band: int | None

    def each(self, spot: bool) -> float:
        """USD per hour and accelerator; what has no such price comes last."""
        price = self.spot if spot else self.price
        return float("inf") if price is None else price / self.count

    def to_data(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        each = {"price_per_accelerator": self.each(False), "spot_per_accelerator": self.each(True)}
        return {**data, **{key: None if value == float("inf") else value for key, value in each.items()}}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the word on the command line means."""

    names: tuple[str, ...] | None
    count: float | None


def run(values: Values) -> int:
    """The table, or with a name every machine that has it."""
    from skywright.catalog import open_catalog

    asked = _asked(values.accelerator)
    catalog = open_catalog()
    spot = bool(values.spot)
    found = [row for row in _rows(catalog, asked, values.infra) if not spot or row.spot is not None]
    if not found:
        raise Problems(_nothing(values, catalog, spot))
    if asked.names is None and not values.infra and not values.all:
        found = _summed(found, spot)
    found.sort(key=lambda row: (row.each(spot), row.price or 0.0, row.cloud, row.region, row.instance_type))
    shown = found if values.all or values.json or asked.names is None else found[:SHOWN]
    if values.json:
        screen.data({"catalog": catalog.date, "rows": [row.to_data() for row in shown]})
        return int(Exit.FINE)
    _show(shown, spot)
    if len(shown) < len(found):
        screen.out(screen.paint(f"… {len(found) - len(shown):,} more: --all", screen.GREY))
    hint = "" if asked.names else " · every machine: skywright gpus NAME"
    screen.out(screen.paint(f"catalog {catalog.date}{hint}", screen.GREY))
    return int(Exit.FINE)


def _show(rows: list[Row], spot: bool) -> None:
    from compiler.catalog.accelerators import facts

    head = ["ACCELERATOR", "EACH", "$/H EACH", "$/H", "SPOT", "CLOUD", "REGION", "MACHINE", "CPUS", "MEMORY"]
    cells = []
    for row in rows:
        known = facts(row.accelerator)
        each = row.each(spot)
        cells.append(
            [
                f"{row.accelerator}:{row.count:g}",
                f"{known.memory_gb:g} GB" if known and known.memory_gb else "-",
                screen.money(None if each == float("inf") else each),
                screen.money(row.price),
                screen.money(row.spot),
                row.cloud,
                row.region,
                row.instance_type,
                f"{row.cpus:g}",
                f"{row.memory_gb:g} GB",
            ]
        )
    screen.show_table(head, cells, right=(1, 2, 3, 4, 8, 9))


def _asked(word: str | None) -> Asked:
    """`H100`, `H100:8`, `80GB+`. Raises Problems usage/unknown-accelerator."""
    from compiler import quantity
    from compiler.catalog import accelerators

    if word is None:
        return Asked(None, None)
    try:
        name, count = quantity.counted(word)
    except ValueError as error:
        raise Problems(Problem("usage/unknown-accelerator", f"{quote(word)}: {error}")) from None
    if name.rstrip("+").upper().endswith("GB") and name[:1].isdigit():
        try:
            size = quantity.size(name)
        except ValueError as error:
            raise Problems(Problem("usage/unknown-accelerator", f"{quote(word)}: {error}")) from None
        return Asked(accelerators.with_memory(size.value, at_least=size.at_least), count)
    known = accelerators.canonical(name)
    if known is None:
        near = accelerators.similar(name)
        hint = f"did you mean `{near}`?" if near else "all of them: skywright gpus"
        said = f"no accelerator is called {quote(name)}"
        raise Problems(Problem("usage/unknown-accelerator", said, hint=hint))
    return Asked((known,), count)


def _rows(catalog: Catalog, asked: Asked, infra: str | None) -> list[Row]:
    where, given = ["cell.accelerator is not null"], list[Any]()
    if asked.names is not None:
        marks = ",".join("?" * len(asked.names))
        where.append(f"cell.accelerator in ({marks})")
        given += asked.names
    if asked.count is not None:
        where.append("cell.count = ?")
        given.append(asked.count)
    for column, value in zip(("cell.cloud", "place.region", "place.zone"), _infra(infra), strict=False):
        if value is not None:
            where.append(f"{column} = ?")
            given.append(value)
    found = catalog.find(_ROWS.format(where=" and ".join(where)), tuple(given))
    return [Row(*row) for row in found]


def _infra(text: str | None) -> list[str | None]:
    from compiler.catalog import clouds

    if not text:
        return []
    first, *rest = text.strip().strip("/").split("/")
    cloud = None if first in ("", "*") else clouds.canonical(first)
    return [cloud, *(None if part in ("", "*") else part for part in rest)]


def _summed(rows: list[Row], spot: bool) -> list[Row]:
    """The cheapest machine of each accelerator, per accelerator."""
    best: dict[str, Row] = {}
    for row in rows:
        there = best.get(row.accelerator)
        if there is None or (row.each(spot), row.count) < (there.each(spot), there.count):
            best[row.accelerator] = row
    return list(best.values())


def _nothing(values: Values, catalog: Catalog, spot: bool) -> Problem:
    wanted = f"`{values.accelerator}`" if values.accelerator else "accelerators"
    where = f" in {quote(values.infra)}" if values.infra else ""
    kind = " as spot" if spot else ""
    hint = f"clouds whose prices are known: {', '.join(catalog.clouds)}"
    return Problem("usage/nothing-for-sale", f"nobody sells {wanted}{where}{kind}", hint=hint)
