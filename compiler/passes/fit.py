"""Fit: offers whose one node is large enough; a flexible one is cut to the size that is asked for."""

from __future__ import annotations

from dataclasses import replace

from compiler import sharing
from compiler.catalog import inside, tariffs
from compiler.catalog.hosts import ARM_CARDS
from compiler.offer import Offer
from compiler.quantity import Quantity
from compiler.searching import Group, Search
from compiler.task import Requirements
from compiler.words import cpus, gigabytes

_ROUNDING = 1e-6

CPUS = 8.0
"""vCPUs of a machine that is sold whole when the task asks for no size at all, as SkyPilot's users expect."""

GB_PER_CPU = 4.0
"""Memory that goes with them."""

CPUS_A_CARD, GB_A_CARD = 4.0, 8.0
"""vCPUs and memory beside each accelerator, when the task asks for neither."""


def fit(search: Search) -> Search:
    """Keep nodes with enough of everything; an exact match is preferred later, by `rank`."""
    wanted = search.requirements
    says = _says(wanted)

    def reason(offer: Offer) -> str | None:
        word = _reason(offer, wanted) or unmade(search, offer)
        if word is None and offer.stock is not None and offer.stock < search.nodes:
            return f"are fewer than {search.nodes}"
        if word is None:
            shared = sharing.isolation(wanted.accelerator, offer.accelerator, search.isolation)
            word = shared if isinstance(shared, str) else None
        if word is None and search.exact and larger(offer, wanted):
            return "are larger than asked, and `exact` was asked"
        return word

    kept = search.keep("fit", says or _default(search) or "are of any size", reason, asks=bool(says))
    return replace(kept, left=tuple(_cut(one, wanted) for one in kept.left))


def unmade(search: Search, offer: Offer) -> str | None:
    """Why the cloud cannot make a machine with such an accelerator, though it sells it."""
    card = offer.accelerator.name if offer.accelerator else ""
    starts = search.terms.unmade.get(offer.cloud, {})
    found = next((why for start, why in starts.items() if card.startswith(start)), None)
    return found and f"are {card}: {found}"


def larger(offer: Offer, wanted: Requirements) -> str:
    """What a fitting machine has beyond an exact request (`8` is exact, `8+` is not); empty where nothing."""
    if offer.flexible:
        return ""
    parts = []
    has, asked = offer.accelerator, wanted.accelerator
    if asked and has and has.count > asked.count + _ROUNDING:
        parts.append(f"{has.count:g} × {has.name}, asked {asked.count:g}")
    if wanted.cpus and not wanted.cpus.at_least and offer.cpus > wanted.cpus.value + _ROUNDING:
        parts.append(f"{offer.cpus:g} vCPU, asked {wanted.cpus.value:g}")
    memory = wanted.memory_gb
    if memory and not memory.at_least and offer.memory_gb > memory.value + _ROUNDING:
        parts.append(f"{gigabytes(offer.memory_gb)}, asked {gigabytes(memory.value)}")
    ratio = per_cpu(wanted)
    if ratio and not ratio.at_least and offer.memory_gb > ratio.value * offer.cpus + _ROUNDING:
        parts.append(f"{gigabytes(offer.memory_gb)}, asked {gigabytes(ratio.value)} for each vCPU")
    return "; ".join(parts)


def per_cpu(wanted: Requirements) -> Quantity | None:
    """The memory for each vCPU that a task asks for (`memory: 4x`)."""
    ratio: Quantity | None = getattr(wanted, "memory_per_cpu", None)
    return ratio


def named(wanted: Requirements) -> str | None:
    """The instance type that a task names."""
    return getattr(wanted, "instance_type", None)


def _reason(offer: Offer, wanted: Requirements) -> str | None:
    if wanted.image and wanted.image.regions and wanted.region not in wanted.image.regions:
        return f"have no image of yours: `image_id` has one for {', '.join(wanted.image.regions)}"
    machine = named(wanted)
    if machine and offer.instance_type != machine:
        return f"are not {machine}"
    word = _inside(offer, wanted)
    if word:
        return word
    if wanted.accelerator:
        asked = wanted.accelerator
        if not offer.accelerator or offer.accelerator.name != asked.name:
            return f"have no {asked.name}"
        if offer.accelerator.count < asked.count:
            return f"have less than {asked.count:g} × {asked.name}"
    if not machine and not offer.flexible:
        word = _kind(offer, wanted)
        if word:
            return word
    if wanted.cpus and offer.cpus + _ROUNDING < wanted.cpus.value:
        return f"have less than {cpus(wanted.cpus.value)}"
    if wanted.memory_gb and offer.memory_gb + _ROUNDING < wanted.memory_gb.value:
        return f"have less than {gigabytes(wanted.memory_gb.value)} of memory"
    ratio = per_cpu(wanted)
    # A flexible machine is cut to the ratio: it needs the memory of the vCPUs that are asked for, or of one.
    cores = offer.cpus if not offer.flexible else wanted.cpus.value if wanted.cpus else min(1.0, offer.cpus)
    if ratio and offer.memory_gb + _ROUNDING < ratio.value * cores:
        return f"have less than {gigabytes(ratio.value)} of memory for each vCPU"
    if wanted.disk_gb and offer.disk_gb is not None and offer.disk_gb + _ROUNDING < wanted.disk_gb:
        return f"have less than {gigabytes(wanted.disk_gb)} of disk"
    return None


