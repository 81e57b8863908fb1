"""Sends log bytes to control: raw, at offsets, apart from all else that is said; frees what control has.

Control decides where to go on, so nothing about it is kept on disk.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import Callable, Optional

from runtime.calls import FAILED, NoSuchLog, Pause, Refused, Stopped
from runtime.carrier import Logs

FREED = 1 << 18
"""Disk space is given back in steps of so many bytes."""
QUIET_S = (0.005, 0.1, 0.25)
"""How often a log is looked at: in the first second of a part, while bytes come, and after five seconds without."""


class Stream:
    """One part's log: `sent` bytes are on their way (None: not asked yet), `stored` are with control, `final` is its
    size once the part ended."""

    def __init__(self, key: tuple[int, int, str], path: str) -> None:
        self.key, self.path = key, path
        self.sent: Optional[int] = None
        self.stored = 0
        self.final: Optional[int] = None
        self.freed = 0
        self.at = 0.0

    @property
    def done(self) -> bool:
        return self.final is not None and self.sent is not None and self.stored >= self.final


class Shipper(threading.Thread):
    """Ships every watched log until it is done. `shipped()` is told when control has all of one."""

    def __init__(self, logs: Logs, shipped: Callable[[], None]) -> None:
        super().__init__(daemon=True, name="logs")
        self.logs, self.shipped = logs, shipped
        self._streams: dict[tuple[int, int, str], Stream] = {}
        self._changed = threading.Event()
        self._soon = self._moved = 0.0
        self._punch = _hole_puncher()

    def watch(self, key: tuple[int, int, str], path: str) -> None:
        """Ship the log at `path`, which may not exist yet."""
        self._streams.setdefault(key, Stream(key, path))
        self._soon = time.monotonic() + 1.0
        self._changed.set()

    def finish(self, key: tuple[int, int, str], size: int) -> None:
        """The part ended: its log has `size` bytes."""
        if key in self._streams:
            self._streams[key].final = size
            self._changed.set()

    def streams(self) -> list[tuple[int, int, str]]:
        """The logs that are still being shipped."""
        return list(self._streams)

    @property
    def idle(self) -> bool:
        """Nothing that ended waits to be shipped."""
        return all(stream.final is None for stream in list(self._streams.values()))

    def run(self) -> None:
        pause = Pause()
        while True:
            self._changed.clear()
            try:
                moved = self._round()
                pause.tries = 0
            except Stopped:
                return
            except (Refused, *FAILED) as error:
                self._changed.wait(pause.after(error))
                continue
            self._moved = time.monotonic() if moved else self._moved
            if not moved:
                age = time.monotonic() - self._moved
                quiet = QUIET_S[0 if time.monotonic() < self._soon else 1 if age < 5 else 2]
                self._changed.wait(quiet if self._streams else None)

    def _round(self) -> bool:
        """Send what is due of every log; True when bytes moved."""
        moved = False
        for stream in list(self._streams.values()):
            try:
                moved = self._send(stream) or moved
            except NoSuchLog:
                stream.sent = stream.final = 0  # control knows no such run any more
            if stream.done:
                del self._streams[stream.key]
                self.logs.end(stream.key)
                self.shipped()
        return moved

    def _send(self, stream: Stream) -> bool:
        if stream.sent is None:
            stream.sent = self.logs.begin(stream.key)
            if stream.sent is None:
                return False
        stream.stored, stream.sent = self.logs.stored(stream.key, stream.sent)
        if stream.stored - stream.freed >= FREED:
            self._punch(stream.path, stream.freed, stream.stored - stream.freed)
            stream.freed = stream.stored
        try:
            size = os.stat(stream.path).st_size
        except FileNotFoundError:
            size = 0
        if stream.final is not None and stream.final > size:
            stream.final = size
        pending, chunk = size - stream.sent, self.logs.chunk
        waited = time.monotonic() - stream.at >= self.logs.gather_s
        if pending <= 0 or not (pending >= chunk or waited or stream.final is not None):
            return False
        with open(stream.path, "rb") as file:
            file.seek(stream.sent)
            data = file.read(min(chunk, pending))
        stream.sent = self.logs.put(stream.key, stream.sent, data)
        stream.stored, stream.sent = self.logs.stored(stream.key, stream.sent)
        stream.at = time.monotonic()
        return True


def _hole_puncher() -> Callable[[str, int, int], None]:
    """Frees a range of a file, offsets staying as they are; does nothing where the system cannot."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)

    def punch(path: str, offset: int, length: int) -> None:
        if fallocate is None:
            return
        try:
            fd = os.open(path, os.O_WRONLY)
        except OSError:
            return
        fallocate(fd, 3, ctypes.c_int64(offset), ctypes.c_int64(length))  # PUNCH_HOLE | KEEP_SIZE
        os.close(fd)

    return punch
