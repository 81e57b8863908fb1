"""The node's side of the link: dials out to control, joins, and keeps one `sync` waiting (docs/link.md).

Rules: every call can be repeated; where control is is read anew before every connection; an answer to an abandoned
call is thrown away; a fenced node hears so once and calls no more.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import threading
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import quote, urlsplit

PATIENCE_S = 10.0
"""How long control may take to answer, beyond the time it was asked to hold a call."""
SLOWEST_S = 5.0
"""The longest pause between two attempts, unless control asks for more."""


class Stopped(Exception):
    """Control said that this node is to stop for ever."""


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


class Control:
    """Who we are to control and what it let us have: shared by every thread that calls it."""

    def __init__(self, manifest: dict[str, Any], agent: str, boot_id: str) -> None:
        self.link, self.node = manifest["link"], manifest["node"]
        self.agent, self.boot_id = agent, boot_id
        self._token: Optional[str] = None
        self._lock = threading.Lock()

    def address(self) -> str:
        """Control's base URL now. Raises OSError when it is not known."""
        if "address_file" in self.link:
            try:
                with open(self.link["address_file"], encoding="utf-8") as file:
                    return str(json.load(file)["url"])
            except (ValueError, KeyError, TypeError):
                raise OSError("control's address is being written") from None
        return str(self.link["url"])

    def caller(self) -> Caller:
        return Caller(self.address)

    def call(self, caller: Caller, method: str, path: str, body: bytes = b"", **more: Any) -> Answer:
        """A call as this node, joining first when needed. Raises Stopped, Refused, OSError, HTTPException."""
        for again in (True, False):
            token = self._joined(caller)
            answer = caller.call(method, path, body, {"Authorization": f"Bearer {token}"}, **more)
            if answer.status == 401 and again:
                with self._lock:
                    self._token = None if self._token == token else self._token
                continue
            break
        return self._judged(answer)

    def fetch(self, digest: str, into: Callable[[bytes], None]) -> None:
        """Pass a blob on in pieces. Raises LookupError when control has none, OSError to try again."""
        caller = self.caller()
        try:
            self.call(caller, "GET", f"/v1/blobs/{digest}", timeout=60.0, into=into)
        except (Refused, Stopped, http.client.HTTPException) as error:
            kind = LookupError if isinstance(error, Refused) and error.status == 404 else OSError
            raise kind(f"{digest[:12]}: {error}") from error
        finally:
            caller.close()

    def path(self, rest: str) -> str:
        return f"/v1/nodes/{quote(self.node, safe='')}/{rest}"

    def _joined(self, caller: Caller) -> str:
        with self._lock:
            if self._token is None:
                proof = ""
                if "proof_file" in self.link:
                    with open(self.link["proof_file"], encoding="utf-8") as file:
                        proof = file.read().strip()
                who = {"proof": proof, "boot_id": self.boot_id, "agent": self.agent, "pid": os.getpid()}
                answer = self._judged(caller.call("POST", self.path("join"), json.dumps(who).encode()))
                if answer.status != 200:
                    raise Refused(answer.status, SLOWEST_S)
                self._token = str(answer.data()["token"])
            return self._token

    def _judged(self, answer: Answer) -> Answer:
        if answer.status == 409:
            try:
                found = answer.data()
            except ValueError:
                found = {}
            if found.get("stop"):
                raise Stopped(str(found.get("reason", "")))
        elif answer.status != 200:
            after = answer.headers.get("retry-after", "")
            raise Refused(answer.status, min(60.0, float(after)) if after.isdigit() else 0.0)
        return answer


class Pause:
    """How long to wait before the next attempt: doubling, jittered, never shorter than what control asked for."""

    def __init__(self) -> None:
        self.tries = 0

    def after(self, error: BaseException) -> float:
        self.tries += 1
        longest = min(SLOWEST_S, 0.05 * 2.0**self.tries)
        asked = error.after_s if isinstance(error, Refused) else 0.0
        return max(asked, longest / 2) + random.uniform(0, longest / 2)


class Sync(threading.Thread):
    """Keeps control and node at one level: sends what `compose` puts together, hands every answer to `deliver`.

    `compose()` gives the body without `version`. `deliver` gets the answer's object; `stopped` the reason of a fence.
    """

    def __init__(
        self,
        control: Control,
        compose: Callable[[], dict[str, Any]],
        deliver: Callable[[dict[str, Any]], None],
        stopped: Callable[[str], None],
    ) -> None:
        super().__init__(daemon=True, name="sync")
        self.control, self.compose, self.deliver, self.stopped = control, compose, deliver, stopped
        self.version = 0
        self._caller = control.caller()
        self._woken = threading.Event()

    def kick(self) -> None:
        """There is something to tell: do not wait for the call that is held, nor for the end of a pause."""
        self._caller.interrupt()
        self._woken.set()

    def run(self) -> None:
        pause = Pause()
        while True:
            self._caller.settle()
            self._woken.clear()
            try:
                self.once()
                pause.tries = 0
            except Stopped as stop:
                self.stopped(str(stop))
                return
            except (Refused, OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                if not self._caller.news:
                    self._woken.wait(pause.after(error))

    def once(self) -> None:
        """One sync."""
        body = {"version": self.version, **self.compose()}
        answer = self.control.call(
            self._caller,
            "POST",
            self.control.path("sync"),
            json.dumps(body).encode(),
            timeout=body["hold_s"] + PATIENCE_S,
        ).data()
        self.deliver(answer)
        self.version = int(answer["version"])
