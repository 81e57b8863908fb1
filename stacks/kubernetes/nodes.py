"""What the labels of Kubernetes nodes say: spot or not, which accelerator; as data, and as rules for pods.

A pod's rules name every convention that there is, so that they are known without asking a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.offer import Accelerator, Market, Offer

NAME = "kubernetes"
ANY = "any-node"
"""The instance type of pods that need no accelerator."""

SPOT_LABELS: tuple[tuple[str, str], ...] = (
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
"""(label, value) of nodes that may be taken away, by whose convention it is."""

SPOT_TAINTS = (
    "cloud.google.com/gke-spot",
    "cloud.google.com/gke-preemptible",
    "kubernetes.azure.com/scalesetpriority",
)
GPU_TAINTS = ("nvidia.com/gpu", "amd.com/gpu", "sku")

ACCELERATOR_LABELS = (
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "gpu.nvidia.com/class",
    "karpenter.k8s.aws/instance-gpu-name",
    "skypilot.co/accelerator",
    "skywright.dev/accelerator",
    "amd.com/gpu.product-name",
)
"""Labels whose value names the accelerators of a node; of several the first that is understood counts."""

RESOURCES = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "gpu.intel.com/i915"}
"""Maker -> what a pod asks for."""

_UNITS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip
_HARD = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Shape:
    """What one node can hold. `label` is the (key, value) that names its accelerator."""

    cpus: float
    memory_gb: float
    disk_gb: float
    arch: str
    market: Market
    accelerator: Accelerator | None = None
    label: tuple[str, str] | None = None


def amount(text: str) -> float:
    """`1500m` is 1.5, `16Gi` is 17179869184; 0 for what is no amount."""
    found = re.fullmatch(r"([0-9.]+)(m|[kMGTP]i?|Ki)?", str(text).strip())
    try:
        return float(found[1]) * _UNITS[found[2] or ""] if found else 0.0
    except (ValueError, KeyError):
        return 0.0


CPU, MEMORY, DISK = (1000, ("m", "")), (1024, ("Mi", "Gi", "Ti", "Pi")), (1000, ("G", "T", "P"))
"""How whole amounts are written: thousandths of vCPUs, MiB, GB; (step, units from the smallest)."""


def written(whole: int, scale: tuple[int, tuple[str, ...]]) -> str:
    """As the API server writes it, which never writes it otherwise: else every preview would find a difference."""
    step, units = scale
    place = 0
    while whole and whole % step == 0 and place < len(units) - 1:
        whole, place = whole // step, place + 1
    return f"{whole}{units[place]}"


def shape(
    labels: Mapping[str, str], allocatable: Mapping[str, str], taints: Iterable[Mapping[str, Any]] = ()
) -> Shape | None:
    """What a node's own description says, or None for one that pods of ours cannot go to."""
    tolerated = {*SPOT_TAINTS, *GPU_TAINTS}
    if any(one.get("effect") in _HARD and one.get("key") not in tolerated for one in taints):
        return None
    if labels.get("kubernetes.io/os", "linux") != "linux":
        return None
    spot = any(labels.get(key) == value for key, value in SPOT_LABELS)
    accelerator, label = _accelerator(labels, allocatable)
    arch = labels.get("kubernetes.io/arch", "amd64")
    return Shape(
        cpus=amount(allocatable.get("cpu", "0")),
        memory_gb=round(amount(allocatable.get("memory", "0")) / 2**30, 1),
        disk_gb=round(amount(allocatable.get("ephemeral-storage", "0")) / 1e9, 1),
        arch={"amd64": "x86_64"}.get(arch, arch),
        market=Market.SPOT if spot else Market.ON_DEMAND,
        accelerator=accelerator,
        label=label,
    )


