"""Objects in the deployment's bucket: few verbs over one HTTP dialect per kind of store, as the node's own identity.

STORES names the dialects: a store is one file and one line. Times are the store's own (`Date`, `Last-Modified`), so
that no decision compares two machines' clocks.
"""

from __future__ import annotations

import email.utils
import http.client
import importlib
import json
import threading
import time
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import urlsplit

from runtime.calls import PATIENCE_S, Answer, Caller, Refused

STORES = {
    "s3": "runtime.s3",
    "gcs": "runtime.gcs",
    "azblob": "runtime.azblob",
    "folder": "runtime.folder",
}

EARLY_S = 300.0
"""Credentials are renewed so long before they end."""
METADATA_TIMEOUT_S = 5.0


class Found(NamedTuple):
    """An object: `content` is None when it is still the one of the mark that was given; written `age_s` seconds ago."""

    content: Optional[bytes]
    mark: str
    age_s: float


class Ask(NamedTuple):
    """One request as a dialect writes it; `path` with its query, from the store's address on."""

    method: str
    path: str
    headers: dict[str, str]


class Dialect:
    """How one kind of store is spoken to. `where` is the manifest's `link.store`."""

    MARK = "etag"
    """The header of an answer that tells one version of an object from the next."""
    TAKEN: tuple[int, ...] = (412,)
    """What a store answers when an object that must be new is there."""

    def __init__(self, where: dict[str, Any]) -> None:
        self.where = where

    def address(self) -> str:
        """The store's base URL."""
        raise NotImplementedError

    def ask(self, verb: str, key: str, body: bytes, mark: str, now: float) -> Ask:
        """The request for `verb`: get (`mark`: of what is known, or ""), size, put, new,
        swap (only what has `mark`), remove. `now`: Unix time there."""
        raise NotImplementedError

    def secret(self, name: str, now: float) -> str:
        """A value from the cloud's secret store, by the same identity. Raises Refused, OSError, HTTPException."""
        raise NotImplementedError

    def proof(self, node: str, now: float) -> str:
        """What shows control, which is dialled, that this is `node`. Raises OSError where a cloud has no such thing."""
        raise OSError("this cloud has no proof of a node's identity")

    def forget(self) -> None:
        """The store refused who we are: ask again who that is."""
        raise NotImplementedError


class Store:
    """Objects below the deployment's prefix; for one thread. Every verb may raise Refused, OSError, HTTPException."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.skew_s = 0.0
        self.caller = Caller(dialect.address)

    def get(
        self, key: str, mark: str = "", into: Optional[Callable[[bytes], None]] = None
    ) -> Optional[Found]:
        """The object, or None when there is none. `into` takes its content in pieces, which is not returned then."""
        answer = self._call("get", key, mark=mark, into=into)
        if answer.status == 404:
            return None
        if answer.status == 304:
            return Found(None, mark, 0.0)
        now = answer.headers.get(self.dialect.MARK, "")
        same = bool(mark) and now == mark
        return Found(None if same else answer.body, now, _age(answer))

    def size(self, key: str) -> Optional[int]:
        """Bytes of the object, or None when there is none."""
        answer = self._call("size", key)
        if answer.status == 404:
            return None
        stated = answer.headers.get("content-length", "0")
        return int(json.loads(answer.body)["size"] if answer.body else stated)

    def put(self, key: str, content: bytes) -> None:
        """Replace the object."""
        self._call("put", key, content)

    def new(self, key: str, content: bytes) -> bool:
        """Make the object; False when there was one, which stays as it is."""
        return self._call("new", key, content).status not in self.dialect.TAKEN

    def swap(self, key: str, content: bytes, mark: str) -> bool:
        """Replace the object if it is still the one of `mark` (make it, of ""); False when it is another one."""
        if not mark:
            return self.new(key, content)
        return self._call("swap", key, content, mark).status in (200, 201)

    def remove(self, key: str) -> None:
        """Delete the object, if there is one."""
        self._call("remove", key)

    def secret(self, name: str) -> str:
        """A value from the cloud's secret store."""
        try:
            return self.dialect.secret(name, time.time() + self.skew_s)
        except Refused:
            self.dialect.forget()
            raise

    def proof(self, node: str) -> str:
        """What shows control that this is `node`, by the clock of the store if it was heard before."""
        return self.dialect.proof(node, time.time() + self.skew_s)

    def close(self) -> None:
        self.caller.close()

    def _call(
        self,
        verb: str,
        key: str,
        body: bytes = b"",
        mark: str = "",
        into: Optional[Callable[[bytes], None]] = None,
    ) -> Answer:
        good = {
            "get": (200, 304, 404),
            "size": (200, 404),
            "put": (200, 201),
            "new": (200, 201, *self.dialect.TAKEN),
            # S3 says 409 when two come at once, and 404 when somebody deleted it.
            "swap": (200, 201, 404, 409, 412),
            "remove": (200, 202, 204, 404),
        }
        for again in (True, False):
            ask = self.dialect.ask(verb, key, body, mark, time.time() + self.skew_s)
            answer = self.caller.call(ask.method, ask.path, body, ask.headers, PATIENCE_S * 3, into)
            skewed = self._set_clock(answer)
            if answer.status in good[verb]:
                return answer
            # Credentials that were changed under us, or a clock that was set: worth one more try at once.
            if not again or answer.status not in (400, 401, 403):
                break
            if not skewed:
                self.dialect.forget()
        after = answer.headers.get("retry-after", "")
        raise Refused(answer.status, min(60.0, float(after)) if after.isdigit() else 0.0)

    def _set_clock(self, answer: Answer) -> bool:
        """Follow the store's clock, which signatures are judged by; True when ours was far from it."""
        there = _moment(answer.headers.get("date", ""))
        if there is None:
            return False
        skew, self.skew_s = there - time.time() - self.skew_s, there - time.time()
        return abs(skew) > 60.0


