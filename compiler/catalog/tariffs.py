"""What moving and keeping data costs: list prices by cloud, tier and pair of regions, each with its source.

Egress is USD per GB (1 TB is 1,024 GB in every tier); disks and objects are USD per GB and month. What is left
out: docs/catalog.md, which shows every source too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

HOURS_A_MONTH: Final = 730.0
TB: Final = 1024.0

Tiers = Sequence[tuple[float | None, float]]
"""(GB up to which this price holds, USD per GB); the last has no end."""


class Source(NamedTuple):
    """Whose price it is: the vendor's page, when it was last known right, and whether that was checked there."""

    page: str
    on: str
    checked: bool = False

    def __str__(self) -> str:
        return (
            f"{self.page}, {self.on}" if self.checked else f"{self.page}, {self.on}: list price, unverified"
        )


class Rate(NamedTuple):
    """One row: part of a region's name ("" fits all), price by amount, and source."""

    where: str
    tiers: Tiers
    source: Source


_EC2 = Source("Amazon EC2 on-demand pricing: data transfer", "2026-10")
_EBS = Source("Amazon EBS pricing", "2026-10")
_S3 = Source("Amazon S3 pricing", "2026-10")
_VPC = Source("Amazon VPC pricing: public IPv4 address", "2026-10")
_GCP_NET = Source("Google Cloud network pricing: premium tier", "2026-10")
_GCP_DISK = Source("Google Compute Engine disk pricing", "2026-10")
_GCS = Source("Google Cloud Storage pricing", "2026-10")
_BANDWIDTH = Source("Azure bandwidth pricing", "2026-10")
_AZURE_DISK = Source("Azure managed disks pricing", "2026-10")
_BLOB = Source("Azure Blob Storage pricing", "2026-10")
_AZURE_IP = Source("Azure public IP address pricing", "2026-10")
_SECRETS = Source("AWS Secrets Manager pricing", "2026-10")
_GCP_SECRETS = Source("Google Secret Manager pricing: active versions", "2026-10")
_OCI = Source("Oracle Cloud price list", "2026-10")
_IBM = Source("IBM Cloud VPC pricing", "2026-10")
_DO = Source("DigitalOcean pricing", "2026-10")
_NEBIUS = Source("Nebius pricing", "2026-10")
_R2 = Source("Cloudflare R2 pricing", "2026-10")
_R2_EGRESS = Source("Cloudflare R2 documentation: no egress fees", "2026-10", checked=True)
_OWN = Source("no such charge: this machine or your own", "2026-10", checked=True)


def _rates(source: Source, rows: Iterable[tuple[str, Tiers]]) -> tuple[Rate, ...]:
    return tuple(Rate(where, tiers, source) for where, tiers in rows)


def _flat(source: Source, rows: Iterable[tuple[str, float]]) -> tuple[Rate, ...]:
    return _rates(source, ((where, ((None, price),)) for where, price in rows))


def _aws(first: float, second: float, third: float, last: float) -> Tiers:
    return (100, 0.0), (10 * TB, first), (50 * TB, second), (150 * TB, third), (None, last)


def _gcp(first: float, second: float, last: float) -> Tiers:
    return (1 * TB, first), (10 * TB, second), (None, last)


def _azure(first: float, second: float, third: float, last: float) -> Tiers:
    return (100, 0.0), (10 * TB + 100, first), (50 * TB + 100, second), (150 * TB + 100, third), (None, last)


