"""A proxy that makes a network slow: delays, narrows, and breaks connections off. TCP to one port of this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass

PIECE = 4096


@dataclass
class Slowness:
    """What the wire is like; changed while it is used."""

    delay_s: float = 0.0
    bytes_per_s: float = float("inf")
    """Of one direction of one connection."""
    break_after: int | None = None
    """Bytes of one direction after which both are cut."""


class Proxy:
    """`with Proxy(port, slowness) as proxy`: listens on `proxy.port`. Keeps next to nothing in its buffers."""

    def __init__(self, target: int, slow: Slowness) -> None:
        self.target, self.slow = target, slow
        self.connections = self.broken = 0
        self.carried = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * PIECE)
        self.port = int(self._listening.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        with self._lock:
            ends = list(self._open)
        for end in ends:
            _cut(end)

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            try:
                other = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                one.close()
                continue
            self.connections += 1
            with self._lock:
                self._open |= {one, other}
            for ends in ((one, other), (other, one)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                time.sleep(self.slow.delay_s + len(piece) / self.slow.bytes_per_s)
                target.sendall(piece)
                sent += len(piece)
                self.carried += len(piece)
                if self.slow.break_after is not None and sent >= self.slow.break_after:
                    self.broken += 1
                    break
        _cut(source)
        _cut(target)
        with self._lock:
            self._open -= {source, target}


def _cut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
