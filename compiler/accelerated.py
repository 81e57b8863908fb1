"""The field `accelerators`: names with counts, alternatives, parts of a card, and cards by their memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from compiler import quantity
from compiler.catalog import accelerators
from compiler.needs import MemoryOf
from compiler.notes import Notes, Path
from compiler.offer import Accelerator
from compiler.problem import quote

MOST = 10_000
"""On one node; more is a slip of the finger."""

MAKERS = ("nvidia", "amd", "intel", "aws", "google", "qualcomm")

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,100}\Z")
_MEMORY = re.compile(r"\d{1,9}\s*[GMT]B\+?\Z", re.IGNORECASE)


OWN_NAMES = ("kubernetes", "slurm", "ssh")
"""Clouds whose owner names the accelerators."""

_GKE = re.compile(r"tpu-v[0-9][a-z0-9]*(?:-lite)?-(?:podslice|device|slice)\Z")


def on_gke(name: str) -> bool:
    """Is it a TPU by the name that Google's Kubernetes gives it?"""
    return bool(_GKE.match(name))


def read(
    value: Any, notes: Notes, path: Path, *, any_name: bool = False
) -> tuple[Accelerator | MemoryOf, ...]:
    """Each alternative of a field's value in its order; what is wrong is noted and left out.

    With `any_name` a name that nobody knows is one of the cluster's own.
    """
    if value is None:
        return ()
    found = []
    if isinstance(value, Mapping):
        for name, count in value.items():
            found.append(_one(name, count, notes, (*path, name), any_name, key=True))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name, count = next(iter(item.items())) if isinstance(item, Mapping) else (item, None)
            found.append(_one(name, count, notes, (*path, index), any_name, key=False))
    else:
        found.append(_one(value, None, notes, path, any_name, key=False))
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _one(
    text: str, number: float | None, notes: Notes, path: Path, any_name: bool, *, key: bool
) -> Accelerator | MemoryOf | None:
    parts = text.strip().split(":")
    if any(_MEMORY.match(part.strip()) for part in parts[:2]) and accelerators.canonical(parts[0]) is None:
        return _by_memory(text, number, notes, path)
    try:
        name, count = quantity.counted(text)
    except ValueError as error:
        notes.note("task/wrong-value", f"{quote(text)} is not an accelerator with a count", path, str(error))
        return None
    if count is not None and number is not None:
        message = f"{quote(text)} has a count, and another one is given"
        notes.note("task/conflicting-fields", message, path, "write the count once", key)
        return None
    number = count if number is None else number
    number = 1 if number is None else number
    known = accelerators.canonical(name)
    if known is None and (on_gke(name.strip().lower()) or (any_name and _PLAIN.match(name.strip()))):
        known = name.strip().lower() if on_gke(name.strip().lower()) else name.strip()
    if known is None:
        meant = accelerators.similar(name)
        hint = f"did you mean `{meant}`?" if meant else "`H100:8` is eight H100 on each node"
        if name.strip().startswith("$"):
            hint = "a name of `envs` is filled in here, where it is a value and stands in `envs`"
        notes.note("task/unknown-accelerator", f"no accelerator is called {quote(name)}", path, hint, key)
        return None
    if not 0 < number <= MOST:
        message = f"{number:g} accelerators cannot be asked for"
        notes.note("task/wrong-value", message, path, f"for example `{known}:1`")
        return None
    return Accelerator(known, int(number) if number == int(number) else number)


def _by_memory(text: str, number: float | None, notes: Notes, path: Path) -> MemoryOf | None:
    """`80GB+`, `80GB:2`, `nvidia:80GB+`, `amd:16GB:4`."""
    parts = [part.strip() for part in text.strip().split(":")]
    maker = None if _MEMORY.match(parts[0]) else parts.pop(0).lower()
    memory, *counts = parts
    count: float | str = counts[0] if counts else 1 if number is None else number
    if maker is not None and maker not in MAKERS:
        listed = ", ".join(f"`{one}`" for one in MAKERS)
        notes.note("task/wrong-value", f"{quote(maker)} makes no accelerators", path, f"makers are {listed}")
        return None
    if len(counts) > 1 or not str(count).isdigit() or not 0 < int(count) <= MOST:
        message = f"{quote(text)} is not an accelerator by memory with a count"
        notes.note("task/wrong-value", message, path, "for example `80GB+:2`")
        return None
    try:
        return MemoryOf(quantity.size(memory), int(count), maker)
    except ValueError as error:
        notes.note("task/wrong-value", f"{quote(text)} is no size of memory", path, str(error))
        return None
