"""The link over HTTP: dials out to control, joins, and keeps one `sync` waiting (docs/link.md).

Rules: every call can be repeated; where control is is read anew before every connection; an answer to an abandoned
call is thrown away; a fenced node hears so once and calls no more.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from typing import Any, Callable, Optional
from urllib.parse import quote

from runtime.calls import FAILED, PATIENCE_S, SLOWEST_S, Answer, Caller, NoSuchLog, Pause, Refused, Stopped

SMALLEST, LARGEST = 1 << 14, 1 << 20
"""Log bytes of one call."""

HOPS = 3
"""So often in a row a replica of control may name another one."""


class Control:
    """Who we are to control and what it let us have: shared by every thread that calls it."""

    def __init__(self, manifest: dict[str, Any], agent: str, boot_id: str) -> None:
        self.link, self.node = manifest["link"], manifest["node"]
        self.agent, self.boot_id = agent, boot_id
        self._token: Optional[str] = None
        self._moved: Optional[str] = None
        self._lock = threading.Lock()

    def address(self) -> str:
        """Base URL of control now, of the replica that it named last. Raises OSError when it is not known."""
        moved = self._moved
        if moved:
            return moved
        if "address_file" in self.link:
            try:
                with open(self.link["address_file"], encoding="utf-8") as file:
                    return str(json.load(file)["url"])
            except (ValueError, KeyError, TypeError):
                raise OSError("control's address is being written") from None
        return str(self.link["url"])

    def caller(self) -> Caller:
        return Caller(self.address)

    def sync(
        self,
        compose: Callable[[], dict[str, Any]],
        deliver: Callable[[dict[str, Any]], None],
        stopped: Callable[[str], None],
    ) -> Sync:
        return Sync(self, compose, deliver, stopped)

    def open_logs(self) -> Logs:
        return Logs(self)

    def call(self, caller: Caller, method: str, path: str, body: bytes = b"", **more: Any) -> Answer:
        """A call as this node, joining first when needed. Raises Stopped, Refused, OSError, HTTPException."""
        for again in (True, False):
            token = self._joined(caller)
            answer = self._ask(caller, method, path, body, {"Authorization": f"Bearer {token}"}, **more)
            if answer.status == 401 and again:
                with self._lock:
                    self._token = None if self._token == token else self._token
                continue
            break
        return self._judged(answer)

    def _ask(self, caller: Caller, method: str, path: str, body: bytes, *given: Any, **more: Any) -> Answer:
        """A call to the replica of control that answers for this node. Where one fails, the next begins anew."""
        for _ in range(HOPS):
            try:
                answer = caller.call(method, path, body, *given, **more)
            except (OSError, http.client.HTTPException):
                if not caller.news:
                    self._moved = None
                raise
            if answer.status != 421:
                return answer
            caller.close()
            url = answer.data().get("control")
            self._moved = str(url) if url else None
            if not url:
                break
        raise Refused(421, 0.0)

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
                proof = self._proof()
                who = {"proof": proof, "boot_id": self.boot_id, "agent": self.agent, "pid": os.getpid()}
                answer = self._judged(self._ask(caller, "POST", self.path("join"), json.dumps(who).encode()))
                if answer.status != 200:
                    raise Refused(answer.status, SLOWEST_S)
                self._token = str(answer.data()["token"])
            return self._token

    def _proof(self) -> str:
        """What only this node has: a file of its machine's, or its cloud's word for who it is."""
        if "proof_file" in self.link:
            with open(self.link["proof_file"], encoding="utf-8") as file:
                return file.read().strip()
        if "store" in self.link:
            from runtime.store import open_store

            return open_store(self.link["store"])().proof(self.node)
        return ""

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
            except (Refused, *FAILED) as error:
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


class Logs:
    """Log bytes on a connection of their own; control has what it answered with.

    How many go with one call depends on how long calls take: on a slow network a large one would never be answered
    in time, and on one that breaks off never get through.
    """

    gather_s = 0.2

    def __init__(self, control: Control) -> None:
        self.control = control
        self.chunk = LARGEST
        self._caller = control.caller()

    def begin(self, key: tuple[int, int, str]) -> int:
        return self.put(key, 0, b"")

    def put(self, key: tuple[int, int, str], offset: int, data: bytes) -> int:
        run, attempt, phase = key
        path = self.control.path(f"logs/{run}/{attempt}/{phase}?offset={offset}")
        begun = time.monotonic()
        try:
            following = int(self.control.call(self._caller, "PUT", path, data).data()["next"])
        except Refused as error:
            if error.status in (403, 404, 410):
                raise NoSuchLog from None
            raise
        except FAILED:
            self.chunk = max(SMALLEST, min(self.chunk, len(data)) // 4) if data else self.chunk
            raise
        self._learn(len(data), time.monotonic() - begun)
        return following

    def _learn(self, size: int, took_s: float) -> None:
        """A call with so many bytes took so long."""
        if took_s > PATIENCE_S / 4:
            self.chunk = max(SMALLEST, self.chunk // 2)
        elif took_s < PATIENCE_S / 10 and size >= self.chunk:
            self.chunk = min(LARGEST, self.chunk * 2)

    def stored(self, key: tuple[int, int, str], sent: int) -> tuple[int, int]:
        return sent, sent

    def end(self, key: tuple[int, int, str]) -> None:
        pass
