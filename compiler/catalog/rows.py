"""Rows of price lists as published, read into one form; what is wrong in them is left out and counted.

Every decision here has its paragraph in docs/catalog.md.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from compiler.catalog import accelerators, hosts

SENTINEL = 700.0
"""What one of the lists writes for the price of a TPU that it does not know."""

FAR_BELOW = 0.2
"""A price below this share of the median over regions is a mistake of the list, not a bargain."""

MANY = 4
"""Regions that make a median."""

_AZURE_ARM = re.compile(r"Standard_[A-Z]{1,2}\d+[a-z]*p[a-z]*_v\d")
_AZURE_BURST = re.compile(r"Standard_B\d")
_ELSEWHERE = re.compile(r"us-?gov|^cn-|^china|usdod|ussec|usnat")


@dataclass(frozen=True, slots=True)
class Row:
    """One shape in one place. Prices are USD per hour, None where nobody knows or nothing is sold."""

    cloud: str
    region: str
    zone: str | None
    instance_type: str
    accelerator: str | None
    count: float
    cpus: float
    memory_gb: float
    arch: str
    burstable: bool
    price: float | None
    spot: float | None
    band: int | None
    source: str


@dataclass(slots=True)
class Dropped:
    """How often something was wrong, by what it was."""

    counts: Counter[str] = field(default_factory=Counter)

    def count(self, what: str) -> None:
        self.counts[what] += 1


def read(folder: Path, date: str) -> tuple[list[Row], Dropped]:
    """All rows of `<folder>/<cloud>.csv.gz`. `date` is that of the lists which carry none themselves."""
    dropped = Dropped()
    found: list[Row] = []
    for name, reader in READERS.items():
        path = folder / f"{name}.csv.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            found += reader(list(csv.DictReader(file)), f"published {name} prices, {date}", dropped)
    return credible(found, dropped), dropped


def credible(found: list[Row], dropped: Dropped) -> list[Row]:
    """The rows without those that nobody here can buy and those whose price is a mistake."""
    usual = _usual(found)
    kept = []
    for row in found:
        if _ELSEWHERE.search(row.region):
            dropped.count("in a partition that needs an account of its own")
        elif row.price is not None and row.price < usual.get((row.cloud, row.instance_type), 0.0) * FAR_BELOW:
            dropped.count("a price far below that of the same machine elsewhere")
        elif row.price is None and row.spot is None:
            dropped.count("without any price")
        else:
            kept.append(row)
    return kept


def _usual(rows: list[Row]) -> dict[tuple[str, str], float]:
    """The median price of machines that are sold in many regions, without attached cards."""
    seen: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row.price is not None and row.cloud != "gcp":
            seen.setdefault((row.cloud, row.instance_type), {})[row.region] = row.price
    return {key: statistics.median(found.values()) for key, found in seen.items() if len(found) >= MANY}


def prices(on_demand: str, spot: str, dropped: Dropped) -> tuple[float | None, float | None]:
    """The two prices of a row. Zero is nobody's price; spot must be cheaper than on-demand."""
    return sane(float(on_demand) if on_demand else None, float(spot) if spot else None, dropped)


def sane(one: float | None, other: float | None, dropped: Dropped) -> tuple[float | None, float | None]:
    """On-demand and spot price of a row, without what cannot be a price."""
    if any(price is not None and not 0 <= price < math.inf for price in (one, other)):
        dropped.count("a price that is no number from 0 up")
        one, other = (None if price is None or not 0 <= price < math.inf else price for price in (one, other))
    if one == SENTINEL:
        dropped.count("the sentinel 700.0 for an unknown price")
        return None, None
    if one == 0:
        dropped.count("an on-demand price of 0")
        one = None
    if other == 0:
        other = None
    if one is not None and other is not None and other >= one:
        dropped.count("a spot price that is not below on-demand")
        other = None
    return one, other


def _aws(rows: list[dict[str, str]], _source: str, dropped: Dropped) -> Iterator[Row]:
    for row in rows:
        name = row["instance_type"]
        if row["arch"] == "i386" or name.startswith("mac"):
            dropped.count("32-bit or Apple machines")
            continue
        price, spot = prices(row["price"], row["spot_price_estimate"], dropped)
        band = row["spot_interruption_band"]
        for zone in row["zones"].split(";"):
            yield Row(
                cloud="aws",
                region=row["region"],
                zone=zone or None,
                instance_type=name,
                accelerator=_named(row["accelerator"], dropped),
                count=float(row["accelerator_count"] or 0),
                cpus=float(row["vcpus"]),
                memory_gb=float(row["memory_gib"]),
                arch=row["arch"],
                burstable=re.match(r"t\d", name) is not None,
                price=price,
                spot=spot,
                band=int(band) if band and spot is not None else None,
                source=row["source"],
            )


