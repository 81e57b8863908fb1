"""How control writes numbers for people: durations and sizes."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 min 10 s`, `3 h 10 min`, `2 d 4 h`."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for big, name, small, small_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= big:
            count, rest = divmod(whole, big)
            rest //= small
            return f"{count} {name} {rest} {small_name}" if rest else f"{count} {name}"
    return f"{whole} s"


def size(count: float) -> str:
    """`512 B`, `1.5 kB`, `20 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"


def few(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
