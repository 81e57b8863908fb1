"""Numbers as people read them: money, sizes and spans of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compiler.task import Requirements


def money(usd: float) -> str:
    """USD with as many digits as a person needs: `free`, `$0.0384`, `$1,481.00`."""
    if usd == 0:
        return "free"
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.3g}"


def cpus(value: float) -> str:
    """`1 vCPU`, `8 vCPUs`."""
    return f"{value:g} vCPU" + ("" if value == 1 else "s")


def gigabytes(value: float) -> str:
    """`512 MB`, `16 GB`, `1.15 TB`."""
    if value < 1:
        return f"{value * 1024:.4g} MB"
    return f"{value:.4g} GB" if value < 10_000 else f"{value / 1024:.4g} TB"


def span(seconds: float) -> str:
    """`90 s`, `10 min`, `2 h`, `1 d 6 h`."""
    whole = round(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if whole >= size and (unit != "s" or not parts):
            parts.append(f"{whole // size} {unit}")
            whole %= size
    return " ".join(parts[:2]) or "0 s"


def asked(wanted: Requirements) -> str:
    """What a request names, shortly: `aws us-east-1 · 8 H100, 32+ vCPU`; `anything` when it names nothing."""
    parts = []
    if wanted.accelerator:
        parts.append(f"{wanted.accelerator.count:g} {wanted.accelerator.name}")
    if wanted.cpus:
        parts.append(f"{wanted.cpus} vCPU")
    if wanted.memory_gb:
        parts.append(gigabytes(wanted.memory_gb.value) + ("+" if wanted.memory_gb.at_least else ""))
    place = " ".join(part for part in (wanted.cloud, wanted.region, wanted.zone) if part)
    spot = "spot" if wanted.use_spot else ""
    return " · ".join(part for part in (place, ", ".join(parts), spot) if part) or "anything"
