"""Calls to the REST API of a code host: retries, rate limits, pages and redirects; refusals as Problems."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.problem import Problem, Problems

BROKEN = frozenset({408, 425, 500, 502, 503, 504})
"""Answers that say nothing about what was asked: ask again."""
MOVED = frozenset({301, 302, 307, 308})
LARGEST = 32 * 1024 * 1024
"""Bytes of an answer that is read."""
MOST_PAGES, MOST_MOVES = 1_000, 3
CHUNK = 1 << 16


class Unsure(Exception):
    """Something was sent that must not be done twice, and whether it was done is not known. The text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the host said: `data` is its JSON (None when there is none), `following` the address of the next page."""

    status: int
    data: Any
    following: str | None = None


class _NoMoves(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like another: urllib would turn what is sent into a question."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(slots=True)
class Calls:
    """The API at `url` as the owner of `token`, which goes to this origin only and into no text.

    `timeout_s`: how long a connection may say nothing; `whole_s`: how long one answer may take; `tries`: how often
    something is asked; `patience_s`: how long all waiting that the host asks for may take.
    """

    url: str
    token: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0
    whole_s: float = 120.0
    tries: int = 5
    patience_s: float = 180.0
    wait: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.time

    def get(self, path: str) -> Answer:
        """Raises Problems host/..."""
        return self.send("GET", path)

    def pages(self, path: str) -> Iterator[Any]:
        """Every entry of a list, over all its pages. Raises Problems host/..."""
        following: str | None = path
        seen = set()
        for _ in range(MOST_PAGES):
            if following is None:
                return
            seen.add(following)
            answer = self.get(following)
            if not isinstance(answer.data, list):
                raise Problems(strange(self._host, "list"))
            yield from answer.data
            following = answer.following
            if following in seen:
                break
        raise Problems(Problem("host/no-answer", f"{self._host} lists pages that do not come to an end"))

    def there(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer | None:
        """As `send`; None when what it is about is gone."""
        try:
            return self.send(method, path, body)
        except Problems as refused:
            if refused.problems[0].code == "host/not-found":
                return None
            raise

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, once: bool = False
    ) -> Answer:
        """One call to `path` (or to a whole address of this API). With `once` it is not repeated when it may have
        been done already. Raises Problems host/..., Unsure."""
        address = path if "://" in path else self.url + path
        why, left, moves, turn = "", self.patience_s, 0, 0
        while turn < self.tries:
            status, headers, content = 0, http.client.HTTPMessage(), b""
            try:
                status, headers, content = self._once(method, address, body)
            except (OSError, http.client.HTTPException) as error:
                why = _said(error)
                if once and not _never_arrived(error):
                    self.wait(1.0)
                    raise Unsure(why) from None
            if status in MOVED and moves < MOST_MOVES and (moved := self._moved(address, headers)):
                address, moves = moved, moves + 1
                continue
            pause = 2.0**turn
            if status and (asked := self._asked_to_wait(status, headers, content)) is not None:
                if asked > left:
                    raise Problems(self._limited(asked))
                why, pause = "limits how often it may be asked", max(asked, pause)
            elif status in BROKEN:
                why = f"answered {status}"
                if once:
                    self.wait(1.0)
                    raise Unsure(why)
            elif status:
                return self._answer(method, address, status, headers, content)
            turn += 1
            if turn < self.tries:
                pause = min(pause, max(left, 1.0))
                left -= pause
                self.wait(pause)
        raise Problems(unanswered(self._host, why, self.tries))

    @property
    def _host(self) -> str:
        return urllib.parse.urlsplit(self.url).netloc

    def _once(
        self, method: str, address: str, body: Mapping[str, Any] | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        content = None if body is None else json.dumps(body).encode()
        said = {"User-Agent": "skywright", "Authorization": f"Bearer {self.token}", **self.headers}
        if content is not None:
            said["Content-Type"] = "application/json"
        request = urllib.request.Request(address, content, said, method=method)  # noqa: S310
        end = time.monotonic() + self.whole_s
        try:
            answer = urllib.request.build_opener(_NoMoves).open(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers, _read(answer, end)

    def _moved(self, address: str, headers: http.client.HTTPMessage) -> str | None:
        """Where a repository went that was renamed; None when that is another host, which must not see the token."""
        to = urllib.parse.urljoin(address, headers.get("Location", ""))
        return to if _origin(to) == _origin(self.url) else None

    def _asked_to_wait(self, status: int, headers: http.client.HTTPMessage, content: bytes) -> float | None:
        """Seconds that the host wants us to wait; None when it does not say that we ask too often."""
        if status not in (403, 429):
            return None
        after = headers.get("Retry-After", "")
        if after.isdigit():
            return float(after)
        reset = headers.get("x-ratelimit-reset") or headers.get("RateLimit-Reset") or ""
        remaining = headers.get("x-ratelimit-remaining") or headers.get("RateLimit-Remaining")
        if remaining == "0" and reset.isdigit():
            return max(0.0, float(reset) - self.clock()) + 1.0
        if status == 429 or b"rate limit" in content[:2000].lower():
            return 60.0
        return None

    def _answer(
        self, method: str, address: str, status: int, headers: http.client.HTTPMessage, content: bytes
    ) -> Answer:
        try:
            data = json.loads(content) if content.strip() else None
        except ValueError:
            data = None
            if status < 300:
                raise Problems(strange(self._host, "data")) from None
        if status < 300:
            return Answer(status, data, self._following(address, headers))
        raise Problems(self._refused(method, status, data))

    def _following(self, address: str, headers: http.client.HTTPMessage) -> str | None:
        for part in ", ".join(headers.get_all("Link") or ()).split(","):
            target, _, about = part.partition(";")
            if re.search(r'rel="?next"?', about):
                to = urllib.parse.urljoin(address, target.strip().strip("<>"))
                if _origin(to) != _origin(self.url):
                    raise Problems(
                        Problem("host/no-answer", f"{self._host} names a next page on another host")
                    )
                return to
        return None

    def _refused(self, method: str, status: int, data: Any) -> Problem:
        """The host's own words with what usually helps."""
        said = self._words(data)
        doing = "reading" if method == "GET" else "writing"
        code, hint = REFUSALS.get(status, ("host/refused", None))
        return Problem(
            code, f"{self._host} refused {doing} ({status}){f': {said}' if said else ''}", hint=hint
        )

    def _words(self, data: Any) -> str:
        if not isinstance(data, dict):
            return ""
        parts = [str(data.get("message") or data.get("error") or "")]
        parts += [str(one.get("message", "")) for one in data.get("errors") or () if isinstance(one, dict)]
        text = "; ".join(part for part in parts if part).replace(self.token, "***")
        return "".join(char if char.isprintable() else " " for char in text)[:300]

    def _limited(self, seconds: float) -> Problem:
        says = f"{self._host} limits how often it may be asked, for {seconds:.0f} s more"
        hint = "try again then; a token of its own for this job has a limit of its own"
        return Problem("host/rate-limited", says, hint=hint)


