"""AWS: the bulk offer file of each region (CSV, public), and spot price history where there are credentials."""

from __future__ import annotations

import csv
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from compiler.catalog.rows import Row
from skywright.pricing.fetching import Broken
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, number, shapes, text

URL = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonEC2/current/{region}/index.csv"

COLUMNS = (
    *("TermType", "Unit", "PricePerUnit", "Currency", "Product Family", "Instance Type", "vCPU", "Memory"),
    *("Physical Processor", "Tenancy", "Operating System", "CapacityStatus", "Pre Installed S/W"),
)

WANTED = {
    "TermType": ("OnDemand",), "Unit": ("Hrs",), "Currency": ("USD",), "Tenancy": ("Shared",),
    "Operating System": ("Linux",), "CapacityStatus": ("Used",), "Pre Installed S/W": ("NA", ""),
    "Product Family": ("Compute Instance", "Compute Instance (bare metal)"),
}  # fmt: skip

FAMILIES = {
    "p6-b300": "B300", "p6-b200": "B200", "p5en": "H200", "p5e": "H200", "p5": "H100", "p4de": "A100-80GB",
    "p4d": "A100", "p3": "V100", "g6e": "L40S", "g6": "L4", "gr6": "L4", "g5": "A10G", "g5g": "T4g", "g4dn": "T4",
}  # fmt: skip
"""Accelerators of families; the list tells how many there are, not which."""

CARDS_UNTOLD = ("trn", "inf", "dl", "f1", "f2", "vt")
"""Families whose accelerators the list does not count."""

Spot = Mapping[tuple[str, str], float]
"""(machine, zone) -> USD per hour."""


def parse(lines: Iterable[str], region: str, last: Sequence[Row], date: str) -> Sheet:
    """Rows of a region's offer file, without spot prices and with the zones of `last`. Raises Broken."""
    sheet = Sheet("aws", f"AWS bulk price list, {date}")
    known = shapes(last)
    zones: dict[str, dict[str | None, None]] = {}
    for row in last:
        if row.region == region:
            zones.setdefault(row.instance_type, {})[row.zone] = None
    prices: dict[str, tuple[Shape, float | None]] = {}
    for record in _records(lines):
        name = record["Instance Type"]
        if any(record[column] not in values for column, values in WANTED.items()):
            continue
        if record.get("MarketOption") not in (None, "", "OnDemand"):
            continue
        shape = _shape(name, record, known, sheet)
        if shape is not None:
            prices[name] = (shape, number(record["PricePerUnit"]))
    for name, (shape, price) in prices.items():
        for zone in zones.get(name, {None: None}):
            sheet.add((region, zone), name, shape, price)
    return sheet


