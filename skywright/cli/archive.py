"""Packs folders and files of this machine into archives: equal content gives equal bytes.

What `.skyignore` in the folder's root names is left out; without one, what `.gitignore` files (also nested)
and `.git/info/exclude` name. Symbolic links stay links; times and owners are not kept.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from compiler.files import Sync


@dataclass(frozen=True, slots=True)
class Archive:
    """A packed folder or file. `digest`: SHA-256 (hex) of the bytes at `path`; `files`: how many inside;
    `skipped`: names of what is neither file, folder nor link."""

    digest: str
    path: Path
    bytes: int
    files: int
    skipped: tuple[str, ...] = ()


def pack(source: Path, into: Path, sync: Sync | None = None) -> Archive:
    """Pack `source` (a folder: its content; a file: it alone, as it is named) into a new file in `into`. Of a folder
    only what `sync` chooses.

    Raises Problems task/unreadable-file, machine/disk-full.
    """
    into.mkdir(parents=True, exist_ok=True)
    target = into / f"{len(list(into.iterdir()))}.tar.gz"
    count = 0
    skipped: list[str] = []
    try:
        with open(target, "wb") as raw:
            hashed = _Hashed(raw)
            with (
                gzip.GzipFile(
                    filename="", fileobj=cast(IO[bytes], hashed), mode="wb", compresslevel=1, mtime=0
                ) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
            ):
                for path, name in members(source, sync):
                    if _goes_along(path):
                        count += _add(tar, path, name)
                    else:
                        skipped.append(name)
    except OSError as error:
        raise Problems(_refused(error, source)) from None
    return Archive(hashed.digest.hexdigest(), target, hashed.bytes, count, tuple(skipped))


def members(source: Path, sync: Sync | None = None) -> Iterator[tuple[Path, str]]:
    """Paths below `source` with their names in the archive, sorted, without what is to be ignored and what `sync`
    does not choose; folders that hold nothing stay out where it chooses."""
    if not source.is_dir():
        yield source, source.name
        return
    ignored = _Ignored(source)
    chooses = sync is not None and bool(sync.include or sync.exclude)
    for path, name in _below(source, "", ignored):
        if not (chooses and sync) or (_chosen(name, sync) and (path.is_symlink() or not path.is_dir())):
            yield path, name


def _chosen(name: str, sync: Sync) -> bool:
    """By the name or the name of a folder around it; a pattern without `/` is about names alone."""
    parts = name.split("/")
    around = ["/".join(parts[: count + 1]) for count in range(len(parts))]

    def matches(pattern: str) -> bool:
        plain = pattern.rstrip("/")
        if "/" in plain:
            return any(fnmatchcase(one, plain.lstrip("/")) for one in around)
        return any(fnmatchcase(one, plain) for one in parts)

    return (not sync.include or any(map(matches, sync.include))) and not any(map(matches, sync.exclude))


def _below(folder: Path, prefix: str, ignored: _Ignored) -> Iterator[tuple[Path, str]]:
    ignored.enter(folder, prefix)
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if ignored.match(name + "/" if is_folder else name):
            continue
        yield Path(entry.path), name
        if is_folder:
            yield from _below(Path(entry.path), name + "/", ignored)


class _Ignored:
    """The ignore files that hold in the folders we are in, the innermost last."""

    def __init__(self, root: Path) -> None:
        self.own = root / ".skyignore"
        self.specs: list[tuple[str, GitIgnoreSpec]] = []
        if self.own.is_file():
            self._read(self.own, "")
        else:
            self._read(root / ".git" / "info" / "exclude", "")

    def enter(self, folder: Path, prefix: str) -> None:
        self.specs = [(base, spec) for base, spec in self.specs if prefix.startswith(base)]
        if not self.own.is_file():
            self._read(folder / ".gitignore", prefix)

    def _read(self, file: Path, prefix: str) -> None:
        if not file.is_file():
            return
        from pathspec import GitIgnoreSpec

        # .skyignore of SkyPilot's users may anchor with `./`, which git's patterns do not know.
        lines = [
            line[1:] if line.startswith("./") else line
            for line in file.read_text("utf-8", "replace").splitlines()
        ]
        self.specs.append((prefix, GitIgnoreSpec.from_lines(lines)))

    def match(self, name: str) -> bool:
        verdict = False
        for base, spec in self.specs:
            if name.startswith(base):
                included = spec.check_file(name[len(base) :]).include
                verdict = verdict if included is None else included
        return verdict


def _goes_along(path: Path) -> bool:
    """Sockets, pipes and devices mean nothing on another machine."""
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> int:
    info = tar.gettarinfo(str(path), name)
    if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        return 0  # it became something else meanwhile
    if info.islnk():
        # A second name of a file already inside is stored again: then the order of names cannot matter.
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.stat(path).st_size
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    info.mode = stat.S_IMODE(info.mode) & 0o755 | (0o700 if info.isdir() else 0o600)
    if not info.isreg():
        tar.addfile(info)
        return 0
    with open(path, "rb") as file:
        tar.addfile(info, cast(IO[bytes], _Exactly(file, info.size)))
    return 1


class _Exactly:
    """Reads exactly `size` bytes: a file that grows or shrinks meanwhile cannot break the archive."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left = file, size

    def read(self, count: int = -1) -> bytes:
        wanted = self.left if count < 0 else min(count, self.left)
        data = self.file.read(wanted)
        data += b"\0" * (wanted - len(data))
        self.left -= wanted
        return data


class _Hashed:
    """A file for writing that hashes and counts what goes through."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest: Any = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.bytes += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _refused(error: OSError, source: Path) -> Problem:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("machine/disk-full", f"there is no room to pack `{source}`: {error.strerror}")
    return Problem("task/unreadable-file", f"`{error.filename or source}` cannot be read: {error.strerror}")
