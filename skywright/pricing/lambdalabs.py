"""Lambda: instance types with their price and the regions that have some now (JSON, API key)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.catalog import accelerators, hosts
from compiler.catalog.rows import Row
from skywright.pricing.fetching import Broken
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, key, mappings, number, shapes, text

URL = "https://cloud.lambda.ai/api/v1/instance-types"

_CARD = re.compile(r"(.+?)\s*\((\d+) GB")


def parse(data: Any, last: Sequence[Row], date: str) -> Sheet:
    """Rows of the answer, one price for all regions: those with capacity now and those of `last`. Raises Broken."""
    sheet = Sheet("lambda", f"Lambda instance types, {date}")
    found = data.get("data") if isinstance(data, Mapping) else None
    if not isinstance(found, Mapping):
        raise Broken("the answer has no `data`")
    known = shapes(last)
    regions: dict[str, dict[str, None]] = {}
    for row in last:
        regions.setdefault(row.instance_type, {})[row.region] = None
    for entry in mappings(list(found.values())):
        kind = entry.get("instance_type")
        if not isinstance(kind, Mapping) or not isinstance(kind.get("specs"), Mapping):
            sheet.dropped.count("without a size")
            continue
        name = text(kind, "name")
        cents = number(kind.get("price_cents_per_hour"))
        shape = known[name][0] if name in known else _shape(kind, sheet)
        if shape is None:
            continue
        there = regions.setdefault(name, {})
        for region in mappings(entry.get("regions_with_capacity_available")):
            there[text(region, "name")] = None
        if not there:
            sheet.dropped.count("sold nowhere now")
        for one in there:
            sheet.add((one, None), name, shape, None if cents is None else cents / 100)
    return sheet


def _shape(kind: Mapping[str, Any], sheet: Sheet) -> Shape | None:
    specs = kind["specs"]
    count, cpus, memory = (number(specs.get(name)) or 0.0 for name in ("gpus", "vcpus", "memory_gib"))
    if not count:
        return Shape(None, 0.0, cpus, memory, "x86_64", False)
    said = text(kind, "gpu_description")
    parts = _CARD.match(said)
    card = accelerators.canonical(f"{parts[1]}-{parts[2]}GB") if parts else None
    card = card or sheet.card(parts[1] if parts else said)
    arch = "arm64" if card in hosts.ARM_CARDS else "x86_64"
    return Shape(card, count, cpus, memory, arch, False) if card else None


def fetch(job: Job) -> Fetched:
    """Needs LAMBDA_API_KEY."""
    headers = {"Authorization": f"Bearer {key('LAMBDA_API_KEY')}"}
    return Fetched.of(parse(job.fetcher.json(URL, headers), job.last, job.date))
