"""Cudo: machine types by data centre, whose vCPUs, memory and GPUs are priced apart (JSON, public)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.catalog.rows import Row
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, items, mappings, number, text

URL = "https://rest.compute.cudo.org/v1/vms/machine-types-2"
COUNTS = (1, 2, 4, 8)
CPUS_EACH = 8
"""vCPUs for each GPU where the type leaves the choice; GB of memory are four times as many."""
CPUS_ALONE = (2, 4, 8, 16, 32)


def parse(data: Any, _last: Sequence[Row], date: str) -> Sheet:
    """Rows of a few sizes of each type: it is sold in any size within its limits. Raises Broken."""
    sheet = Sheet("cudo", f"Cudo machine types, {date}")
    for kind in mappings(items(data, "machineTypes")):
        rates = [_rate(kind, name) for name in ("vcpuPriceHr", "memoryGibPriceHr", "gpuPriceHr")]
        model = text(kind, "gpuModel")
        card = sheet.card(model.partition("(")[0].strip()) if model else None
        if rates[0] is None or rates[1] is None or (model and (card is None or rates[2] is None)):
            sheet.dropped.count("without all its prices")
            continue
        region, name = text(kind, "dataCenterId"), text(kind, "machineType")
        for count, cpus in (
            [(count, 0.0) for count in COUNTS] if card else [(0, float(n)) for n in CPUS_ALONE]
        ):
            cpus, memory = _size(kind, count, cpus)
            shape = Shape(card, float(count), cpus, memory, "x86_64", False)
            price = rates[0] * cpus + rates[1] * memory + (rates[2] or 0.0) * count
            # A sum of nothing but zeros is a price that is not told.
            sheet.add((region, None), f"{name}_{count}x{cpus:g}v{memory:g}gb", shape, price)
    return sheet


def _size(kind: Mapping[str, Any], count: int, cpus: float) -> tuple[float, float]:
    """vCPUs and GB within the limits of the type."""
    if count:
        cpus = (
            _within(CPUS_EACH, number(kind.get("minVcpuPerGpu")), number(kind.get("maxVcpuPerGpu"))) * count
        )
    cpus = math.ceil(max(cpus, number(kind.get("minVcpu")) or 0.0))
    low, high = number(kind.get("minVcpuPerMemoryGib")), number(kind.get("maxVcpuPerMemoryGib"))
    memory = _within(4.0 * cpus, cpus / high if high else None, cpus / low if low else None)
    return float(cpus), float(math.ceil(max(memory, number(kind.get("minMemoryGib")) or 0.0)))


def _within(wanted: float, low: float | None, high: float | None) -> float:
    return max(low or 0.0, min(wanted, high or math.inf))


def _rate(kind: Mapping[str, Any], name: str) -> float | None:
    found = kind.get(name)
    return number(found.get("value")) if isinstance(found, Mapping) else None


def fetch(job: Job) -> Fetched:
    """One question, without a key."""
    return Fetched.of(parse(job.fetcher.json(URL), job.last, job.date))
