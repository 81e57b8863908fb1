"""IBM: profiles of the public global catalog and the prices of their plans by region (JSON, page by page)."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.catalog import accelerators
from skywright.pricing.fetching import Broken
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, items, mappings, number, text

URL = "https://globalcatalog.cloud.ibm.com/api/v1"

_PROFILE = re.compile(r"[a-z]+\d*[a-z]*-(\d+)x(\d+)(?:x(\d+)([a-z0-9]+))?\Z")

Offers = Iterable[tuple[str, Iterable[Any]]]
"""(profile's name, the records of `pricing/deployment` of its plans)."""


def parse(offers: Offers, date: str) -> Sheet:
    """Rows of profiles: the name tells the size, the plan's metric that counts hours of the instance the price."""
    sheet = Sheet("ibm", f"IBM global catalog, {date}")
    for name, deployments in offers:
        shape = _shape(name, sheet)
        if shape is None:
            continue
        for one in mappings(deployments):
            region = text(one, "deployment_location") or text(one, "deployment_region")
            price = _price(one)
            if price is None:
                sheet.dropped.count("without a price per hour of the instance")
                continue
            sheet.add((region, None), name, shape, price)
    return sheet


def _shape(name: str, sheet: Sheet) -> Shape | None:
    """`gx3-16x80x1l4`: vCPUs, GB of memory, accelerators. None for what is no such profile."""
    found = _PROFILE.match(name)
    if not found:
        sheet.dropped.count("a profile whose name tells no size")
        return None
    card = None
    if found[4]:
        card = accelerators.canonical(found[4])
        if card is None:
            sheet.dropped.count(f"an accelerator nobody knows: {found[4]}")
            return None
    return Shape(card, float(found[3] or 0), float(found[1]), float(found[2]), "x86_64", False)


def _price(deployment: Mapping[str, Any]) -> float | None:
    """USD per hour, of the first tier."""
    for metric in mappings(deployment.get("metrics")):
        unit = (text(metric, "charge_unit_name") or text(metric, "charge_unit")).upper()
        if "INSTANCE" not in unit or "HOUR" not in unit:
            continue
        per = number(metric.get("charge_unit_quantity")) or 1.0
        for amount in mappings(metric.get("amounts")):
            tiers = mappings(amount.get("prices"))
            if amount.get("currency") == "USD" and amount.get("country") in ("USA", "US") and tiers:
                price = number(tiers[0].get("price"))
                return None if price is None else price / per
    return None


def fetch(job: Job) -> Fetched:
    """Public, one question for the plans and one for the prices of every profile."""
    asked = urllib.parse.urlencode({"q": "kind:instance.profile", "_limit": 200, "include": "*"})
    profiles = _listed(job, f"{URL}?{asked}")
    offers = []
    for count, one in enumerate(profiles, 1):
        name, number_of = text(one, "name"), text(one, "id")
        if not _PROFILE.match(name):
            continue
        job.tell(f"{name}, {count} of {len(profiles)}")
        deployments: list[Any] = []
        for plan in _listed(job, f"{URL}/{urllib.parse.quote(number_of, safe='')}/plan"):
            of = urllib.parse.quote(text(plan, "id"), safe="")
            deployments += _listed(job, f"{URL}/{of}/pricing/deployment")
        offers.append((name, deployments))
    sheet = parse(offers, job.date)
    if not sheet.rows:
        raise Broken("the catalog tells no price of an instance")
    return Fetched.of(sheet)


def _listed(job: Job, url: str) -> list[Mapping[str, Any]]:
    pages = job.fetcher.pages(url, lambda page: page.get("next") if isinstance(page, Mapping) else None)
    return [one for page in pages for one in mappings(items(page, "resources"))]
