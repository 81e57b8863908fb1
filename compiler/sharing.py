"""How tasks that share an accelerator are kept apart: which way a plan takes, and why another one cannot serve."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compiler.catalog import accelerators
from compiler.offer import Accelerator

_PROFILE = re.compile(r"(\d+)g\.(\d+)gb\Z")

BEFORE_MPS = frozenset({"Kepler", "Maxwell", "Pascal"})
"""Generations of NVIDIA whose MPS keeps no limits of memory."""

SHARE = 0.9
"""A profile has the memory of a part from this share of it: sizes in its name are rounded."""

SAYS = {
    "exclusive": "nothing is shared",
    "mig": "memory and compute are apart",
    "mps": "memory is limited, a fault of one hits all",
    "time-slicing": "taken in turns, memory is not kept apart",
}


@dataclass(frozen=True, slots=True)
class Isolation:
    """`kind` is a value of the field `isolation`; `profile` of a MIG slice; `fit` is how many such parts one
    accelerator holds."""

    kind: str
    profile: str | None = None
    fit: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.profile}" if self.profile else self.kind


def isolation(
    asked: Accelerator | None, has: Accelerator | None, wanted: str | None
) -> Isolation | str | None:
    """The way that a plan takes on a machine that `has` accelerators, for a request that asked so many; `wanted`
    is what the task says. None where nothing is accelerated, a text (beginning with a verb) where it cannot be."""
    if asked is None or has is None:
        return None
    if asked.count >= 1:
        whole = asked.count == int(asked.count)
        if not whole and wanted != "exclusive":
            return f"cannot give {asked.count:g} accelerators: only parts below 1 are shared"
        if wanted not in (None, "exclusive"):
            return f"cannot use {wanted} for whole accelerators"
        return Isolation("exclusive")
    if has.count < 1 or wanted == "exclusive":
        return Isolation("exclusive")
    known = accelerators.facts(has.name)
    part = profile(has.name, asked.count)
    if wanted in (None, "mig") and part is not None:
        return part
    if wanted == "mig":
        return _no_profile(has.name, asked.count)
    nvidia = known is not None and known.vendor == "NVIDIA"
    limits = nvidia and known is not None and known.generation not in (None, *BEFORE_MPS)
    many = int(1 / asked.count + 1e-9)
    if wanted == "mps" and not limits:
        return f"cannot limit memory by MPS on {has.name}"
    if wanted == "mps" or (wanted is None and limits):
        return Isolation("mps", fit=many)
    if wanted == "time-slicing" or nvidia:
        return Isolation("time-slicing", fit=many)
    return Isolation("exclusive")


def profile(name: str, part: float) -> Isolation | None:
    """The MIG profile with the memory of a part of the accelerator: of those the smallest, and of these the one of
    which most fit. None where only the whole accelerator would do."""
    known = accelerators.facts(name)
    if known is None or not known.mig or known.memory_gb is None:
        return None
    sizes = [(int(found[1]), int(found[2]), text) for text in known.mig if (found := _PROFILE.match(text))]
    slices = max(size for size, _, _ in sizes)
    fitting = [
        (memory, -min(slices // size, int(known.memory_gb / memory + 0.1)), text)
        for size, memory, text in sizes
        if memory >= known.memory_gb * part * SHARE and size < slices
    ]
    if not fitting:
        return None
    _, count, text = min(fitting)
    return Isolation("mig", text, -count)


def _no_profile(name: str, part: float) -> str:
    known = accelerators.facts(name)
    if known is None or not known.mig:
        return f"cannot be cut: {name} has no MIG profiles"
    return (
        f"have no MIG profile with {part:g} of {name} that is smaller than the whole ({', '.join(known.mig)})"
    )