def _accelerator(
    labels: Mapping[str, str], allocatable: Mapping[str, str]
) -> tuple[Accelerator | None, tuple[str, str] | None]:
    from compiler.catalog.accelerators import facts

    for key in ACCELERATOR_LABELS:
        name = named(labels.get(key, ""))
        known = facts(name) if name else None
        resource = RESOURCES.get(known.vendor.lower()) if known else None
        count = amount(allocatable.get(resource or "", "0"))
        if name and count >= 1:
            return Accelerator(name, count), (key, labels[key])
    return None, None


def named(text: str) -> str | None:
    """The accelerator that a label's value means: `NVIDIA-A100-SXM4-80GB` is A100-80GB, `nvidia-tesla-t4` is T4."""
    from compiler.catalog.accelerators import canonical

    plain = re.sub(r"[\s_]+", "-", text.strip().lower())
    plain = re.sub(r"^(?:nvidia|amd|intel)-(?:tesla-|geforce-|instinct-)?|^tesla-", "", plain)
    form = r"-(?:sxm\d*|pcie|hbm\d\w?|nvl(?:ink)?|shared|oam)\b"
    for said in (plain, re.sub(form, "", plain), re.sub(rf"{form}|-\d+gb\b", "", plain)):
        if said and (name := canonical(said)):
            return name
    return None


def offers(region: str, shapes: Iterable[Shape], price: float = 0.0) -> tuple[Offer, ...]:
    """What pods on such nodes can be: cut to any size up to the largest of a kind, with 1, 2, 4, ... accelerators.

    `price` is USD per pod and hour, 0 for a cluster that is paid for anyway.
    """
    largest: dict[tuple[str, Market, str, Accelerator | None], Shape] = {}
    for one in shapes:
        for wanted in _counts(one.accelerator):
            key = (instance_type(one.label), one.market, one.arch, wanted)
            if key not in largest or (one.cpus, one.memory_gb) > (largest[key].cpus, largest[key].memory_gb):
                largest[key] = one
    made = [
        Offer(
            cloud=NAME,
            region=region,
            zone=None,
            instance_type=kind,
            market=market,
            price=price,
            cpus=one.cpus,
            memory_gb=one.memory_gb,
            accelerator=wanted,
            disk_gb=one.disk_gb or None,
            flexible=True,
            arch=arch,
            source="your cluster",
        )
        for (kind, market, arch, wanted), one in largest.items()
    ]
    return tuple(
        sorted(made, key=lambda one: (one.instance_type, one.market.value, str(one.accelerator), one.arch))
    )


def _counts(card: Accelerator | None) -> tuple[Accelerator | None, ...]:
    """Part of a node can be had: 1, 2, 4, ... of its accelerators and all of them, and none on a node without."""
    if card is None:
        return (None,)
    most = int(card.count)
    return tuple(
        Accelerator(card.name, float(n)) for n in range(1, most + 1) if n == most or n & (n - 1) == 0
    )


def instance_type(label: tuple[str, str] | None) -> str:
    """The label that names the accelerator, as `key=value`: what a pod is bound to."""
    return "=".join(label) if label else ANY


def resource(accelerator: Accelerator) -> str:
    """What a pod asks for to get it."""
    from compiler.catalog.accelerators import facts

    known = facts(accelerator.name)
    return RESOURCES.get(known.vendor.lower() if known else "", RESOURCES["nvidia"])


def selector(kind: str, arch: str | None = None) -> dict[str, str]:
    """The node labels that an instance type asks for."""
    key, _, value = kind.partition("=")
    found = {key: value} if value else {}
    return {**found, **({"kubernetes.io/arch": arch} if arch else {})}


def terms(market: Market) -> list[list[tuple[str, str, str]]]:
    """Node selector terms, any of which is enough; each has expressions (key, operator, value) that must all hold."""
    if market is Market.SPOT:
        return [[(key, "In", value)] for key, value in SPOT_LABELS]
    return [[(key, "NotIn", value) for key, value in SPOT_LABELS]]


def tolerations(market: Market, accelerator: Accelerator | None) -> list[str]:
    """Keys of the taints that pods of this kind are meant for."""
    return [*(SPOT_TAINTS if market is Market.SPOT else ()), *(GPU_TAINTS if accelerator else ())]
