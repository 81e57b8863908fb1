"""`catalog`: which prices this version knows, of when, and of which clouds."""

from __future__ import annotations

from compiler.problem import Exit
from skywright.cli import screen
from skywright.cli.arguments import Values


def run(values: Values) -> int:
    """Date, rows and clouds of the catalog."""
    from skywright.catalog import open_catalog

    catalog = open_catalog()
    found = catalog.find(
        "select place.cloud, count(*), count(price), count(spot), count(distinct region),"
        " count(distinct offer.shape) from offer join place on place.id = offer.place group by place.cloud"
    )
    sources = [text for (text,) in catalog.find("select says from source order by says")]
    if values.json:
        names = ("cloud", "rows", "on_demand", "spot", "regions", "machines")
        clouds = [dict(zip(names, row, strict=True)) for row in found]
        screen.data({"date": catalog.date, "rows": catalog.rows, "clouds": clouds, "sources": sources})
        return int(Exit.FINE)
    screen.out(f"catalog {catalog.date}, {catalog.rows:,} rows")
    head = ["CLOUD", "ROWS", "ON DEMAND", "SPOT", "REGIONS", "MACHINES"]
    cells = [[row[0], *(f"{number:,}" for number in row[1:])] for row in found]
    screen.show_table(head, cells, right=(1, 2, 3, 4, 5))
    for text in sources:
        screen.out(screen.paint(f"  {text}", screen.GREY))
    return int(Exit.FINE)