def _inside(offer: Offer, wanted: Requirements) -> str | None:
    """What is asked of the machine's network and disks."""
    if not tariffs.has_tier(offer.cloud, wanted.disk_tier):
        if offer.cloud in tariffs.DISK:
            return f"have no disk of tier {wanted.disk_tier} whose price is known"
        return "have disks of one speed"
    if wanted.network_tier == "best" and not inside.fast_network(offer.cloud, offer.instance_type):
        return "have no fast network (EFA, GPUDirect, InfiniBand)"
    if wanted.local_disk and not inside.has_disk(offer.cloud, offer.instance_type, wanted.local_disk):
        return f"have no {wanted.local_disk.kind} disk inside with {gigabytes(wanted.local_disk.gb.value)}"
    return None


def _kind(offer: Offer, wanted: Requirements) -> str | None:
    """What nobody asks for by size, and what sizes mean that nobody gave."""
    arm = wanted.accelerator is not None and wanted.accelerator.name in ARM_CARDS
    if offer.arch != "x86_64" and not arm:
        return f"are {offer.arch}"
    if offer.burstable:
        return "sell CPU time by credit"
    if wanted.cpus or wanted.memory_gb or per_cpu(wanted):
        return None
    if wanted.accelerator:
        cards = wanted.accelerator.count
        if cards < 1 or wanted.accelerator.name.startswith("tpu-"):
            return None
        if offer.cpus < CPUS_A_CARD * cards or offer.memory_gb < GB_A_CARD * cards:
            sizes = f"{cpus(CPUS_A_CARD)} and {gigabytes(GB_A_CARD)}"
            return f"have less than {sizes} for each accelerator, the default"
    elif offer.cpus < CPUS or offer.memory_gb < CPUS * GB_PER_CPU:
        return f"have less than {cpus(CPUS)} and {gigabytes(CPUS * GB_PER_CPU)}, the default"
    return None


def cut(offer: Offer, wanted: Requirements) -> Offer:
    """A flexible offer in the size that is asked for; another as it is."""
    if not offer.flexible:
        return offer
    ratio = per_cpu(wanted)
    cores, memory = wanted.cpus.value if wanted.cpus else offer.cpus, offer.memory_gb
    if ratio:
        # As many vCPUs as there is memory for, when the task asks for no number of them.
        cores = cores if wanted.cpus else min(cores, memory / ratio.value)
        memory = round(cores * ratio.value, 6)
    return replace(
        offer,
        cpus=cores,
        memory_gb=wanted.memory_gb.value if wanted.memory_gb else memory,
        accelerator=wanted.accelerator or offer.accelerator,
        disk_gb=wanted.disk_gb if wanted.disk_gb and offer.disk_gb is not None else offer.disk_gb,
    )


def _cut(group: Group, wanted: Requirements) -> Group:
    return replace(group, offer=cut(group.offer, wanted)) if group.offer.flexible else group


def _default(search: Search) -> str:
    if search.requirements.accelerator or all(one.offer.flexible for one in search.left):
        return ""
    return f"have {cpus(CPUS)} and {gigabytes(CPUS * GB_PER_CPU)} or more, the default"


def _says(wanted: Requirements) -> str:
    parts = []
    if wanted.accelerator:
        parts.append(f"{wanted.accelerator.count:g} × {wanted.accelerator.name}")
    if wanted.cpus:
        parts.append(cpus(wanted.cpus.value))
    if wanted.memory_gb:
        parts.append(f"{gigabytes(wanted.memory_gb.value)} of memory")
    if wanted.disk_gb:
        parts.append(f"{gigabytes(wanted.disk_gb)} of disk")
    listed = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""
    machine = named(wanted)
    if machine:
        return f"are {machine} with {listed} or more" if listed else f"are {machine}"
    return f"have {listed} or more" if listed else ""