INTERNET: Final[Mapping[str, tuple[Rate, ...]]] = {
    "aws": _rates(
        _EC2,
        (
            ("ap-northeast-1", _aws(0.114, 0.089, 0.086, 0.084)),
            ("ap-northeast-3", _aws(0.114, 0.089, 0.086, 0.084)),
            ("ap-northeast-2", _aws(0.126, 0.122, 0.117, 0.108)),
            ("ap-southeast-2", _aws(0.114, 0.098, 0.094, 0.092)),
            ("ap-southeast-1", _aws(0.12, 0.085, 0.082, 0.08)),
            ("ap-southeast-3", _aws(0.132, 0.0935, 0.0902, 0.088)),
            ("ap-southeast-5", _aws(0.108, 0.0765, 0.0738, 0.072)),
            ("ap-south-", _aws(0.1093, 0.085, 0.082, 0.08)),
            ("ap-east-1", _aws(0.12, 0.085, 0.082, 0.08)),
            ("sa-east-1", _aws(0.15, 0.138, 0.126, 0.114)),
            ("af-south-1", _aws(0.154, 0.147, 0.140, 0.133)),
            ("me-", _aws(0.117, 0.1035, 0.09, 0.0765)),
            ("il-central-1", _aws(0.11, 0.0935, 0.077, 0.055)),
            ("", _aws(0.09, 0.085, 0.07, 0.05)),
        ),
    ),
    "gcp": _rates(
        _GCP_NET,
        (
            ("australia", _gcp(0.19, 0.18, 0.15)),
            ("asia-southeast2", _gcp(0.19, 0.18, 0.15)),
            ("", _gcp(0.12, 0.11, 0.08)),
        ),
    ),
    "azure": _rates(
        _BANDWIDTH,
        (
            ("brazil", _azure(0.181, 0.175, 0.17, 0.16)),
            ("southafrica", _azure(0.181, 0.175, 0.17, 0.16)),
            ("uae", _azure(0.181, 0.175, 0.17, 0.16)),
            ("australia", _azure(0.12, 0.085, 0.082, 0.08)),
            ("japan", _azure(0.12, 0.085, 0.082, 0.08)),
            ("korea", _azure(0.12, 0.085, 0.082, 0.08)),
            ("southeastasia", _azure(0.12, 0.085, 0.082, 0.08)),
            ("eastasia", _azure(0.12, 0.085, 0.082, 0.08)),
            ("india", _azure(0.12, 0.085, 0.082, 0.08)),
            ("", _azure(0.087, 0.083, 0.07, 0.05)),
        ),
    ),
    "oci": _rates(_OCI, [("", ((10 * TB, 0.0), (None, 0.0085)))]),
    "ibm": _rates(_IBM, [("", ((50 * TB, 0.09), (150 * TB, 0.07), (None, 0.05)))]),
    "do": _flat(_DO, [("", 0.01)]),
    "nebius": _flat(_NEBIUS, [("", 0.015)]),
}
"""From a region (the first beginning or part that fits its name) to the internet, by GB a month."""

FREE: Final[Mapping[str, Source]] = {
    "local": _OWN,
    "ssh": _OWN,
    "kubernetes": _OWN,
    "r2": _R2_EGRESS,
    "lambda": Source("Lambda Cloud pricing: no egress fees", "2026-10"),
    "vast": Source("Vast.ai: each host has its own price for traffic, none is counted", "2026-10"),
    "runpod": Source("RunPod pricing: no egress fees", "2026-10"),
    "cudo": Source("Cudo Compute pricing", "2026-10"),
    "hf": Source("Hugging Face Hub: downloads are free", "2026-10"),
}
"""Clouds that take nothing for data that leaves them, or whose hosts all say otherwise."""

_AWS_BETWEEN = _flat(_EC2, (
    ("ap-northeast-1", 0.09), ("ap-northeast-2", 0.08), ("ap-northeast-3", 0.09), ("ap-southeast-1", 0.09),
    ("ap-southeast-2", 0.098), ("ap-southeast-3", 0.1), ("ap-southeast-5", 0.08), ("ap-south-", 0.086),
    ("ap-east-1", 0.09), ("sa-east-1", 0.138), ("af-south-1", 0.147), ("me-", 0.1105), ("il-central-1", 0.08),
    ("", 0.02),
))  # fmt: skip
_AWS_NEAR = Rate("us-east-1 and us-east-2", ((None, 0.01),), _EC2)
_GCP_BETWEEN = {
    ("asia", "asia"): 0.08, ("australia", "australia"): 0.08, ("southamerica", "southamerica"): 0.14,
    ("me", "me"): 0.08, ("africa", "africa"): 0.08, ("us", "us"): 0.02, ("europe", "europe"): 0.02,
    ("europe", "us"): 0.05, ("asia", "us"): 0.08, ("asia", "europe"): 0.08, ("australia", "us"): 0.1,
    ("australia", "europe"): 0.1, ("asia", "australia"): 0.1, ("me", "us"): 0.11, ("europe", "me"): 0.11,
    ("asia", "me"): 0.11, ("africa", "us"): 0.11, ("africa", "europe"): 0.11,
}  # fmt: skip
_GCP_FAR = 0.14
_AZURE_BETWEEN = {"na": (0.02, 0.05), "eu": (0.02, 0.05), "as": (0.08, 0.08), "far": (0.16, 0.16)}

_DISK = {
    "aws": (0.08, _EBS),
    "gcp": (0.10, _GCP_DISK),
    "azure": (0.15, _AZURE_DISK),
    "oci": (0.0255, _OCI),
    "ibm": (0.13, _IBM),
    "do": (0.10, _DO),
    "nebius": (0.071, _NEBIUS),
}
DISK: Final[Mapping[str, float]] = {cloud: price for cloud, (price, _) in _DISK.items()}
"""The boot disk that a node gets: gp3, balanced persistent disk, premium SSD. Elsewhere it is in the price."""


class Tier(NamedTuple):
    """A boot disk of one speed: USD per GB and month, and USD per month for what it does beyond its size."""

    gb: float
    fixed: float
    what: str


