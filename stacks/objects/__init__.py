"""Objects of one deployment's store, by the person's credentials: the side of the bucket that control writes.

STORES names one module per kind: a store is one file and one line. SDKs are imported when a store is opened.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import BinaryIO, NamedTuple, Protocol, cast

from stacks.boot import Store

STORES = {
    "s3": "stacks.objects.s3",
    "gcs": "stacks.objects.gcs",
    "azblob": "stacks.objects.azblob",
    "pods": "stacks.objects.pods",
}


class Found(NamedTuple):
    """An object; `content` is None when its mark is still the one that was given. Written `age_s` seconds ago."""

    content: bytes | None
    mark: str
    age_s: float


class Unavailable(Exception):
    """The store did not answer as it should; `credentials`: because of who asked."""

    def __init__(self, says: str, credentials: bool = False) -> None:
        super().__init__(says)
        self.credentials = credentials


class Objects(Protocol):
    """Keys are below the store's prefix. Usable from several threads. Everything may raise Unavailable."""

    def get(self, key: str, mark: str = "") -> Found | None:
        """The object, or None when there is none."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Make or replace the object."""
        ...

    def new(self, key: str, content: bytes | BinaryIO) -> bool:
        """Make the object; False when there was one, which stays as it is."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are fine."""
        ...

    def list(self, start: str = "") -> list[str]:
        """Keys that begin with `start`, in order."""
        ...


class Module(Protocol):
    """What each module of STORES has."""

    def open_objects(self, store: Store, env: Mapping[str, str]) -> Objects: ...


def open_objects(store: Store, env: Mapping[str, str]) -> Objects:
    """`env` holds the variables of the cloud's credentials; what it lacks comes from the user's files.

    Raises Unavailable, and ImportError where the cloud's SDK is not installed.
    """
    return cast(Module, importlib.import_module(STORES[store.kind])).open_objects(store, env)
