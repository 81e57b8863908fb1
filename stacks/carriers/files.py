"""Leases beside the state of a file backend, written under one short lock of the file system."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from stacks import home
from stacks.carriers import FOLDER, Entry

ALONE_S = 10.0
"""Longest wait for the file lock, which is held for milliseconds unless its holder was suspended."""


class FileCarrier:
    """Leases as files under `<root>/.skywright/leases`, written under one short file lock."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER

    def read(self, key: str) -> Entry | None:
        with self._alone():
            return self._read(key)

    def write(self, key: str, content: bytes, expected: bytes | None) -> bool:
        with self._alone():
            now = self._read(key)
            if (now.content if now else None) != expected:
                return False
            path = self._path(key)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for draft in path.parent.glob(f".{path.name}.*"):  # of a writer that was killed: we are alone
                draft.unlink()
            home.write(path, content)
            return True

    def remove(self, key: str, expected: bytes) -> bool:
        with self._alone():
            now = self._read(key)
            if now is None or now.content != expected:
                return False
            path = self._path(key)
            path.unlink()
            with contextlib.suppress(OSError):  # other stacks of the project are in it
                path.parent.rmdir()
            return True

    def _read(self, key: str) -> Entry | None:
        path = self._path(key)
        try:
            content = path.read_bytes()
            written = path.stat().st_mtime
        except FileNotFoundError:
            return None
        # The lock file was just touched: the file system's own clock, whoever serves it.
        now = (self.folder / "lock").stat().st_mtime
        return Entry(content, max(0.0, now - written))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.folder / "lock", "a") as lock:
            deadline = time.monotonic() + ALONE_S
            while not _locked(lock.fileno()):
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "another process does not let go", lock.name)
                time.sleep(0.01)
            os.utime(lock.fileno())
            yield


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
