"""What happened, on disk: the node's state and the events that control has not acknowledged.

One line a record: CRC-32 in hex, a space, JSON. A record holds the state after it, the events it adds and what is
acknowledged; the last whole line wins, so a crash at any byte loses at most the record being written, which was not
acted on yet. When the disk refuses, everything stays in memory and the next write puts the whole on disk again.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any, Optional

COMPACT = 256 * 1024
"""Bytes after which acknowledged events are dropped from the file."""


class Journal:
    """The journal at `path`. `state` is plain data, `events` are numbered from 1 for the life of the node."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.state: Optional[dict[str, Any]] = None
        self.boot_id: Optional[str] = None
        self.events: list[dict[str, Any]] = []
        self.acked = 0
        self._last = 0
        self._fd = -1
        self._size = 0
        self._read()
        self._rewrite()

    def append(
        self, state: dict[str, Any], events: list[dict[str, Any]], boot_id: Optional[str] = None
    ) -> list[dict[str, Any]]:
        """Number `events` and put them down with `state`; on disk when this returns, if the disk allows."""
        numbered = [{"seq": self._last + place, **event} for place, event in enumerate(events, 1)]
        record: dict[str, Any] = {"state": state, "events": numbered}
        if boot_id:
            record["boot_id"] = boot_id
        self._apply(record)
        self._put(record, sync=True)
        return numbered

    def acknowledge(self, seq: int) -> None:
        """Control has every event up to `seq`; kept in the file when convenient."""
        if seq > self.acked:
            self._apply({"acked": seq})
            self._put({"acked": seq}, sync=False)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _apply(self, record: dict[str, Any]) -> None:
        self.acked = max(self.acked, record.get("acked", 0))
        self.state = record.get("state", self.state)
        self.boot_id = record.get("boot_id", self.boot_id)
        self.events += record.get("events", ())
        self._last = max([self._last, self.acked, record.get("last", 0), *(e["seq"] for e in self.events)])
        self.events = [event for event in self.events if event["seq"] > self.acked]

    def _read(self) -> None:
        try:
            with open(self.path, "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines[:-1]:
            record = _decoded(line)
            if record is None:
                return
            self._apply(record)

    def _put(self, record: dict[str, Any], sync: bool) -> None:
        line = _encoded(record)
        try:
            if self._fd < 0 or self._size > COMPACT:
                self._rewrite()
                return
            written = os.write(self._fd, line)
            self._size += written
            if written < len(line):
                raise OSError("short write")
            if sync:
                os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)
        except OSError:
            self.close()

    def _rewrite(self) -> None:
        """Put all that matters into a new file in place of the old one."""
        record = {
            "state": self.state,
            "boot_id": self.boot_id,
            "acked": self.acked,
            "last": self._last,
            "events": self.events,
        }
        line = _encoded(record)
        self.close()
        draft = self.path + ".new"
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            self._size = os.write(fd, line)
            os.fsync(fd)
            if self._size < len(line):
                os.close(fd)
                return
            os.replace(draft, self.path)
            sync_folder(os.path.dirname(self.path))
            self._fd = fd
        except OSError:
            return


def sync_folder(folder: str) -> None:
    """Make names in `folder` last."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _encoded(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decoded(line: bytes) -> Optional[dict[str, Any]]:
    mark, _, text = line.partition(b" ")
    try:
        if int(mark, 16) != zlib.crc32(text):
            return None
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
