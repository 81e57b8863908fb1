"""The task's output on stdout: bytes as they come; with several nodes, `[rank] ` at line starts."""

from __future__ import annotations

import os
import sys
from typing import IO

LONGEST = 64 * 1024
"""Bytes of an unfinished line that are held back at most."""


class Output:
    """Writes log bytes. One node: through unchanged. Several: whole lines (or what a `\\r` ends) per rank."""

    def __init__(self, ranks: int, stream: IO[bytes] | None = None) -> None:
        self.stream = stream or sys.stdout.buffer
        self.several = ranks > 1
        self.held: dict[tuple[int, int], bytes] = {}
        self.last: tuple[int, int] | None = None
        self.mid_line = False
        self.written = 0

    def write(self, rank: int, attempt: int, data: bytes) -> None:
        """Bytes of one rank's output, in order."""
        if not data:
            return
        key = (rank, attempt)
        if not self.several:
            if self.mid_line and self.last is not None and self.last != key:
                data = b"\n" + data
            self.last = key
            self._put(data)
            return
        whole, cut, rest = self._cut(self.held.pop(key, b"") + data)
        if cut:
            self._lines(key, whole)
        if rest:
            self.held[key] = rest

    def end(self) -> None:
        """Write what is held back: last lines without a newline get one."""
        for key, rest in sorted(self.held.items()):
            self._lines(key, rest + b"\n")
        self.held.clear()
        self.stream.flush()

    def break_line(self) -> None:
        """End an unfinished line before stderr says something, when both go to the same place."""
        if self.mid_line and _same_place(self.stream):
            sys.stderr.write("\n")
            sys.stderr.flush()
            self.mid_line = False

    @staticmethod
    def _cut(data: bytes) -> tuple[bytes, bool, bytes]:
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if end and data[end - 1 : end] == b"\r" and end == len(data):
            # `\r\n` may be cut in two.
            end = max(data.rfind(b"\n", 0, end - 1), data.rfind(b"\r", 0, end - 1)) + 1
        if not end and len(data) > LONGEST:
            end = len(data)
        return data[:end], end > 0, data[end:]

    def _lines(self, key: tuple[int, int], data: bytes) -> None:
        prefix = b"[%d] " % key[0]
        same = self.last == key
        parts = data.split(b"\n")
        lines = [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
        written = []
        for number, line in enumerate(lines):
            continues = number == 0 and self.mid_line and same
            if number == 0 and self.mid_line and not same:
                written.append(b"\n")
            written.append(line if continues else prefix + line)
        self.last = key
        self._put(b"".join(written))

    def _put(self, data: bytes) -> None:
        self.stream.write(data)
        self.stream.flush()
        self.written += len(data)
        self.mid_line = not data.endswith(b"\n")


def _same_place(stream: IO[bytes]) -> bool:
    """Whether what is written there and on stderr meets: one terminal, pipe or file."""
    try:
        there, here = os.fstat(stream.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
