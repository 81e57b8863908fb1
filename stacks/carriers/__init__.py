"""Where leases are kept: beside the state of each kind of backend, by writes that are conditional there.

A new kind of backend is one module here and one line in KINDS.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored lease: its bytes, and how long ago it was written by the store's own clock."""

    content: bytes
    age_s: float


class Carrier(Protocol):
    """Where leases of one backend are kept. Every write is conditional on the bytes that were read before.

    Whatever the store does not do raises OSError; so the lease is taken for one that could not be renewed.
    """

    def read(self, key: str) -> Entry | None: ...

    def write(self, key: str, content: bytes, expected: bytes | None) -> bool:
        """Store `content` if the lease still is `expected` (None: absent); False when somebody was first."""
        ...

    def remove(self, key: str, expected: bytes) -> bool: ...


KINDS = {
    "s3": "stacks.carriers.s3",
    "gs": "stacks.carriers.gs",
    "azblob": "stacks.carriers.azblob",
    "postgres": "stacks.carriers.postgres",
}
"""Scheme of a backend's URL -> module with `open_carrier(url)`."""

FOLDER = ".skywright/leases"
"""Where leases lie, below the backend's folder or prefix."""


def carrier(folder: Path | None, url: str) -> Carrier:
    """The carrier of a backend, `folder` being that of a file backend.

    Pulumi Cloud keeps nothing of ours and has a lock of its own: there a lease excludes the operations of this user
    only. Raises OSError when the store does not answer, Problems `engine/backend-unreachable` without its SDK.
    """
    from stacks import home
    from stacks.carriers.files import FileCarrier

    if folder is not None:
        return FileCarrier(folder)
    module = KINDS.get(url.partition("://")[0])
    if module is not None:
        return cast(Carrier, importlib.import_module(module).open_carrier(url))
    return FileCarrier(home.home() / "leases" / hashlib.sha256(url.encode()).hexdigest()[:16])
