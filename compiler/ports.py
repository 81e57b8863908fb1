"""TCP ports: `8080`, `9000-9010`, `80,443`, lists of them, into ranges apart from each other."""

from __future__ import annotations

import re
from typing import Any

HIGHEST = 65535

_RANGE = re.compile(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?\Z")


def ranges(value: Any) -> tuple[str, ...]:
    """`[80, "82-90", "81"]` as `("80-90",)`. Raises ValueError with a sentence for people."""
    spans: list[tuple[int, int]] = []
    for item in value if isinstance(value, list) else [value]:
        for text in str(item).split(","):
            if text.strip():
                spans.append(_span(text))
    merged: list[list[int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return tuple(f"{first}" if first == last else f"{first}-{last}" for first, last in merged)


def _span(text: str) -> tuple[int, int]:
    found = _RANGE.match(text)
    if not found:
        raise ValueError("write a port such as `8080`, or a range such as `9000-9010`")
    first = int(found[1])
    last = int(found[2]) if found[2] else first
    if not 1 <= first <= last <= HIGHEST:
        raise ValueError(f"ports are 1 to {HIGHEST}, and a range begins with the smaller one")
    return first, last
