"""HTTP as price lists need it: a time limit, a few tries, pages, and an answer that is what it says it is."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

Result = TypeVar("Result")

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
LARGEST = 256 * 1024 * 1024
"""Bytes of an answer that is read whole."""
LONGEST_WAIT_S = 60.0
MOST_PAGES = 20_000


class Broken(Exception):
    """A vendor's answer that cannot be used, or none at all. The text says why, without any credential."""


class Stopped(Exception):
    """Nobody wants the answer any more."""


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects within a host: another one must not see the key that was meant for the first."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if _origin(newurl) != _origin(req.full_url):
            raise urllib.error.HTTPError(newurl, 599, "leads to another host", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(slots=True)
class Fetcher:
    """Asks over HTTP. `timeout_s` is how long a connection may say nothing, `whole_s` how long an answer may take in
    all, `tries` how often a question is asked. `wait` sleeps and may be cut short by `stop`."""

    timeout_s: float = 30.0
    whole_s: float = 1800.0
    tries: int = 4
    stop: threading.Event = field(default_factory=threading.Event)
    wait: Callable[[float], object] | None = None

    def json(self, url: str, headers: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """The answer as data; with `body` it is posted. Raises Broken, Stopped."""
        content = self.read(url, lambda stream: _all(stream), headers, body)
        start = content[:200].lstrip().lower()
        if start.startswith((b"<!doctype", b"<html", b"<?xml")):
            raise Broken(f"{_shown(url)} answered with a page for people, not with data")
        try:
            return json.loads(content)
        except ValueError:
            raise Broken(f"{_shown(url)} answered with data that breaks off or is none") from None

    def lines(self, url: str, take: Callable[[Iterator[str]], Result]) -> Result:
        """What `take` makes of the lines of a large answer, which is never held whole. It is called anew when the
        answer breaks off."""

        def read(stream: IO[bytes]) -> Result:
            text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
            return take(iter(text))

        return self.read(url, read)

    def pages(
        self,
        url: str,
        following: Callable[[Any], str | None],
        headers: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> Iterator[Any]:
        """Answers one after the other: `following` names the next address, None after the last."""
        seen = {url}
        for count in range(1, MOST_PAGES):
            page = self.json(url, headers)
            yield page
            after = following(page)
            if not after:
                return
            after = urllib.parse.urljoin(url, after)
            if _origin(after) != _origin(url):
                raise Broken(f"{_shown(url)} names a next page on another host")
            if after in seen:
                raise Broken(f"{_shown(url)} names the same next page twice")
            seen.add(after)
            url = after
            tell(f"page {count + 1}")
        raise Broken(f"{_shown(url)} does not come to an end")

    def read(
        self,
        url: str,
        take: Callable[[IO[bytes]], Result],
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Result:
        """What `take` makes of the answer. Raises Broken, Stopped."""
        why, pause = "", 1.0
        for turn in range(self.tries):
            if self.stop.is_set():
                raise Stopped
            if turn:
                (self.wait or self.stop.wait)(min(pause, LONGEST_WAIT_S))
            try:
                return self._once(url, take, headers, body)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in AGAIN:
                    raise Broken(f"{_shown(url)} {_refusal(error.code)}") from None
                why, pause = f"answered {error.code}", _after(error, 2.0**turn)
            except (OSError, http.client.HTTPException, zlib.error, EOFError) as error:
                reason = getattr(error, "reason", error)
                why = "did not answer in time" if _slow(error) else f"could not be read: {reason}"
                pause = 2.0**turn
        raise Broken(f"{_shown(url)} {why}, {self.tries} times")

    def _once(
        self, url: str, take: Callable[[IO[bytes]], Result], headers: Mapping[str, str] | None, body: Any
    ) -> Result:
        content = None if body is None else json.dumps(body).encode()
        said = {"Accept-Encoding": "gzip", "User-Agent": "skywright-catalog", **(headers or {})}
        if content is not None:
            said.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(url, data=content, headers=said)  # noqa: S310
        opener = urllib.request.build_opener(_SameHost)
        with opener.open(request, timeout=self.timeout_s) as answer:
            stream: Any = _Bounded(answer, time.monotonic() + self.whole_s, self.stop)
            if answer.headers.get("Content-Encoding") == "gzip":
                stream = gzip.GzipFile(fileobj=stream)
            return take(io.BufferedReader(stream, 1 << 16))


class _Bounded(io.RawIOBase):
    """An answer that must come to an end, whole, and while somebody waits for it."""

    def __init__(self, answer: http.client.HTTPResponse, end: float, stop: threading.Event) -> None:
        self.answer, self.end, self.stop = answer, end, stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.stop.is_set():
            raise Stopped
        if time.monotonic() > self.end:
            raise TimeoutError("the answer takes too long")
        found = self.answer.read(len(buffer))
        if not found and self.answer.length:
            raise http.client.IncompleteRead(b"", self.answer.length)
        buffer[: len(found)] = found
        return len(found)


def _all(stream: IO[bytes]) -> bytes:
    content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Broken("the answer is far too large")
    return content


def _after(error: urllib.error.HTTPError, usual: float) -> float:
    """Seconds that the server wants us to wait, where it says a number."""
    text = error.headers.get("Retry-After", "") if error.headers else ""
    return float(text) if text.isdigit() else usual


def _refusal(code: int) -> str:
    if code in (401, 403):
        return f"refused ({code}): the key is not valid, or may not read prices"
    return "leads to another host" if code == 599 else f"answered {code}"


def _slow(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _shown(url: str) -> str:
    """The address without its question: nothing secret is meant to stand there, and nothing is shown."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.netloc}{parts.path}"
