"""Which host carries which accelerator where the price lists do not say it: built in, attachable, TPU hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator

GCP_ARM = ("t2a-", "c4a-", "n4a-", "a4x-")
GCP_SHARED = frozenset({"f1-micro", "g1-small", "e2-micro", "e2-small", "e2-medium"})
ARM_CARDS = frozenset({"GH200", "GB200", "GB300", "T4g", "GB10"})
"""Accelerators whose hosts are arm64."""

AZURE_PARTS = {"Standard_NV4as_v4": 0.125, "Standard_NV8as_v4": 0.25, "Standard_NV16as_v4": 0.5}
"""Machines with a part of an MI25 which the price list calls a whole one."""

_BUILT_IN = (
    (re.compile(r"a2-(?:highgpu|megagpu)-(\d+)g\Z"), "A100"),
    (re.compile(r"a2-ultragpu-(\d+)g\Z"), "A100-80GB"),
    (re.compile(r"a3-(?:highgpu|edgegpu)-(\d+)g(?:-nolssd)?\Z"), "H100"),
    (re.compile(r"a3-megagpu-(\d+)g\Z"), "H100-MEGA"),
    (re.compile(r"a3-ultragpu-(\d+)g(?:-nolssd)?\Z"), "H200"),
    (re.compile(r"a4-highgpu-(\d+)g\Z"), "B200"),
)
_G2 = {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}

# Cards that are attached to an N1 machine: (card, how many) -> most vCPUs and GB of memory of the machine.
_ATTACHED = {
    ("T4", 1): (48, 312), ("T4", 2): (48, 312), ("T4", 4): (96, 624),
    ("P4", 1): (24, 156), ("P4", 2): (48, 312), ("P4", 4): (96, 624),
    ("V100", 1): (12, 78), ("V100", 2): (24, 156), ("V100", 4): (48, 312), ("V100", 8): (96, 624),
    ("P100", 1): (16, 104), ("P100", 2): (32, 208), ("P100", 4): (64, 208),
}  # fmt: skip

# vCPUs and GB of memory of one TPU host, by generation and number of chips or cores in the name.
_TPU = {
    "tpu-v2": (96.0, 334.0), "tpu-v3": (96.0, 334.0), "tpu-v4": (240.0, 400.0), "tpu-v5p": (208.0, 448.0),
}  # fmt: skip
_TPU_SMALL = {
    "tpu-v5litepod": {1: (24.0, 48.0), 4: (112.0, 192.0), 8: (224.0, 384.0)},
    "tpu-v6e": {1: (44.0, 176.0), 4: (180.0, 720.0), 8: (180.0, 1440.0)},
}


def built_in(machine: str) -> tuple[str, int] | None:
    """Card and count that a GCP machine type always has."""
    for pattern, card in _BUILT_IN:
        found = pattern.match(machine)
        if found:
            return card, int(found[1])
    if machine.startswith("g2-standard-"):
        return "L4", _G2[int(machine.rpartition("-")[2])]
    return None


def attachable(machine: str, cpus: float, memory_gb: float) -> Iterator[tuple[str, int]]:
    """Cards that a GCP machine type may be given."""
    if not re.match(r"n1-(?:standard|highmem|highcpu)-", machine):
        return
    for (card, count), (most_cpus, most_memory) in _ATTACHED.items():
        if cpus <= most_cpus and memory_gb <= most_memory:
            yield card, count


def tpu(name: str) -> tuple[float, float]:
    """vCPUs and GB of memory of each host of a TPU slice such as `tpu-v5p-8`."""
    kind, _, size = name.rpartition("-")
    small = _TPU_SMALL.get(kind)
    if small is None:
        return _TPU[kind]
    return small.get(int(size), small[4])
