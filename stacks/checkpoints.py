"""Checkpoints between the places where deployments keep them: in parts, proved by checksum, whole or not at all.

A folder of this machine is a checkpoint by itself. In a deployment's bucket one is `checkpoint/manifest.json` (schema
below) over `checkpoint/parts/SHA256`; the manifest is written last, so that there is a whole one or none.

    {"version": 1, "files": [{"path": "a/b", "mode": 420, "bytes": 5, "parts": ["SHA256", ...]} | {"path", "link"}]}
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from compiler.problem import Problem, Problems
from stacks.boot import Store

PART = 32 << 20
"""Bytes that are held in memory at once."""

MANIFEST, PARTS = "checkpoint/manifest.json", "checkpoint/parts"
INCOMING = ".skywright-incoming"
"""Where a folder gathers a checkpoint until all of it is there and right."""


@dataclass(frozen=True, slots=True)
class File:
    """One file by its parts in their order, or a `link` to another. `path` is relative, with `/`."""

    path: str
    mode: int = 0o644
    bytes: int = 0
    parts: tuple[str, ...] = ()
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of a checkpoint. Two with the same digest hold the same bytes under the same names."""

    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.files)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content()).hexdigest()

    def content(self) -> bytes:
        rows: list[dict[str, Any]] = [
            {"path": one.path, "link": one.link}
            if one.link is not None
            else {"path": one.path, "mode": one.mode, "bytes": one.bytes, "parts": list(one.parts)}
            for one in self.files
        ]
        return json.dumps({"version": 1, "files": rows}, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def read(cls, content: bytes) -> Manifest:
        """Raises Problems control/checkpoint-damaged for what is no manifest, or names files outside of its folder."""
        try:
            data = json.loads(content)
            if data["version"] != 1:
                raise ValueError(f"version {data['version']}")
            return cls(tuple(_file(row) for row in data["files"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Problems(damaged(f"its manifest cannot be read: {error}")) from None


def _file(row: Mapping[str, Any]) -> File:
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{row['path']!r} is not a file of it")
    if "link" in row:
        return File(str(path), link=str(row["link"]))
    return File(str(path), int(row["mode"]) & 0o777, int(row["bytes"]), tuple(map(str, row["parts"])))


@dataclass(frozen=True, slots=True)
class Carried:
    """What came over: as the new place has it."""

    files: int
    bytes: int
    digest: str


class Place(Protocol):
    """Where a checkpoint lies, or goes.

    Everything may raise OSError, stacks.objects.Unavailable, and Problems control/checkpoint-damaged.
    """

    def manifest(self) -> Manifest | None:
        """What is whole there; None when nothing is."""
        ...

    def part(self, file: File, number: int) -> bytes: ...
    def begin(self) -> None: ...
    def take(self, file: File, parts: Iterator[bytes]) -> None: ...

    def commit(self, manifest: Manifest) -> None:
        """Read again what was taken, and only when that is `manifest`, make it what is there."""
        ...


def damaged(says: str) -> Problem:
    return Problem(
        "control/checkpoint-damaged",
        f"the checkpoint did not come over as it was: {says}",
        hint="nothing was switched over; the first copy is where it was",
    )


def carry(source: Place, target: Place) -> Carried | None:
    """Bring the whole checkpoint of `source` to `target`, in place of what is there; None when there is none, and
    then nothing of an earlier stay is left there either.

    May be cut off anywhere and begun again. Raises as Place says.
    """
    manifest = source.manifest()
    if manifest is None or not manifest.files:
        stale = target.manifest()
        if stale is not None and stale.files:
            target.begin()
            target.commit(Manifest(()))
        return None
    target.begin()
    for file in manifest.files:
        target.take(file, _parts(source, file))
    target.commit(manifest)
    return Carried(len(manifest.files), manifest.bytes, manifest.digest)


def _parts(source: Place, file: File) -> Iterator[bytes]:
    for number, wanted in enumerate(file.parts):
        content = source.part(file, number)
        if _hash(content) != wanted:
            raise Problems(damaged(f"{file.path} changed while it was read, or its copy is not whole"))
        yield content


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine. Nodes may have it already, so it is filled and never replaced itself."""

    path: Path

    def manifest(self) -> Manifest | None:
        return _listed(self.path) if self.path.is_dir() else None

    def part(self, file: File, number: int) -> bytes:
        with open(self.path / file.path, "rb") as opened:
            opened.seek(number * PART)
            return opened.read(PART)

    def begin(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.path / INCOMING, ignore_errors=True)
        (self.path / INCOMING).mkdir()

    def take(self, file: File, parts: Iterator[bytes]) -> None:
        place = self.path / INCOMING / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.link is not None:
            os.symlink(file.link, place)
            return
        with open(place, "wb") as opened:
            for content in parts:
                opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.chmod(place, file.mode)

    def commit(self, manifest: Manifest) -> None:
        incoming = self.path / INCOMING
        if _listed(incoming).digest != manifest.digest:
            raise Problems(damaged("what was written reads differently"))
        for entry in self.path.iterdir():
            if entry.name != INCOMING:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        for entry in incoming.iterdir():
            os.rename(entry, self.path / entry.name)
        incoming.rmdir()


def _listed(folder: Path) -> Manifest:
    """The folder as a manifest, by reading all of it; sockets, pipes and devices are left out."""
    files: list[File] = []
    for root, names, found in os.walk(folder):
        names[:] = sorted(name for name in names if not (Path(root) == folder and name == INCOMING))
        for name in sorted([*found, *(one for one in names if os.path.islink(os.path.join(root, one)))]):
            place = Path(root, name)
            path, kind = place.relative_to(folder).as_posix(), place.lstat()
            if stat.S_ISLNK(kind.st_mode):
                files.append(File(path, link=os.readlink(place)))
            elif stat.S_ISREG(kind.st_mode):
                files.append(_read(place, path, kind.st_mode & 0o777))
    return Manifest(tuple(sorted(files, key=lambda one: one.path)))


def _read(place: Path, path: str, mode: int) -> File:
    parts, size = [], 0
    with open(place, "rb") as opened:
        while content := opened.read(PART):
            parts.append(_hash(content))
            size += len(content)
    return File(path, mode, size, tuple(parts))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A deployment's bucket, by the credentials of `env`."""

    store: Store
    env: Mapping[str, str] = field(repr=False)
    _opened: list[Any] = field(default_factory=list, repr=False)

    @property
    def objects(self) -> Any:
        if not self._opened:
            from stacks.objects import open_objects

            self._opened.append(open_objects(self.store, self.env))
        return self._opened[0]

    def manifest(self) -> Manifest | None:
        found = self.objects.get(MANIFEST)
        return Manifest.read(found.content or b"") if found else None

    def part(self, file: File, number: int) -> bytes:
        found = self.objects.get(f"{PARTS}/{file.parts[number]}")
        if found is None or found.content is None:
            raise Problems(damaged(f"a part of {file.path} is missing in the bucket {self.store.bucket}"))
        content: bytes = found.content
        return content

    def begin(self) -> None:
        """Parts are named by what is in them: those that came before are taken for what they are."""

    def take(self, file: File, parts: Iterator[bytes]) -> None:
        for content in parts:
            self.objects.new(f"{PARTS}/{_hash(content)}", content)

    def commit(self, manifest: Manifest) -> None:
        for file in manifest.files:
            for number, wanted in enumerate(file.parts):
                if _hash(self.part(file, number)) != wanted:
                    self.objects.delete([f"{PARTS}/{wanted}"])
                    raise Problems(damaged(f"a part of {file.path} reads differently in the new bucket"))
        self.objects.put(MANIFEST, manifest.content())
        keep = {f"{PARTS}/{one}" for file in manifest.files for one in file.parts}
        with contextlib.suppress(Exception):  # what is of no use costs little, and goes the next time
            self.objects.delete([one for one in self.objects.list(f"{PARTS}/") if one not in keep])


def place_of(data: Mapping[str, Any], env: Mapping[str, str]) -> Place:
    """`{"folder": PATH}` or `{"store": {...}}`, which is opened with the credentials in `env`."""
    if "folder" in data:
        return Folder(Path(data["folder"]))
    return Bucket(Store.from_data(data["store"]), dict(env))
