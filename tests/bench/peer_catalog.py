"""Writes the price lists that our catalog is made of in SkyPilot's own format, with the same mistakes left out."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable
from pathlib import Path

from compiler.catalog import rows

VMS = (
    "InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "GpuInfo", "Price", "SpotPrice",
    "Region", "AvailabilityZone", "Arch", "Generation",
)  # fmt: skip
IMAGES = ("Tag", "Region", "OS", "OSVersion", "ImageId", "CreationDate")


def write(source: Path, date: str, home: Path) -> None:
    """Fill `home`/.sky/catalogs/v8 from `source`, the folder that the catalog is built from."""
    folder = home / ".sky" / "catalogs" / "v8"
    kept, _ = rows.read(source, date)
    for cloud in ("aws", "azure", "lambda", "vast"):
        # A column of zones that are all empty would leave these clouds without any.
        names = [name for name in VMS if cloud == "aws" or name != "AvailabilityZone"]
        lines = (dict(zip(VMS, _row(row), strict=True)) for row in kept if row.cloud == cloud)
        _csv(folder / cloud / "vms.csv", names, (tuple(line[name] for name in names) for line in lines))
    # Hosts and accelerators stay apart there: it adds them itself. Only the wrong prices go.
    with gzip.open(source / "gcp.csv.gz", "rt", encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    _csv(
        folder / "gcp" / "vms.csv", VMS, (_gcp(row) for row in listed if float(row["Price"]) != rows.SENTINEL)
    )
    for cloud in ("aws", "azure", "gcp"):
        _csv(folder / cloud / "images.csv", IMAGES, ())
    _csv(
        folder / "aws" / "instance_quota_mapping.csv",
        ("InstanceType", "OnDemandInstanceCode", "SpotInstanceCode"),
        (),
    )
    _csv(
        folder / "gcp" / "accelerator_quota_mapping.csv",
        ("Accelerator", "OnDemandQuotaCode", "SpotQuotaCode"),
        (),
    )
    names = sorted({row.accelerator for row in kept if row.accelerator})
    found = ((name, str(sorted({row.cloud for row in kept if row.accelerator == name}))) for name in names)
    _csv(folder / "common" / "accelerators.csv", ("AcceleratorName", "Clouds"), found)
    _csv(folder / "common" / "metadata.csv", ("GPU", "MemoryGB", "Manufacturer"), ())


def _row(row: rows.Row) -> tuple[object, ...]:
    count = f"{row.count:g}" if row.accelerator else ""
    info = f"{{'Gpus': [{{'Name': '{row.accelerator}', 'Count': {row.count}}}]}}" if row.accelerator else ""
    return (
        row.instance_type, row.accelerator or "", count, row.cpus, row.memory_gb, info,
        "" if row.price is None else row.price, "" if row.spot is None else row.spot, row.region, row.zone or "",
        row.arch, "V2" if row.cloud == "azure" else "",
    )  # fmt: skip


def _gcp(row: dict[str, str]) -> tuple[object, ...]:
    spot = row["SpotPrice"]
    wrong = spot and float(row["Price"]) and float(spot) >= float(row["Price"])
    return tuple("" if name == "SpotPrice" and wrong else row.get(name, "") for name in VMS)


def _csv(path: Path, head: Iterable[str], lines: Iterable[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(tuple(head))
        writer.writerows(lines)
