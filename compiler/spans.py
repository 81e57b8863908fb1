"""Deadlines, spans of time and what edge devices must offer, as texts of a task file into numbers."""

from __future__ import annotations

import datetime
import re
from typing import Any

from compiler import quantity

_MEASURE = re.compile(r"\s*(?:<=?|>=?|≤|≥)?\s*(\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z/]+)\s*\Z")

BANDWIDTH = {"kbps": 0.001, "kbit/s": 0.001, "mbps": 1.0, "mbit/s": 1.0, "gbps": 1000.0, "gbit/s": 1000.0}
"""Megabits per second."""

LATENCY = {"us": 0.001, "ms": 1.0, "s": 1000.0}
"""Milliseconds."""

POWER = {"mw": 0.001, "w": 1.0, "kw": 1000.0}
"""Watts."""


def hours(value: Any) -> float:
    """Seconds of a number of hours, or of `90m`. Raises ValueError with a sentence for people."""
    found = float(quantity.seconds(value, unit="h"))
    if found <= 0:
        raise ValueError("it must be more than 0; write a time such as `90m` or `12h`")
    return found


def moment(text: str) -> str:
    """A point in time with its zone, by ISO 8601. Raises ValueError with a sentence for people."""
    example = "write a span such as `12h`, or a time with its zone such as `2026-12-01T08:00:00Z`"
    try:
        found = datetime.datetime.fromisoformat(re.sub(r"[zZ]\Z", "+00:00", text.strip()))
    except ValueError:
        raise ValueError(example) from None
    if found.tzinfo is None:
        raise ValueError(f"the time has no zone; {example}")
    return found.isoformat()


def measure(text: str, units: dict[str, float], example: str) -> float:
    """`100Mbps`, `<50ms`, `300W` in the unit that `units` counts. Raises ValueError with a sentence."""
    found = _MEASURE.match(text)
    factor = units.get(found[2].lower()) if found else None
    if not found or factor is None or not float(found[1]):
        raise ValueError(f"write {example}")
    return float(found[1]) * factor
