"""Vast: what hosts of the marketplace offer just now (JSON); the cheapest of each size and place is a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.catalog import hosts
from compiler.catalog.rows import Row
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, items, mappings, number, text

URL = "https://console.vast.ai/api/v0/bundles/"
QUESTION = {
    "verified": {"eq": True},
    "rentable": {"eq": True},
    "rented": {"eq": False},
    "type": "on-demand",
    "order": [["dph_total", "asc"]],
    "limit": 5000,
}


def parse(data: Any, _last: Sequence[Row], date: str) -> Sheet:
    """Rows of an answer of `bundles`: whole offers, `dph_total` on demand and `min_bid` as spot. Raises Broken."""
    sheet = Sheet("vast", f"Vast offers, {date}")
    best: dict[tuple[str, str], tuple[Shape, float | None, float | None]] = {}
    for offer in mappings(items(data, "offers")):
        shape = _shape(offer, sheet)
        place = text(offer, "geolocation").strip(", ")
        if shape is None or not place:
            continue
        called = text(offer, "gpu_name").replace(" ", "_")
        name = f"{shape.count:g}x-{called}-{shape.cpus:g}-{shape.memory_gb * 1024:.0f}"
        price, bid = number(offer.get("dph_total")), number(offer.get("min_bid"))
        there = best.get((name, place))
        if there:
            price, bid = _least(there[1], price), _least(there[2], bid)
        best[name, place] = shape, price, bid
    for (name, place), (shape, price, bid) in best.items():
        sheet.add((place, None), name, shape, price, bid)
    return sheet


def _shape(offer: Mapping[str, Any], sheet: Sheet) -> Shape | None:
    """The part of a host that is offered: memory goes with the share of its cores."""
    names = ("num_gpus", "cpu_cores_effective", "cpu_ram", "cpu_cores")
    count, cpus, memory_mb, cores = (number(offer.get(name)) or 0.0 for name in names)
    card = sheet.card(text(offer, "gpu_name"))
    if card is None or not count:
        return None
    share = min(1.0, cpus / cores) if cores else 1.0
    memory = float(int(memory_mb * share / 1024))
    return Shape(
        card, count, float(int(cpus)), memory, "arm64" if card in hosts.ARM_CARDS else "x86_64", False
    )


def _least(one: float | None, other: float | None) -> float | None:
    return min((price for price in (one, other) if price), default=None)


def fetch(job: Job) -> Fetched:
    """One question; VAST_API_KEY goes with it where it is set."""
    import os

    named = os.environ.get("VAST_API_KEY")
    headers = {"Authorization": f"Bearer {named}"} if named else {}
    return Fetched.of(parse(job.fetcher.json(URL, headers, QUESTION), job.last, job.date))
