"""What a catalog holds, whole: the rows of a cloud, and images."""

from __future__ import annotations

import sqlite3

from compiler.catalog.images import Image, shipped
from compiler.catalog.rows import Row
from compiler.catalog.shelf import Catalog


def rows(catalog: Catalog, cloud: str) -> list[Row]:
    """Every row of a cloud, as it was written."""
    found = catalog.find(
        "select region, zone, shape.name, accelerator, coalesce(count, 0), cpus, memory_gb, arch, burstable,"
        " offer.price, spot, band, says from offer join cell on cell.id = offer.cell"
        " join shape on shape.id = shape join place on place.id = place join source on source.id = source"
        " where cell.cloud = ? order by offer.id",
        (cloud,),
    )
    return [
        Row(cloud, region, zone, name, card, count, cpus, memory, arch, bool(burst), price, spot, band, says)
        for region, zone, name, card, count, cpus, memory, arch, burst, price, spot, band, says in found
    ]


def images(catalog: Catalog) -> tuple[Image, ...]:
    """Images as this catalog knows them; without any of its own those that are shipped."""
    try:
        found = catalog.find("select * from image")
    except sqlite3.OperationalError:
        return shipped()
    return tuple(Image(*row) for row in found)
