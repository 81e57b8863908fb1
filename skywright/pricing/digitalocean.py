"""DigitalOcean: sizes of Droplets with their price and regions (JSON, page by page, API token)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compiler.catalog.rows import Row
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, items, key, mappings, number, text, texts

URL = "https://api.digitalocean.com/v2/sizes?per_page=200"


def parse(pages: Iterable[Any], _last: Sequence[Row], date: str) -> Sheet:
    """Rows of the pages of `/v2/sizes`. Memory is MB there. Raises Broken."""
    sheet = Sheet("do", f"DigitalOcean sizes, {date}")
    for page in pages:
        for size in mappings(items(page, "sizes")):
            if size.get("available") is False:
                sheet.dropped.count("not available")
                continue
            shape = _shape(size, sheet)
            if shape is None:
                continue
            for region in texts(size, "regions"):
                price = number(size.get("price_hourly"))
                sheet.add((region, None), text(size, "slug"), shape, price)
    return sheet


def _shape(size: Mapping[str, Any], sheet: Sheet) -> Shape | None:
    cpus, memory = number(size.get("vcpus")) or 0.0, (number(size.get("memory")) or 0.0) / 1024
    gpu = size.get("gpu_info")
    if not isinstance(gpu, Mapping):
        # Basic Droplets share their CPUs; their names begin with `s-`.
        return Shape(None, 0.0, cpus, memory, "x86_64", re.match(r"s-\d", text(size, "slug")) is not None)
    card = sheet.card(text(gpu, "model").replace("_", " "))
    count = number(gpu.get("count")) or 0.0
    return Shape(card, count, cpus, memory, "x86_64", False) if card and count else None


def fetch(job: Job) -> Fetched:
    """Needs DIGITALOCEAN_TOKEN."""
    headers = {"Authorization": f"Bearer {key('DIGITALOCEAN_TOKEN', 'DIGITALOCEAN_ACCESS_TOKEN')}"}
    pages = job.fetcher.pages(URL, _following, headers, job.tell)
    return Fetched.of(parse(pages, job.last, job.date))


def _following(page: Any) -> str | None:
    links = page.get("links") if isinstance(page, Mapping) else None
    pages = links.get("pages") if isinstance(links, Mapping) else None
    return pages.get("next") if isinstance(pages, Mapping) else None