def _records(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Records below the line of column names, which comes after a few lines about the file."""
    rows = csv.reader(lines)
    try:
        names = next((row for row in rows if row[:1] == ["SKU"]), None)
        if names is None:
            raise Broken("the price list has no line of column names")
        absent = [column for column in COLUMNS if column not in names]
        if absent:
            raise Broken(f"the price list has no column `{absent[0]}`")
        for row in rows:
            if len(row) != len(names):
                raise Broken("the price list breaks off")
            yield dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise Broken(f"the price list is no CSV: {error}") from None


def _shape(
    name: str, record: Mapping[str, str], known: Mapping[str, list[Shape]], sheet: Sheet
) -> Shape | None:
    if name in known:
        return known[name][0]
    if "." not in name or name.startswith("mac"):
        return None
    family = name.partition(".")[0]
    cards = number(record.get("GPU")) or 0.0
    if family.startswith(CARDS_UNTOLD) or (cards and family not in FAMILIES):
        sheet.dropped.count("a machine with accelerators that nobody has named")
        return None
    memory = number(record["Memory"].removesuffix("GiB").strip().replace(",", ""))
    processor = record["Physical Processor"]
    return Shape(
        FAMILIES[family] if cards else None,
        cards,
        number(record["vCPU"]) or 0.0,
        memory or 0.0,
        "arm64" if "Graviton" in processor else "x86_64",
        re.match(r"t\d", name) is not None,
    )


def parse_spot(records: Iterable[Mapping[str, Any]]) -> Spot:
    """The newest price of each machine and zone in `SpotPriceHistory` of EC2, Linux only."""
    newest: dict[tuple[str, str], tuple[Any, float]] = {}
    for record in records:
        price = number(record.get("SpotPrice"))
        if price is None or "Linux" not in text(record, "ProductDescription"):
            continue
        place = text(record, "InstanceType"), text(record, "AvailabilityZone")
        if place not in newest or record["Timestamp"] > newest[place][0]:
            newest[place] = record["Timestamp"], price
    return {place: price for place, (_, price) in newest.items()}


def with_spot(rows: Iterable[Row], last: Sequence[Row], spot: Spot | None, date: str) -> Sheet:
    """The rows with spot prices: of `spot`, whose zones count too, or as they were when nobody could ask (None).
    Interruption bands stay as they were."""
    sheet = Sheet("aws", f"AWS bulk price list, {date}")
    before = {(row.instance_type, row.region, row.zone): row for row in last}
    every: dict[tuple[str, str], set[str]] = {}
    for name, place_of in spot or {}:
        every.setdefault((name, place_of.rstrip(string.ascii_lowercase)), set()).add(place_of)
    done: set[tuple[str, str, str | None]] = set()
    for row in rows:
        zones: set[str | None] = set(every.get((row.instance_type, row.region), ()))
        zones |= {row.zone} if row.zone or not zones else set()
        for zone in sorted(zones, key=str):
            place = row.instance_type, row.region, zone
            if place in done:
                continue
            done.add(place)
            old = before.get(place) or before.get((row.instance_type, row.region, row.zone))
            price = old.spot if old else None
            if spot is not None:
                price = spot.get((row.instance_type, zone or ""))
            shape = Shape(row.accelerator, row.count, row.cpus, row.memory_gb, row.arch, row.burstable)
            sheet.add(
                (row.region, zone), row.instance_type, shape, row.price, price, old.band if old else None
            )
    return sheet


def fetch(job: Job) -> Fetched:
    """Every region that the settings name, else those of the last catalog; the others stay."""
    known = tuple(dict.fromkeys(row.region for row in job.last)) or ("us-east-1",)
    regions = job.regions or known
    rows: list[Row] = []
    for count, region in enumerate(regions, 1):
        job.tell(f"{region}, {count} of {len(regions)}")

        def take(lines: Iterator[str], region: str = region) -> Sheet:
            return parse(lines, region, job.last, job.date)

        rows += job.fetcher.lines(URL.format(region=region), take).rows
    spot, notes = _spot(job, regions)
    sheet = with_spot(rows, job.last, spot, job.date)
    kept = tuple(row for row in job.last if row.region not in regions)
    return Fetched.of(sheet, kept, notes=notes)


def _spot(job: Job, regions: Sequence[str]) -> tuple[Spot | None, tuple[str, ...]]:
    """What EC2 says, or None with the reason."""
    stays = "spot prices stay as they were"
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return None, (f"{stays}: needs skywright[aws]",)
    if boto3.Session().get_credentials() is None:
        return None, (f"{stays}: no AWS credentials here",)
    found: dict[tuple[str, str], float] = {}
    try:
        for region in regions:
            job.tell(f"spot prices of {region}")
            found.update(parse_spot(_history(boto3.client("ec2", region_name=region))))
    except (BotoCoreError, ClientError) as error:
        return None, (f"{stays}: {error}",)
    return found, ()


def _history(client: Any) -> Iterator[Mapping[str, Any]]:
    from datetime import datetime, timezone

    pages = client.get_paginator("describe_spot_price_history").paginate(
        ProductDescriptions=["Linux/UNIX", "Linux/UNIX (Amazon VPC)"], StartTime=datetime.now(timezone.utc)
    )
    for page in pages:
        yield from page["SpotPriceHistory"]