EBS_IOPS, EBS_MB_S = 0.005, 0.04
"""gp3: USD per month and IOPS above 3,000, and per MB/s above 125."""


def _gp3(iops: int, mb_s: int) -> Tier:
    fixed = (iops - 3000) * EBS_IOPS + (mb_s - 125) * EBS_MB_S
    return Tier(DISK["aws"], round(fixed, 6), f"gp3, {iops:,} IOPS, {mb_s:,} MB/s")


TIERS: Final[Mapping[str, Mapping[str, Tier]]] = {
    "aws": {
        "low": _gp3(3000, 125),
        "medium": _gp3(3000, 125),
        "high": _gp3(8000, 500),
        "best": _gp3(8000, 500),
        "ultra": _gp3(16000, 1000),
    },
    "gcp": {
        "low": Tier(0.04, 0.0, "standard persistent disk"),
        "medium": Tier(DISK["gcp"], 0.0, "balanced persistent disk"),
        "high": Tier(0.17, 0.0, "SSD persistent disk"),
        "best": Tier(0.17, 0.0, "SSD persistent disk"),
    },
    "azure": {
        "low": Tier(0.075, 0.0, "standard SSD"),
        "medium": Tier(DISK["azure"], 0.0, "premium SSD"),
        "high": Tier(DISK["azure"], 0.0, "premium SSD"),
        "best": Tier(DISK["azure"], 0.0, "premium SSD"),
    },
}
"""`disk_tier` by cloud, as far as a price is known. Tier and source of the disk are those of the cloud's boot disk."""

PLAIN: Final = (None, "none", "medium", "best")
"""Tiers that every cloud can give: where disks have one speed, it is the best."""

OBJECTS: Final[Mapping[str, Rate]] = {
    "aws": Rate("", ((50 * TB, 0.023), (500 * TB, 0.022), (None, 0.021)), _S3),
    "gcp": Rate("", ((None, 0.020),), _GCS),
    "azure": Rate("", ((50 * TB, 0.018), (500 * TB, 0.0173), (None, 0.0166)), _BLOB),
    "r2": Rate("", ((10, 0.0), (None, 0.015)), _R2),
    "oci": Rate("", ((10, 0.0), (None, 0.0255)), _OCI),
}
"""Objects at rest, standard class, by GB."""

_ADDRESS = {"aws": (0.005, _VPC), "gcp": (0.005, _GCP_NET), "azure": (0.005, _AZURE_IP)}
ADDRESS: Final[Mapping[str, float]] = {cloud: price for cloud, (price, _) in _ADDRESS.items()}
"""A public IPv4 address of a node, USD per hour."""

_SECRET = {"aws": (0.40, _SECRETS), "gcp": (0.06, _GCP_SECRETS)}
SECRET: Final[Mapping[str, float]] = {cloud: price for cloud, (price, _) in _SECRET.items()}
"""One secret that is kept, USD per month; elsewhere only requests are paid for."""


def tiered(gb: float, tiers: Tiers, used_gb: float = 0.0) -> float:
    """USD of `gb` after `used_gb` of the same month: every part at the price of the tier that it falls into."""
    total, begin = 0.0, 0.0
    first, last = used_gb, used_gb + gb
    for end, price in tiers:
        upper = last if end is None else min(last, end)
        total += max(0.0, upper - max(first, begin)) * price
        if end is None or last <= end:
            break
        begin = end
    return total


def egress(
    gb: float, source: tuple[str, str | None], target: tuple[str, str | None], used_gb: float = 0.0
) -> float:
    """USD for `gb` from (cloud, region) to (cloud, region). An unknown region of the same cloud counts as the
    same one; `used_gb` left the source's cloud earlier in the month."""
    (cloud, region), (to_cloud, to_region) = source, target
    if gb <= 0 or cloud in FREE:
        return 0.0
    if cloud == to_cloud:
        if region is None or to_region is None or region == to_region:
            return 0.0
        return gb * between(cloud, region, to_region)
    tariffs = INTERNET.get(cloud)
    if tariffs is None:
        return 0.0
    name = region or ""
    found = next(rate for rate in tariffs if rate.where in name)
    return tiered(gb, found.tiers, used_gb)


def between(cloud: str, region: str, other: str) -> float:
    """USD per GB from one region to another of the same cloud."""
    if cloud == "aws":
        if {region, other} == {"us-east-1", "us-east-2"}:
            return _AWS_NEAR.tiers[0][1]
        return next(rate.tiers[0][1] for rate in _AWS_BETWEEN if region.startswith(rate.where))
    if cloud == "gcp":
        first, second = sorted((_gcp_continent(region), _gcp_continent(other)))
        return _GCP_BETWEEN.get((first, second), _GCP_FAR)
    if cloud == "azure":
        here, there = _azure_continent(region), _azure_continent(other)
        return _AZURE_BETWEEN[here][0 if here == there else 1]
    return 0.0


