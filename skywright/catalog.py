"""Opens the catalog of prices: unpacked once into the cache under its content hash, then read through indexes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog


def open_catalog() -> Catalog:
    """The catalog of this version. Raises Problems machine/cannot-write where the cache cannot be used."""
    from compiler.catalog.shelf import Catalog

    path = _path()
    if path.exists():
        # A file that was damaged since is made anew.
        with contextlib.suppress(sqlite3.Error, ValueError, KeyError):
            return Catalog(_connect(path))
    try:
        _unpack(path)
    except OSError as error:
        said = f"`{path.parent}` cannot be written: {error.strerror}"
        hint = "name another folder with SKYWRIGHT_CACHE"
        raise Problems(Problem("machine/cannot-write", said, hint=hint)) from None
    return Catalog(_connect(path))


def _path() -> Path:
    from compiler.catalog.package import mark
    from stacks.home import cache

    return cache() / "catalog" / f"{mark().sha256[:16]}.sqlite"


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)


def _unpack(path: Path) -> None:
    """Whole or not at all, whoever else does the same at the same time."""
    from compiler.catalog.package import unpack

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".sqlite", dir=path.parent)
    os.close(handle)
    try:
        unpack(name)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
