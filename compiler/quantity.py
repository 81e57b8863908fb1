"""The small grammar of amounts: `8`, `32+`, `80GB`, `1.5TB+`, `90s`, `10h`, `H100:8`.

Every reader takes what YAML gives (a number or a text) and raises ValueError with a sentence for people.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

_NUMBER = re.compile(r"\s*(\d{1,12}(?:\.\d{1,9})?|\.\d{1,9})\s*([A-Za-z]*)\s*(\+?)\s*\Z")
_TIME = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*\Z")
_COUNTED = re.compile(r"(.*?)\s*(?::\s*(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})\s*)?\Z", re.DOTALL)

SIZES = {
    unit + end: 1024.0**power for power, unit in enumerate("kmgtp", -2) for end in ("", "b", "i", "ib")
} | {"": 1.0}
"""Gigabytes in one unit, each 1024 of the one before: machines are sold in gigabytes of 1024³ bytes."""

TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
"""Seconds in one unit."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount that is wanted. `at_least` tells `8+` from `8`; both are met by the next larger machine."""

    value: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.value:g}{'+' if self.at_least else ''}"


def count(value: Any) -> Quantity:
    """A number of CPUs: 8, 0.5, "8", "8+"."""
    number, unit, plus = _split(value, "a number of CPUs such as `8` or `8+`")
    if unit:
        raise ValueError(f"`{unit}` is no unit of CPUs; write a number such as `8` or `8+`")
    return Quantity(number, plus)


def size(value: Any, plus_allowed: bool = True) -> Quantity:
    """Gigabytes: 32, "32+", "80GB", "512 MB", "2TB+"."""
    example = "a size such as `32`, `32+` or `512MB`" if plus_allowed else "a size such as `256` or `1TB`"
    number, unit, plus = _split(value, example)
    factor = SIZES.get(unit.lower())
    if factor is None:
        raise ValueError(f"`{unit}` is no unit of size; write {example}")
    if plus and not plus_allowed:
        raise ValueError(f"`+` has no meaning here; write {example}")
    return Quantity(round(number * factor, 9), plus)


def seconds(value: Any, unit: str = "m") -> int:
    """A time, in whole seconds rounded up: 10 (of `unit`), "90s", "10m", "1.5h", "2d", "1w"."""
    example = "a time such as `10m` or `2h`"
    text = f"{value:.9f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    found = _TIME.match(text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"write {example}")
    factor = TIMES.get((found[2] or unit).lower())
    if factor is None:
        raise ValueError(f"`{found[2]}` is no unit of time; write {example}")
    return math.ceil(float(found[1]) * factor)


def counted(text: str) -> tuple[str, float | None]:
    """`H100:8` as (name, count); the count is None when not given. Raises ValueError for a bad count."""
    found = _COUNTED.match(text.strip())
    if not found or ":" in found[1] or not found[1]:
        raise ValueError("write the name and how many, such as `H100:8`")
    return found[1], float(found[2]) if found[2] else None


def _split(value: Any, example: str) -> tuple[float, str, bool]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"write {example}")
    if isinstance(value, str):
        found = _NUMBER.match(value)
        if not found:
            raise ValueError(f"write {example}")
        number, unit, plus = float(found[1]), found[2], bool(found[3])
    else:
        number, unit, plus = float(value), "", False
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"it must be more than 0; write {example}")
    return number, unit, plus
