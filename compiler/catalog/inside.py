"""What machine types have inside: a fast network between nodes, and disks of their own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from compiler.needs import LocalDisk, Requirements

FAST = {
    "gcp": re.compile(r"a3-(?:highgpu|edgegpu|megagpu|ultragpu)-8g|a4-highgpu-8g"),
    "azure": re.compile(r"Standard_(?:HB|HC|HX|ND|NC)\d+(?:-\d+)?[a-z]*r[a-z]*(?:_.*)?"),
}
"""GPUDirect on GCP; on Azure InfiniBand, which the `r` in a name tells. EFA of AWS is in machines.json."""


def fast_network(cloud: str, name: str) -> bool:
    """Whether nodes of this machine type have EFA, GPUDirect or InfiniBand between them."""
    known = FAST.get(cloud)
    if known is not None:
        return known.fullmatch(name) is not None
    return name in _machines().get(cloud, {}).get("fast", ())


def local_disk(cloud: str, name: str) -> tuple[str, float] | None:
    """Kind (`nvme` or `ssd`) and GB of all disks in a machine; None where there are none or nobody says."""
    found = _machines().get(cloud, {}).get("local", {}).get(name)
    return (found[0], float(found[1])) if found else None


def has_disk(cloud: str, name: str, asked: LocalDisk) -> bool:
    """Whether a machine type has the disk inside that is asked for, or more; any SSD may be an NVMe one."""
    has = local_disk(cloud, name)
    return has is not None and asked.kind in ("ssd", has[0]) and has[1] >= asked.gb.value


def checks(wanted: Requirements) -> tuple[Callable[[str, str], bool], ...]:
    """What cloud and machine type must be for a request, one check after the other."""
    found: list[Callable[[str, str], bool]] = []
    if wanted.network_tier == "best":
        found.append(fast_network)
    if wanted.local_disk:
        found.append(partial(has_disk, asked=wanted.local_disk))
    return tuple(found)


@cache
def _machines() -> dict[str, dict[str, Any]]:
    with open(os.path.join(os.path.dirname(__file__), "machines.json"), encoding="utf-8") as file:
        clouds: dict[str, dict[str, Any]] = json.load(file)
    return {cloud: {**known, "fast": frozenset(known["fast"])} for cloud, known in clouds.items()}
