"""Calls over one kept HTTP connection, what can come of them, and how long to wait before the next try."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import urlsplit

PATIENCE_S = 10.0
"""How long an answer may take, beyond the time it was asked to be held."""
SLOWEST_S = 5.0
"""The longest pause between two attempts, unless the other side asks for more."""

FAILED = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError)
"""What a call may raise, beside Refused and Stopped, when the other side is away or talks nonsense."""


class Stopped(Exception):
    """Control said that this node is to stop for ever."""


class NoSuchLog(Exception):
    """Control does not want these bytes, now or later."""


class Refused(Exception):
    """Control answered, but with nothing useful; `after_s` is the pause it asked for."""

    def __init__(self, status: int, after_s: float) -> None:
        super().__init__(f"control answered {status}")
        self.status, self.after_s = status, after_s


class Answer(NamedTuple):
    """Status, headers (lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def data(self) -> dict[str, Any]:
        found = json.loads(self.body)
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found


class Caller:
    """One kept connection, used by one thread; `address()` gives the base URL. Raises OSError and HTTPException."""

    def __init__(self, address: Callable[[], str]) -> None:
        self.address = address
        self._base = ""
        self._connection: Optional[http.client.HTTPConnection] = None
        self._lock = threading.Lock()
        self._waiting = False
        self._news = False

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Optional[dict[str, str]] = None,
        timeout: float = PATIENCE_S,
        into: Optional[Callable[[bytes], None]] = None,
    ) -> Answer:
        """One call; a dead kept connection is replaced once. `into` takes a 200's body in pieces."""
        while True:
            kept = self._connection is not None
            try:
                return self._exchange(method, path, body, headers or {}, timeout, into)
            except BaseException as error:
                self.close()
                if (
                    not (kept and isinstance(error, (ConnectionError, http.client.BadStatusLine)))
                    or self._news
                ):
                    raise

    def settle(self) -> None:
        """What is to be said was put together just now: interrupt only for what comes later."""
        with self._lock:
            self._news = False

    def interrupt(self) -> bool:
        """From another thread: give up the call that waits, if one does, for there is news."""
        with self._lock:
            self._news = True
            sock = self._connection.sock if self._waiting and self._connection else None
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        return sock is not None

    @property
    def news(self) -> bool:
        return self._news

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        timeout: float,
        into: Optional[Callable[[bytes], None]],
    ) -> Answer:
        connection = self._connect(timeout)
        connection.request(method, self._base + path, body, headers)
        with self._lock:
            if self._news:
                raise ConnectionAbortedError("there is news")
            self._waiting = True
        try:
            response = connection.getresponse()
        finally:
            with self._lock:
                self._waiting = False
        found = {name.lower(): value for name, value in response.getheaders()}
        if into is None or response.status != 200:
            return Answer(response.status, found, response.read())
        while True:
            piece = response.read(256 * 1024)
            if not piece:
                return Answer(response.status, found, b"")
            into(piece)

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self.address())
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._base = parts.path.rstrip("/")
            self._connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
        return self._connection


class Pause:
    """How long to wait before the next attempt: doubling, jittered, never shorter than what control asked for."""

    def __init__(self) -> None:
        self.tries = 0

    def after(self, error: BaseException) -> float:
        self.tries += 1
        longest = min(SLOWEST_S, 0.05 * 2.0**self.tries)
        asked = error.after_s if isinstance(error, Refused) else 0.0
        return max(asked, longest / 2) + random.uniform(0, longest / 2)
