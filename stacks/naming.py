"""Names within the rules of clouds: cut and cleaned, and kept apart by a hash where they then look alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

HASH = 10
"""Letters of the hash that keeps names apart which are cut or cleaned alike."""


def cut(parts: Iterable[str], more: Iterable[str], most: int, between: str = "-") -> str:
    """`skywright-proj-train-3f2a90c1b7`: lower case letters, digits and `between`, the hash always at the end.

    `more` counts in the hash and is not shown. Equal inputs give equal names, different ones differ.
    """
    whole = tuple(parts)
    text = between.join(re.sub(r"[^a-z0-9]+", between, part.lower()).strip(between) for part in whole)
    text = re.sub(f"{re.escape(between)}+", between, text) if between else text
    text = text[: most - HASH - len(between)].strip(between or None)
    return f"{text}{between}{hashed(chr(0).join((*whole, *more)))}"


def hashed(text: str) -> str:
    """The first letters of the SHA-256 of `text`, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()[:HASH]
