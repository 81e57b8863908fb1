"""Where skywright keeps its files, and how one is written so that a crash never leaves half of it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compiler.problem import Problem

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when a disk, or this user's part of it, is full."""


def home() -> Path:
    """`SKYWRIGHT_HOME`, or `~/.skywright`: what belongs to this user. Made with mode 0700."""
    return _private(Path(os.environ.get("SKYWRIGHT_HOME") or Path.home() / ".skywright"), "SKYWRIGHT_HOME")


def cache() -> Path:
    """`SKYWRIGHT_CACHE`, or `skywright` in the user's cache folder: what can be fetched or built again.

    Raises Problems machine/cache-unusable; `home` raises machine/cannot-write.
    """
    if named := os.environ.get("SKYWRIGHT_CACHE"):
        return _private(Path(named), "SKYWRIGHT_CACHE")
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return _private(Path(root) / "skywright", "SKYWRIGHT_CACHE")


def _private(folder: Path, variable: str) -> Path:
    folder = folder.expanduser().absolute()
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        from compiler.problem import Problems

        raise Problems(unusable(error, folder, variable)) from None
    return folder


def unusable(error: OSError, folder: Path, variable: str) -> Problem:
    """The Problem of a folder of ours that cannot be used; `variable` is the one that names another."""
    from compiler.problem import Problem

    if error.errno in FULL:
        return disk_full(folder)
    code, what = "machine/cannot-write", "skywright's home"
    if variable == "SKYWRIGHT_CACHE":
        code, what = "machine/cache-unusable", "the cache"
    why = error.strerror or str(error)
    hint = f"make it yours to read and write, or set {variable} to another folder"
    return Problem(code, f"{what} {folder} cannot be used: {why}", hint=hint)


def disk_full(folder: Path) -> Problem:
    """The Problem of a full disk, which holds `folder`."""
    from compiler.problem import Problem

    return Problem(
        "machine/disk-full",
        f"no space left on the disk that holds {folder}",
        hint="free some space there (`invoke down NAME` removes a deployment and what its nodes wrote), then\n"
        "repeat the command; or set SKYWRIGHT_HOME to a folder on another disk",
    )


def write_first(path: Path, content: bytes) -> None:
    """As `write`, unless the file is there: of several processes that make it at once, one wins for all."""
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    write(draft, content)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


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
