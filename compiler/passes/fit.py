"""Fit: offers whose one node is large enough; a flexible one is cut to the size that is asked for."""

from __future__ import annotations

from dataclasses import replace

from compiler.offer import Offer
from compiler.searching import Search
from compiler.task import Requirements
from compiler.words import cpus, gigabytes

_ROUNDING = 1e-6


def fit(search: Search) -> Search:
    """Keep nodes with enough of everything. Larger than asked is fine: price decides between them."""
    wanted = search.requirements
    says = _says(wanted)
    kept = search.keep(
        "fit", says or "are of any size", lambda offer: _reason(offer, wanted), asks=bool(says)
    )
    return replace(kept, left=tuple(_cut(offer, wanted) for offer in kept.left))


def _reason(offer: Offer, wanted: Requirements) -> str | None:
    if wanted.accelerator:
        asked = wanted.accelerator
        if not offer.accelerator or offer.accelerator.name != asked.name:
            return f"have no {asked.name}"
        if offer.accelerator.count < asked.count:
            return f"have less than {asked.count:g} × {asked.name}"
    if wanted.cpus and offer.cpus + _ROUNDING < wanted.cpus.value:
        return f"have less than {cpus(wanted.cpus.value)}"
    if wanted.memory_gb and offer.memory_gb + _ROUNDING < wanted.memory_gb.value:
        return f"have less than {gigabytes(wanted.memory_gb.value)} of memory"
    if wanted.disk_gb and offer.disk_gb is not None and offer.disk_gb + _ROUNDING < wanted.disk_gb:
        return f"have less than {gigabytes(wanted.disk_gb)} of disk"
    return None


def _cut(offer: Offer, wanted: Requirements) -> Offer:
    if not offer.flexible:
        return offer
    return replace(
        offer,
        cpus=wanted.cpus.value if wanted.cpus else offer.cpus,
        memory_gb=wanted.memory_gb.value if wanted.memory_gb else offer.memory_gb,
        accelerator=wanted.accelerator or offer.accelerator,
        disk_gb=wanted.disk_gb if wanted.disk_gb and offer.disk_gb is not None else offer.disk_gb,
    )


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
    return f"have {listed} or more" if listed else ""