def objects(gb: float, cloud: str, hours: float) -> float:
    """USD for keeping `gb` of objects for `hours`."""
    rate = OBJECTS.get(cloud)
    return tiered(gb, rate.tiers) * hours / HOURS_A_MONTH if rate else 0.0


def disk(gb: float, cloud: str, hours: float, tier: str | None = None) -> float:
    """USD for a boot disk of `gb` for `hours`; `tier` is its speed, one that `has_tier` allows."""
    found = TIERS.get(cloud, {}).get(tier or "")
    monthly = gb * found.gb + found.fixed if found else gb * DISK.get(cloud, 0.0)
    return monthly * hours / HOURS_A_MONTH


def has_tier(cloud: str, tier: str | None) -> bool:
    """Whether a cloud sells boot disks of this speed at a known price."""
    return tier in PLAIN or tier in TIERS.get(cloud, {})


def _gcp_continent(region: str) -> str:
    name = region.partition("-")[0]
    return "us" if name == "northamerica" else name


def _azure_continent(region: str) -> str:
    name = region.lower()
    if any(part in name for part in ("brazil", "africa", "uae", "israel", "qatar", "chile")):
        return "far"
    if any(
        part in name for part in ("asia", "japan", "korea", "india", "australia", "malaysia", "indonesia")
    ):
        return "as"
    if any(part in name for part in ("europe", "uk", "france", "germany", "norway", "sweden", "switzerland")):
        return "eu"
    if any(part in name for part in ("italy", "poland", "spain", "austria", "belgium", "denmark", "greece")):
        return "eu"
    return "na"


class RequestPrices(NamedTuple):
    """USD for 1,000 requests to a store of objects: those that write or list, and those that read."""

    write: float
    read: float
    source: Source


REQUESTS: Final[Mapping[str, RequestPrices]] = {
    "aws": RequestPrices(0.005, 0.0004, _S3),
    "gcp": RequestPrices(0.005, 0.0004, _GCS),
    "azure": RequestPrices(0.005, 0.0004, _BLOB),
}
"""By cloud, for its usual tier: S3 Standard, Standard storage, hot blobs kept in one place."""


class Listed(NamedTuple):
    """One row of the table of prices in docs/catalog.md: from the lowest to the highest of a kind."""

    what: str
    cloud: str
    low: float
    high: float
    unit: str
    source: Source


def listed() -> tuple[Listed, ...]:
    """Every kind of price by cloud, with its source."""
    rows = []
    for cloud, rates in INTERNET.items():
        rows.append(_span("to the internet", cloud, rates, "GB"))
    rows.append(_span("between regions", "aws", (*_AWS_BETWEEN, _AWS_NEAR), "GB"))
    pairs = (*_GCP_BETWEEN.values(), _GCP_FAR)
    rows.append(Listed("between regions", "gcp", min(pairs), max(pairs), "GB", _GCP_NET))
    azure = [price for both in _AZURE_BETWEEN.values() for price in both]
    rows.append(Listed("between regions", "azure", min(azure), max(azure), "GB", _BANDWIDTH))
    rows += [Listed("leaving", cloud, 0.0, 0.0, "GB", source) for cloud, source in FREE.items()]
    rows += [
        Listed("boot disk", cloud, price, price, "GB and month", source)
        for cloud, (price, source) in _DISK.items()
    ]
    for cloud, tiers in TIERS.items():
        source = _DISK[cloud][1]
        rows += [
            Listed(f"disk tier {name} ({one.what})", cloud, one.gb, one.gb, "GB and month", source)
            for name, one in tiers.items()
        ]
    rows += [
        Listed("gp3 above 3,000 IOPS", "aws", EBS_IOPS, EBS_IOPS, "IOPS and month", _EBS),
        Listed("gp3 above 125 MB/s", "aws", EBS_MB_S, EBS_MB_S, "MB/s and month", _EBS),
    ]
    rows += [_span("objects", cloud, (rate,), "GB and month") for cloud, rate in OBJECTS.items()]
    for cloud, asked in REQUESTS.items():
        rows.append(Listed("requests", cloud, asked.read, asked.write, "1,000", asked.source))
    rows += [
        Listed("IPv4", cloud, price, price, "hour", source) for cloud, (price, source) in _ADDRESS.items()
    ]
    rows += [
        Listed("secret", cloud, price, price, "month", source) for cloud, (price, source) in _SECRET.items()
    ]
    return tuple(rows)


def _span(what: str, cloud: str, rates: Sequence[Rate], unit: str) -> Listed:
    prices = [price for rate in rates for _, price in rate.tiers]
    return Listed(what, cloud, min(prices), max(prices), unit, rates[0].source)