def open_store(where: dict[str, Any]) -> Callable[[], Store]:
    """Makes stores of one identity, one for each thread. Raises KeyError for a kind that is not known."""
    module = importlib.import_module(STORES[where["kind"]])
    if hasattr(module, "open_store"):  # one that is not spoken to over HTTP
        made: Callable[[], Store] = module.open_store(where)
        return made
    dialect: Dialect = module.dialect(where)
    return lambda: Store(dialect)


class Passport:
    """Something that proves who we are and ends: fetched when it is first needed, and again before it ends."""

    def __init__(self, fetch: Callable[[], tuple[Any, float]]) -> None:
        """`fetch` gives it and the seconds for which it is good."""
        self.fetch = fetch
        self._lock = threading.Lock()
        self._held: Any = None
        self._until = 0.0

    def get(self) -> Any:
        with self._lock:
            if self._held is None or time.monotonic() > self._until:
                self._held, good_s = self.fetch()
                # One that ends sooner than that anyway is used up to half of its time.
                self._until = time.monotonic() + max(good_s - EARLY_S, good_s / 2)
            return self._held

    def forget(self) -> None:
        with self._lock:
            self._held = None


def told(base: str, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> dict[str, Any]:
    """The JSON that one call to another service is answered with. Raises Refused, OSError, HTTPException."""
    caller = Caller(lambda: base)
    try:
        answer = caller.call(method, path, body, headers, PATIENCE_S)
    finally:
        caller.close()
    if answer.status != 200:
        raise Refused(answer.status, 0.0)
    return answer.data()


def metadata(url: str, headers: dict[str, str], method: str = "GET") -> str:
    """What the machine's metadata service says, past any proxy of the environment. Raises OSError."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=METADATA_TIMEOUT_S)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        response = connection.getresponse()
        text = response.read(256 * 1024).decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(f"metadata service: {error!r}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise OSError(f"metadata service answered {response.status} for {parts.path}")
    return text


def _moment(text: str) -> Optional[float]:
    """An HTTP date as Unix time."""
    found = email.utils.parsedate_tz(text)
    return float(email.utils.mktime_tz(found)) if found else None


def _age(answer: Answer) -> float:
    """Seconds since the object was written, by the store's clock alone."""
    now, then = _moment(answer.headers.get("date", "")), _moment(answer.headers.get("last-modified", ""))
    return max(0.0, now - then) if now is not None and then is not None else 0.0
