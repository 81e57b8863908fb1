"""Oracle: shapes and products of its public cost estimator (JSON); one price holds in all regions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from compiler.catalog import accelerators
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, items, mappings, number, text

URL = "https://www.oracle.com/a/ocom/docs/cloudestimator2/data/"
REGIONS = ("us-ashburn-1", "us-phoenix-1", "us-chicago-1", "eu-frankfurt-1", "uk-london-1", "ap-tokyo-1")
"""Where nothing is known yet. The estimator does not tell which shape is where."""
PREEMPTIBLE = 0.5
"""A preemptible machine costs half; whole hosts (bare metal) cannot be preemptible."""

_NUMBERED = {"GPU2": "P100", "GPU3": "V100", "GPU4": "A100"}
_BARE = re.compile(r"\ABM\.")


def parse(shapes: Any, products: Any, regions: tuple[str, ...], date: str) -> Sheet:
    """Rows of `shapes.json` and `products.json`. Raises Broken."""
    sheet = Sheet("oci", f"Oracle cost estimator, {date}")
    prices = {
        text(one, "partNumber"): price
        for one in mappings(items(products, "items"))
        if (price := _price(one)) is not None
    }
    for one in mappings(items(shapes, "items")):
        if one.get("hidden") or one.get("status") != "ACTIVE" or _value(one, "subType") == "flexible":
            continue
        name, parts = text(one, "name"), mappings(one.get("products"))
        units = [part for part in parts if _value(part, "type") == "ocpu"]
        if len(units) != 1 or text(units[0], "partNumber") not in prices:
            sheet.dropped.count("without one price")
            continue
        shape = _shape(name, one, number(units[0].get("qty")) or 0.0, sheet)
        if shape is None:
            continue
        price = prices[text(units[0], "partNumber")] * (shape.count or number(units[0].get("qty")) or 0.0)
        spot = None if _BARE.match(name) else price * PREEMPTIBLE
        for region in regions:
            sheet.add((region, None), name, shape, price, spot)
    return sheet


def _shape(name: str, one: Mapping[str, Any], cores: float, sheet: Sheet) -> Shape | None:
    count, memory = number(one.get("gpuQty")) or 0.0, number(one.get("bundleMemoryQty")) or 0.0
    card = None
    if count:
        card = _card(name, number(one.get("gpuMemoryQty")), count)
        if card is None:
            sheet.dropped.count(f"an accelerator nobody knows: {name[:40]}")
            return None
    # The list calls hosts of GPUs ARM that are none.
    arm = _value(one, "processorType") == "arm" and not count
    return Shape(card, count, cores if arm else cores * 2, memory, "arm64" if arm else "x86_64", False)


def _card(name: str, memory_gb: float | None, count: float) -> str | None:
    """`BM.GPU.A100-v2.8`, `VM.GPU.A10.1`, `BM.GPU4.8`: the card stands in the shape's name."""
    parts = re.split(r"[.-]", name)
    plain = next((_NUMBERED[part] for part in parts if part in _NUMBERED), None)
    if plain is None and "GPU" in parts[:-1]:
        plain = parts[parts.index("GPU") + 1]
    if plain is None:
        return None
    sized = accelerators.canonical(f"{plain}-{memory_gb / count:.0f}GB") if memory_gb else None
    return sized or accelerators.canonical(plain)


def _price(product: Mapping[str, Any]) -> float | None:
    """USD per hour, pay as you go."""
    if text(product, "pricetype").upper() not in ("HOUR", "HOUR_UTILIZED"):
        return None
    for local in mappings(product.get("currencyCodeLocalizations")):
        for price in mappings(local.get("prices")):
            if local.get("currencyCode") == "USD" and price.get("model") == "PAY_AS_YOU_GO":
                return number(price.get("value"))
    return None


def _value(one: Mapping[str, Any], name: str) -> str:
    found = one.get(name)
    return text(found, "value") if isinstance(found, Mapping) else ""


def fetch(job: Job) -> Fetched:
    """Public. In the regions that the settings name, else those of the last catalog."""
    regions = job.regions or tuple(dict.fromkeys(row.region for row in job.last)) or REGIONS
    shapes, products = (job.fetcher.json(URL + name) for name in ("shapes.json", "products.json"))
    note = "Oracle does not say which machine is sold in which region"
    return Fetched.of(parse(shapes, products, regions, job.date), notes=(note,))
