"""Accelerators: what people write, in any case and by second names, into our one name; and what each is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from compiler.problem import nearest

_TPU = re.compile(r"(tpu-v[0-9a-z]+?)-([1-9][0-9]{0,4})\Z")
_MAKER = re.compile(r"(?:nvidia|amd|intel|aws|google|geforce|tesla)[\s_-]+")

ROUNDING = 0.9
"""A device sold as 24 GB may report 22.4: one counts as having `n` GB from this share of it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One accelerator. `memory_gb` is of one device (a TPU: one chip), None where nobody says; `mig` are the
    profiles into which it can be cut; `link` joins the devices of one node, None means PCIe."""

    name: str
    vendor: str
    memory_gb: float | None
    generation: str | None
    link: str | None
    mig: tuple[str, ...]
    also: tuple[str, ...]


def canonical(text: str) -> str | None:
    """`nvidia h100-80gb` is H100, `TPU-V5E-8` is tpu-v5litepod-8; None for a name nobody knows."""
    lowered = text.strip().lower()
    while found := _MAKER.match(lowered):
        lowered = lowered[found.end() :]
    names = _names()
    tpu = _TPU.match(lowered)
    if tpu:
        kind = names.get(_plain(tpu[1]))
        return f"{kind}-{tpu[2]}" if kind and kind.startswith("tpu-") else None
    name = names.get(_plain(lowered))
    return None if name and name.startswith("tpu-") else name


def similar(text: str) -> str | None:
    """The known name nearest to `text`, None when none is near."""
    tpu = re.match(r"\s*(tpu[\s_-]*v?\w*?)(?:-(\d*))?\s*\Z", text.lower())
    if tpu:
        kinds = {plain: name for plain, name in _names().items() if name.startswith("tpu-")}
        near = nearest(_plain(tpu[1]), kinds) if any(map(str.isdigit, tpu[1])) else None
        kind = kinds[near] if near else "tpu-v6e"
        sized = f"{kind}-{tpu[2]}"
        return sized if canonical(sized) else f"{kind}-8"
    found = nearest(text, [name for name in _names().values() if not name.startswith("tpu-")])
    plain = None if found else nearest(_plain(text.lower()), _names())
    return _names()[plain] if plain else found


def facts(name: str) -> Facts | None:
    """What is known of a canonical name; of a TPU slice such as `tpu-v5p-8` that of its kind."""
    tpu = _TPU.match(name)
    return table().get(tpu[1] if tpu else name)


def with_memory(gigabytes: float, *, at_least: bool = False, vendor: str | None = None) -> tuple[str, ...]:
    """Accelerators of one node's card with that much memory each (`80GB`), or that much and more (`80GB+`),
    the smallest first; TPUs, whose names carry a size, are not among them."""
    found = [
        one
        for one in table().values()
        if one.memory_gb is not None
        and not one.name.startswith("tpu-")
        and (vendor is None or one.vendor.lower() == vendor.lower())
        and (
            one.memory_gb >= gigabytes
            if at_least
            else gigabytes * ROUNDING <= one.memory_gb <= gigabytes / ROUNDING
        )
    ]
    return tuple(one.name for one in sorted(found, key=lambda one: (one.memory_gb, one.name)))


@cache
def table() -> Mapping[str, Facts]:
    """Every accelerator by its canonical name, in the order of the file."""
    path = os.path.join(os.path.dirname(__file__), "accelerators.json")
    with open(path, encoding="utf-8") as file:
        makers: dict[str, dict[str, dict[str, Any]]] = json.load(file)
    return {
        name: Facts(
            name=name,
            vendor=vendor,
            memory_gb=said.get("memory_gb"),
            generation=said.get("generation"),
            link=said.get("link"),
            mig=tuple(said.get("mig", ())),
            also=tuple(said.get("also", ())),
        )
        for vendor, known in makers.items()
        for name, said in known.items()
    }


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text.lower())


@cache
def _names() -> dict[str, str]:
    names = {_plain(name): name for name in table()}
    for one in table().values():
        for other in one.also:
            names.setdefault(_plain(other), one.name)
    return names
