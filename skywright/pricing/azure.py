"""Azure: the public retail price list (JSON, page by page), which tells names and prices; sizes are as known."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compiler.catalog.rows import Row
from skywright.pricing.vendor import Fetched, Job, Sheet, items, mappings, number, shapes, text

URL = "https://prices.azure.com/api/retail/prices"
FILTER = "serviceName eq 'Virtual Machines' and priceType eq 'Consumption'"
ELSE = ("Windows", "Cloud Services", "CloudServices", "Dedicated Host")
"""Products of the same machines that cost something else."""


def parse(pages: Iterable[Any], last: Sequence[Row], date: str) -> Sheet:
    """Rows of the pages of the retail price list. Raises Broken."""
    sheet = Sheet("azure", f"Azure retail price list, {date}")
    known = shapes(last)
    prices: dict[tuple[str, str], dict[bool, float]] = {}
    primary: set[tuple[str, str, bool]] = set()
    for page in pages:
        for record in mappings(items(page, "Items")):
            if not _ours(record):
                continue
            place = text(record, "armSkuName"), text(record, "armRegionName")
            price = number(record.get("retailPrice"))
            if price is None or "" in place:
                sheet.dropped.count("without a price, a name or a region")
                continue
            spot = "Spot" in text(record, "skuName")
            # One machine may have several meters in a region: the one of the region itself counts.
            first = bool(record.get("isPrimaryMeterRegion", True))
            if (*place, spot) not in primary or first:
                prices.setdefault(place, {})[spot] = price
            if first:
                primary.add((*place, spot))
    for (name, region), found in prices.items():
        if name not in known:
            sheet.dropped.count("a machine whose size nobody knows")
            continue
        sheet.add((region, None), name, known[name][0], found.get(False), found.get(True))
    return sheet


def _ours(record: Mapping[str, Any]) -> bool:
    product, sku = text(record, "productName"), text(record, "skuName")
    return (
        record.get("unitOfMeasure") == "1 Hour"
        and record.get("currencyCode", "USD") == "USD"
        and record.get("type", "Consumption") == "Consumption"
        and not number(record.get("tierMinimumUnits", 0))
        and "Low Priority" not in sku
        and not any(word in product for word in ELSE)
    )


def fetch(job: Job) -> Fetched:
    """All pages, or those of the regions that the settings name."""
    asked = FILTER
    if job.regions:
        asked += " and (" + " or ".join(f"armRegionName eq '{name}'" for name in job.regions) + ")"
    url = f"{URL}?{urllib.parse.urlencode({'$filter': asked})}"
    pages = job.fetcher.pages(url, lambda page: page.get("NextPageLink"), tell=job.tell)
    sheet = parse(pages, job.last, job.date)
    kept = tuple(row for row in job.last if job.regions and row.region not in job.regions)
    return Fetched.of(sheet, kept)
