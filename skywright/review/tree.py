"""Folders as digests: their files' names, contents and executable bits; not times, not owners, nothing ignored."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path


def digest(files: Iterable[tuple[Path, str]]) -> str:
    """Of (path, name) pairs in any order. Raises OSError for what cannot be read."""
    total = hashlib.sha256()
    for path, name in sorted(files, key=lambda one: one[1]):
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            kind, content = "link", os.readlink(path).encode()
        elif stat.S_ISREG(mode):
            kind, content = ("program" if mode & 0o100 else "file"), path.read_bytes()
        else:
            continue
        total.update(f"{name}\0{kind}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def own() -> str:
    """Of the code that compiles, previews and brings up: ours, as it is installed here."""
    import compiler
    import schemas
    import skywright
    import stacks

    found = []
    for package in (compiler, schemas, skywright, stacks):
        root = Path(str(package.__file__)).parent
        for path in root.rglob("*"):
            if path.suffix in (".py", ".json") and path.is_file():
                found.append((path, f"{root.name}/{path.relative_to(root).as_posix()}"))
    return digest(found)
