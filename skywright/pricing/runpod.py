"""RunPod: GPU types of its GraphQL API with secure-cloud and spot prices (API key)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compiler.catalog.rows import Row
from skywright.pricing.fetching import Broken
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, items, key, mappings, number, text

URL = "https://api.runpod.io/graphql"
ANYWHERE = "any"
"""One price holds in every data centre, and the answer does not tell which has what."""
COUNTS = (1, 2, 4, 8)

QUERY = """
query { gpuTypes { id displayName memoryInGb maxGpuCount secureCloud securePrice secureSpotPrice
  lowestPrice(input: {gpuCount: 1}) { minimumBidPrice uninterruptablePrice minVcpu minMemory } } }
"""


def parse(data: Any, _last: Sequence[Row], date: str) -> Sheet:
    """Rows of the answer: 1, 2, 4 and 8 of each type, with so many times the vCPUs and memory of one. Raises Broken."""
    if isinstance(data, Mapping) and data.get("errors"):
        raise Broken("the answer tells errors instead of types")
    sheet = Sheet("runpod", f"RunPod GPU types, {date}")
    for kind in mappings(items(data, "data", "gpuTypes")):
        if not kind.get("secureCloud"):
            sheet.dropped.count("on machines of strangers only")
            continue
        lowest = kind.get("lowestPrice")
        least: Mapping[str, Any] = lowest if isinstance(lowest, Mapping) else {}
        price = number(kind.get("securePrice"))
        spot = number(kind.get("secureSpotPrice")) or number(least.get("minimumBidPrice"))
        cpus, memory = number(least.get("minVcpu")) or 0.0, number(least.get("minMemory")) or 0.0
        card = sheet.card(text(kind, "displayName"))
        if card is None:
            continue
        for count in COUNTS:
            if count > (number(kind.get("maxGpuCount")) or 1):
                break
            shape = Shape(card, float(count), cpus * count, memory * count, "x86_64", False)
            whole, bid = (None if one is None else one * count for one in (price, spot))
            sheet.add((ANYWHERE, None), f"{count}x_{text(kind, 'id')}_SECURE", shape, whole, bid)
    return sheet


def fetch(job: Job) -> Fetched:
    """Needs RUNPOD_API_KEY."""
    headers = {"Authorization": f"Bearer {key('RUNPOD_API_KEY')}"}
    return Fetched.of(parse(job.fetcher.json(URL, headers, {"query": QUERY}), job.last, job.date))