def _gcp(rows: list[dict[str, str]], source: str, dropped: Dropped) -> Iterator[Row]:
    """Hosts and accelerators are rows of their own: the price of a machine is their sum."""
    cards: dict[tuple[str, str, int], tuple[float | None, float | None]] = {}
    for row in rows:
        if row["InstanceType"] or row["AcceleratorName"].startswith("tpu"):
            continue
        key = (row["AvailabilityZone"], row["AcceleratorName"], int(float(row["AcceleratorCount"])))
        cards[key] = prices(row["Price"], row["SpotPrice"], dropped)
    seen: set[tuple[str, str]] = set()
    for row in rows:
        zone = row["AvailabilityZone"]
        if row["InstanceType"]:
            yield from _gcp_host(row, cards, source, dropped)
        elif row["AcceleratorName"].startswith("tpu"):
            if (row["AcceleratorName"], zone) in seen:
                dropped.count("a TPU listed twice in one zone")
                continue
            seen.add((row["AcceleratorName"], zone))
            price, spot = prices(row["Price"], row["SpotPrice"], dropped)
            cpus, memory = hosts.tpu(row["AcceleratorName"])
            name = _named(row["AcceleratorName"], dropped)
            yield Row(
                "gcp", row["Region"], zone, "TPU-VM", name, 1.0, cpus, memory, "x86_64", False, price, spot,
                None, source,
            )  # fmt: skip


def _gcp_host(
    row: dict[str, str],
    cards: dict[tuple[str, str, int], tuple[float | None, float | None]],
    source: str,
    dropped: Dropped,
) -> Iterator[Row]:
    name, zone = row["InstanceType"], row["AvailabilityZone"]
    cpus, memory = float(row["vCPUs"]), float(row["MemoryGiB"])
    arch = "arm64" if name.startswith(hosts.GCP_ARM) else "x86_64"
    burstable = name in hosts.GCP_SHARED
    # A host that includes its cards may cost 0 by itself, where the whole price stands in the cards' row.
    built_in = hosts.built_in(name)
    if name.endswith("-tpu"):
        return
    price, spot = prices(row["Price"], row["SpotPrice"], Dropped() if built_in else dropped)
    if not built_in:
        yield Row(
            "gcp", row["Region"], zone, name, None, 0.0, cpus, memory, arch, burstable, price, spot, None,
            source,
        )  # fmt: skip
    wanted = (built_in,) if built_in else hosts.attachable(name, cpus, memory)
    for card, count in wanted:
        found = cards.get((zone, card, count))
        if found is None:
            if built_in:
                dropped.count("a machine whose cards have no price there")
            continue
        host: tuple[float | None, float | None] = (price, spot)
        if built_in and float(row["Price"]) == 0:
            host = (0.0, 0.0)
        sums = [
            round(one + other, 6) if one is not None and other is not None else None
            for one, other in zip(host, found, strict=True)
        ]
        yield Row(
            "gcp", row["Region"], zone, name, _named(card, dropped), float(count), cpus, memory, arch,
            False, sums[0], sums[1], None, source,
        )  # fmt: skip


def _azure(rows: list[dict[str, str]], source: str, dropped: Dropped) -> Iterator[Row]:
    for row in rows:
        name = row["InstanceType"]
        price, spot = prices(row["Price"], row["SpotPrice"], dropped)
        accelerator = _named(row["AcceleratorName"], dropped)
        arch = "arm64" if _AZURE_ARM.match(name) else "x86_64"
        yield Row(
            "azure", row["Region"], None, name, accelerator,
            hosts.AZURE_PARTS.get(name, float(row["AcceleratorCount"] or 0)) if accelerator else 0.0,
            float(row["vCPUs"]),
            float(row["MemoryGiB"]), arch, _AZURE_BURST.match(name) is not None, price, spot, None, source,
        )  # fmt: skip


def _market(cloud: str, rows: list[dict[str, str]], source: str, dropped: Dropped) -> Iterator[Row]:
    """Lambda and Vast: regions without zones. Prices of Vast are for the whole machine, its spot price is 0."""
    for row in rows:
        price, spot = prices(row["Price"], row["SpotPrice"], dropped)
        accelerator = _named(row["AcceleratorName"], dropped)
        arch = "arm64" if accelerator in hosts.ARM_CARDS else "x86_64"
        yield Row(
            cloud, row["Region"].strip(", "), None, row["InstanceType"], accelerator,
            float(row["AcceleratorCount"] or 0), float(row["vCPUs"]), float(row["MemoryGiB"]), arch, False,
            price, spot, None, source,
        )  # fmt: skip


def _lambda(rows: list[dict[str, str]], source: str, dropped: Dropped) -> Iterator[Row]:
    return _market("lambda", rows, source, dropped)


def _vast(rows: list[dict[str, str]], source: str, dropped: Dropped) -> Iterator[Row]:
    return _market("vast", rows, source, dropped)


READERS = {"aws": _aws, "gcp": _gcp, "azure": _azure, "lambda": _lambda, "vast": _vast}


def _named(text: str, dropped: Dropped) -> str | None:
    if not text:
        return None
    name = accelerators.canonical(text)
    if name is None:
        dropped.count(f"an accelerator nobody knows: {text}")
        return text
    return name
