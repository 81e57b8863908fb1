"""Where skywright keeps its files, and how one is written so that a crash never leaves half of it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any


def home() -> Path:
    """`SKYWRIGHT_HOME`, or `~/.skywright`: what belongs to this user. Made with mode 0700."""
    return _private(Path(os.environ.get("SKYWRIGHT_HOME") or Path.home() / ".skywright"))


def cache() -> Path:
    """`SKYWRIGHT_CACHE`, or `skywright` in the user's cache folder: what can be fetched or built again."""
    if named := os.environ.get("SKYWRIGHT_CACHE"):
        return _private(Path(named))
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return _private(Path(root) / "skywright")


def _private(folder: Path) -> Path:
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content` in one step: after a crash the file is the old one or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make renames and removals in `folder` outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, data: object, mode: int = 0o600) -> None:
    """`write` for plain data."""
    write(path, json.dumps(data, ensure_ascii=False).encode() + b"\n", mode)


def read_json(path: Path) -> Any:
    """The data of a file that `write_json` wrote, or None where there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
