"""Names of accelerators: what people write, in any case and by second names, into our one name."""

from __future__ import annotations

import json
import os
import re
from functools import cache

from compiler.problem import nearest

_TPU = re.compile(r"(tpu-v[0-9a-z]+?)-([1-9][0-9]{0,4})\Z")
_MAKER = re.compile(r"(?:nvidia|amd|intel|aws|google|geforce|tesla)[\s_-]+")


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
    tpu = re.match(r"\s*tpu[\s_-]*v?\w*?(?:-(\d+))?\s*\Z", text.lower())
    if tpu:
        return f"tpu-v6e-{tpu[1] or 8}"
    found = nearest(text, [name for name in _names().values() if not name.startswith("tpu-")])
    return found or nearest(_plain(text.lower()), _names())


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text.lower())


@cache
def _names() -> dict[str, str]:
    path = os.path.join(os.path.dirname(__file__), "accelerators.json")
    with open(path, encoding="utf-8") as file:
        makers: dict[str, dict[str, list[str]]] = json.load(file)
    names = {_plain(name): name for table in makers.values() for name in table}
    for table in makers.values():
        for name, others in table.items():
            for other in others:
                names.setdefault(_plain(other), name)
    return names
