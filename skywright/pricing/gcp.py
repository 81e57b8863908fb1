"""Google Cloud: the billing catalog's SKUs (API key): vCPUs, memory and accelerators are priced apart and added up."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compiler.catalog.hosts import GCP_SHARED, built_in
from compiler.catalog.rows import Row
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, items, key, mappings, number, text, texts

URL = "https://cloudbilling.googleapis.com/v1/services/6F81-5844-456A/skus"

SERIES = {
    "n1": "n1 predefined", "n2": "n2", "n2d": "n2d amd", "n4": "n4", "e2": "e2", "c2": "compute optimized",
    "c2d": "c2d amd", "c3": "c3", "c3d": "c3d", "c4": "c4", "c4d": "c4d", "c4a": "c4a arm", "t2d": "t2d amd",
    "t2a": "t2a arm",
    "m1": "memory-optimized", "m3": "m3 memory-optimized", "a2": "a2", "a3": "a3", "a3-megagpu": "a3plus",
    "a3-ultragpu": "a3ultra", "a4": "a4", "g2": "g2",
}  # fmt: skip
"""Series of machines, and how SKUs call their vCPUs and memory."""

NOT_OURS = ("custom", "premium", "sole tenancy", "reserved", "commitment", "dws", "extended")
MEGA = {"h100 80gb mega": "H100-MEGA", "h100 80gb plus": "H100-MEGA"}

_PART = re.compile(r"(?:spot )?(?:preemptible )?(.+?) (?:instance )?(core|ram) running in ")
_CARD = re.compile(r"(?:spot )?(?:preemptible )?(nvidia .+?) gpu (?:attached|running) ")

Rates = dict[tuple[str, str, bool, str], float]
"""(series or accelerator, `core`, `ram` or `card`, is it spot, region) -> USD per hour and unit."""


def parse(pages: Iterable[Any], last: Sequence[Row], date: str) -> Sheet:
    """Rows for every machine of `last` that the SKUs price: of other machines nobody tells the size. Raises Broken."""
    sheet = Sheet("gcp", f"Google Cloud billing catalog, {date}")
    rates: Rates = {}
    for page in pages:
        for sku in mappings(items(page, "skus")):
            _read(sku, rates, sheet)
    for row in last:
        if not told(row):
            continue
        price, spot = (_sum(row, market, rates) for market in (False, True))
        if price is None and spot is None:
            sheet.dropped.count("a machine whose parts have no price there")
            continue
        shape = Shape(row.accelerator, row.count, row.cpus, row.memory_gb, row.arch, row.burstable)
        sheet.add((row.region, row.zone), row.instance_type, shape, price, spot)
    return sheet


def told(row: Row) -> bool:
    """Whether the SKUs tell the price of such a row: TPUs and shared cores stand elsewhere."""
    return row.instance_type not in GCP_SHARED and _series(row.instance_type) is not None


def _series(machine: str) -> str | None:
    family, _, rest = machine.partition("-")
    return SERIES.get(f"{family}-{rest.partition('-')[0]}", SERIES.get(family))


def _read(sku: Mapping[str, Any], rates: Rates, sheet: Sheet) -> None:
    description = text(sku, "description").lower()
    category = sku.get("category")
    usage = category.get("usageType") if isinstance(category, Mapping) else None
    if usage not in ("OnDemand", "Preemptible") or any(word in description for word in NOT_OURS):
        return
    part, card = _PART.match(description), _CARD.match(description)
    if part:
        name, kind = part[1], part[2]
    elif card:
        plain = card[1].removeprefix("nvidia ")
        found = MEGA.get(plain) or sheet.card(card[1])
        if found is None:
            return
        name, kind = found, "card"
    else:
        return
    price = _price(sku)
    if price is None:
        sheet.dropped.count("a SKU without a price")
        return
    for region in texts(sku, "serviceRegions"):
        rates[name, kind, usage == "Preemptible", region] = price


def _price(sku: Mapping[str, Any]) -> float | None:
    """USD per hour of a unit: whole dollars and billionths, of the first tier that costs something."""
    try:
        tiers = sku["pricingInfo"][0]["pricingExpression"]["tieredRates"]
        for tier in tiers:
            unit = tier["unitPrice"]
            price = (number(unit.get("units", 0)) or 0.0) + (number(unit.get("nanos", 0)) or 0.0) / 1e9
            if unit.get("currencyCode", "USD") == "USD" and price > 0:
                return price
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    return None


def _sum(row: Row, spot: bool, rates: Rates) -> float | None:
    """Host and accelerators; None when a part has no price. Some hosts come in the price of their cards."""
    series = _series(row.instance_type) or ""
    core = rates.get((series, "core", spot, row.region))
    ram = rates.get((series, "ram", spot, row.region))
    card = rates.get((row.accelerator, "card", spot, row.region)) if row.accelerator else 0.0
    if card is None:
        return None
    if core is None or ram is None:
        return card * row.count if built_in(row.instance_type) and card else None
    return core * row.cpus + ram * row.memory_gb + card * row.count


def fetch(job: Job) -> Fetched:
    """Needs GOOGLE_API_KEY. TPUs and shared cores, which stand in other lists, stay."""
    headers = {"X-Goog-Api-Key": key("GOOGLE_API_KEY", "GCP_API_KEY")}
    url = f"{URL}?pageSize=5000"

    def following(page: Mapping[str, Any]) -> str | None:
        token = page.get("nextPageToken")
        return f"{url}&{urllib.parse.urlencode({'pageToken': token})}" if token else None

    sheet = parse(job.fetcher.pages(url, following, headers, job.tell), job.last, job.date)
    return Fetched.of(sheet, tuple(row for row in job.last if not told(row)))
