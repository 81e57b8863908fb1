"""Log bytes of runs as files: appended at an offset, overlap trimmed, a gap refused."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

SYNC_BYTES = 32 * 2**20
"""Bytes that a power cut may take before they are forced to disk; the end of a part forces the rest."""

PHASES = ("setup", "run")


@dataclass(frozen=True, slots=True)
class Part:
    """One log: what one rank wrote in one phase of one attempt."""

    attempt: int
    rank: int
    phase: str

    @property
    def name(self) -> str:
        return f"{self.attempt}-{self.rank}-{self.phase}"

    @classmethod
    def parse(cls, name: str) -> Part:
        attempt, rank, phase = name.split("-")
        return cls(int(attempt), int(rank), phase)


class Logbook:
    """Files `<root>/<deployment uid>/<run>/<attempt>-<rank>-<phase>.log`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsynced: dict[Path, int] = {}

    def append(self, uid: str, run: int, part: Part, offset: int, data: bytes) -> tuple[bool, int]:
        """Store `data` at `offset`: (accepted, next offset). Bytes that are there already are not written twice."""
        path = self._path(uid, run, part)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # another replica may be at the end of its last call
            size = os.fstat(handle).st_size
            if offset > size:
                return False, size
            fresh = memoryview(data)[size - offset :]
            while fresh:
                written = os.write(handle, fresh)
                fresh = fresh[written:]
                size += written
            self._unsynced[path] = self._unsynced.get(path, 0) + len(data)
            if self._unsynced[path] >= SYNC_BYTES:
                os.fdatasync(handle) if hasattr(os, "fdatasync") else os.fsync(handle)
                self._unsynced[path] = 0
            return True, size
        finally:
            os.close(handle)

    def settle(self, uid: str, run: int, part: Part) -> None:
        """The part has ended: force it to disk."""
        path = self._path(uid, run, part)
        if self._unsynced.pop(path, 0):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def size(self, uid: str, run: int, part: Part) -> int:
        try:
            return self._path(uid, run, part).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, uid: str, run: int, part: Part, offset: int, limit: int) -> bytes:
        try:
            with open(self._path(uid, run, part), "rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def parts(self, uid: str, run: int) -> list[Part]:
        """All parts of a run: by attempt, setup before run, then by rank."""
        try:
            names = [entry.name for entry in os.scandir(self._root / uid / str(run))]
        except FileNotFoundError:
            return []
        found = [Part.parse(name[:-4]) for name in names if name.endswith(".log")]
        return sorted(found, key=lambda part: (part.attempt, PHASES.index(part.phase), part.rank))

    def remove(self, uid: str) -> None:
        shutil.rmtree(self._root / uid, ignore_errors=True)

    def _path(self, uid: str, run: int, part: Part) -> Path:
        return self._root / uid / str(run) / f"{part.name}.log"