REFUSALS = {
    401: ("host/unauthorized", "the token is not valid, or has run out"),
    403: (
        "host/forbidden",
        "the job needs `permissions: pull-requests: write`; a pull request from a fork never has it",
    ),
    404: (
        "host/not-found",
        "is the repository OWNER/NAME, is the number that of a pull request, and may the token see it?",
    ),
    410: ("host/not-found", "the pull request, or all commenting on it, is gone"),
    422: ("host/not-valid", "the host takes no such comment: see what it says"),
}


def strange(host: str, what: str) -> Problem:
    """An answer in another shape than the host documents."""
    hint = "is the address that of the host's API?"
    return Problem("host/no-answer", f"{host} answered with something that is no {what}", hint=hint)


def unanswered(host: str, why: str, times: int) -> Problem:
    says = f"{host} {why}, {times} times"
    return Problem("host/no-answer", says, hint="try again later; nothing is left half done")


def _read(answer: Any, end: float) -> bytes:
    """The whole answer, which has to come to an end before `end` and to be all that was announced."""
    parts, size = [], 0
    while part := answer.read1(CHUNK) if hasattr(answer, "read1") else answer.read(CHUNK):
        size += len(part)
        parts.append(part)
        if size > LARGEST or time.monotonic() > end:
            raise TimeoutError("the answer takes too long")
    if getattr(answer, "length", None):
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(parts)


def _said(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(error, TimeoutError) or isinstance(reason, TimeoutError):
        return "did not answer in time"
    return (
        "broke the connection"
        if isinstance(error, http.client.HTTPException)
        else f"cannot be reached: {reason}"
    )


def _never_arrived(error: BaseException) -> bool:
    """Whether it is certain that the host never got what was sent."""
    import socket

    return isinstance(getattr(error, "reason", None), (ConnectionRefusedError, socket.gaierror))


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc
