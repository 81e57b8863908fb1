"""A code host of ours: comments over REST as GitHub has them, with its pages, limits, tokens and bad days."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGEST = 65_536

Trouble = Callable[["Request"], bool]
"""What goes wrong with one request: True when it was answered with that."""


@dataclass
class Host:
    """The server's memory. `tokens`: who each belongs to; `bots` may not ask who they are over REST. `trouble`: what
    goes wrong with the next requests, in order (None: nothing). `asked`: (method, path) of every request. `before`
    and `after` are called around the work of each request, outside of the lock."""

    tokens: dict[str, str] = field(default_factory=lambda: {"job-token": "github-actions[bot]", "ann": "ann"})
    bots: frozenset[str] = frozenset({"github-actions[bot]"})
    readers: frozenset[str] = frozenset()
    repository: str = "acme/models"
    pulls: set[int] = field(default_factory=lambda: {7, 8})
    renamed: dict[str, str] = field(default_factory=dict)
    per_page: int = 100
    comments: list[dict[str, Any]] = field(default_factory=list)
    trouble: list[Trouble | None] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda method, path: None
    after: Callable[[str, str], None] = lambda method, path: None
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    last: int = 1000

    def say(self, author: str, body: str, pull: int = 7) -> int:
        """A comment that somebody wrote; its id."""
        with self.lock:
            self.last += 1
            self.comments.append(
                {
                    "id": self.last,
                    "pull": pull,
                    "user": {"login": author},
                    "body": body,
                    "html_url": f"{self.url}/{self.repository}/pull/{pull}#issuecomment-{self.last}",
                }
            )
            return self.last

    def bodies(self, author: str | None = None, pull: int = 7) -> list[str]:
        with self.lock:
            return [
                one["body"]
                for one in self.comments
                if one["pull"] == pull and author in (None, one["user"]["login"])
            ]

    def writes(self) -> list[str]:
        return [method for method, path in self.asked if method != "GET" and path != "/graphql"]


class Request(BaseHTTPRequestHandler):
    """One request, with the host's memory in `host`."""

    host: Host
    protocol_version = "HTTP/1.1"

    def reply(self, status: int, data: Any = None, **headers: str) -> None:
        content = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def serve(self) -> None:
        host = self.host
        length = int(self.headers.get("Content-Length") or 0)
        self.said = json.loads(self.rfile.read(length) or "null")
        parts = urlsplit(self.path)
        host.heard.append(f"{self.path} {json.dumps(self.said)}")
        host.before(self.command, parts.path)
        with host.lock:
            host.asked.append((self.command, parts.path))
            trouble = host.trouble.pop(0) if host.trouble else None
        if trouble and trouble(self):
            return
        with host.lock:
            self._serve(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()})
        host.after(self.command, parts.path)

    do_GET = do_POST = do_PATCH = do_DELETE = serve

    def _serve(self, path: str, asked: dict[str, str]) -> None:
        host = self.host
        me = host.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if me is None:
            return self.reply(401, {"message": "Bad credentials"})
        if path == "/user":
            if me in host.bots:
                return self.reply(403, {"message": "Resource not accessible by integration"})
            return self.reply(200, {"login": me})
        if path == "/graphql":
            return self.reply(200, {"data": {"viewer": {"login": me}}})
        for old, new in host.renamed.items():
            if path.startswith(f"/repos/{old}/"):
                to = path.replace(f"/repos/{old}/", f"/repos/{new}/", 1)
                query = "&".join(f"{name}={value}" for name, value in asked.items())
                return self.reply(
                    307, {"message": "Moved"}, Location=f"{host.url}{to}{'?' + query if query else ''}"
                )
        listed = re.fullmatch(r"/repos/(.+)/issues/(\d+)/comments", path)
        if listed and listed[1] == host.repository and int(listed[2]) in host.pulls:
            return (
                self._list(int(listed[2]), asked) if self.command == "GET" else self._post(int(listed[2]), me)
            )
        single = re.fullmatch(r"/repos/(.+)/issues/comments/(\d+)", path)
        if single and single[1] == host.repository:
            return self._change(int(single[2]), me)
        return self.reply(404, {"message": "Not Found"})

    def _list(self, pull: int, asked: dict[str, str]) -> None:
        host = self.host
        size, page = min(int(asked.get("per_page", 30)), host.per_page), int(asked.get("page", 1))
        found = [one for one in host.comments if one["pull"] == pull]
        links = []
        if page * size < len(found):
            here = f"{host.url}{urlsplit(self.path).path}?per_page={size}"
            links = [
                f'<{here}&page={page + 1}>; rel="next"',
                f'<{here}&page={-(-len(found) // size)}>; rel="last"',
            ]
        headers = {"Link": ", ".join(links)} if links else {}
        self.reply(200, found[(page - 1) * size : page * size], **headers)

    def _post(self, pull: int, me: str) -> None:
        if me in self.host.readers:
            return self.reply(403, {"message": "Resource not accessible by integration"})
        if problem := self._wrong():
            return self.reply(422, problem)
        id = self.host.say(me, self.said["body"], pull)
        return self.reply(201, next(one for one in self.host.comments if one["id"] == id))

    def _change(self, id: int, me: str) -> None:
        found = next((one for one in self.host.comments if one["id"] == id), None)
        if found is None:
            return self.reply(404, {"message": "Not Found"})
        if found["user"]["login"] != me or me in self.host.readers:
            return self.reply(403, {"message": "Must have admin rights to Repository."})
        if self.command == "DELETE":
            self.host.comments.remove(found)
            return self.reply(204)
        if problem := self._wrong():
            return self.reply(422, problem)
        found["body"] = self.said["body"]
        return self.reply(200, found)

    def _wrong(self) -> dict[str, Any] | None:
        if len(self.said["body"]) <= LARGEST:
            return None
        says = f"Body is too long (maximum is {LARGEST} characters)"
        return {"message": "Validation Failed", "errors": [{"resource": "IssueComment", "message": says}]}

    def log_message(self, format: str, *args: Any) -> None:
        pass


class GitLabRequest(Request):
    """The same comments as GitLab calls them: notes of merge requests."""

    def _serve(self, path: str, asked: dict[str, str]) -> None:
        host = self.host
        me = host.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if me is None:
            return self.reply(401, {"message": "401 Unauthorized"})
        if path == "/user":
            return self.reply(200, {"username": me})
        named = re.fullmatch(r"/projects/([^/]+)/merge_requests/(\d+)/notes(?:/(\d+))?", path)
        if not named or unquote(named[1]) != host.repository or int(named[2]) not in host.pulls:
            return self.reply(404, {"message": "404 Project Not Found"})
        if named[3]:
            return self._change(int(named[3]), me)
        return self._list(int(named[2]), asked) if self.command == "GET" else self._post(int(named[2]), me)

    do_PUT = Request.serve

    def reply(self, status: int, data: Any = None, **headers: str) -> None:
        def noted(one: Any) -> Any:
            if not isinstance(one, dict) or "id" not in one:
                return one
            return {"id": one["id"], "body": one["body"], "author": {"username": one["user"]["login"]}}

        super().reply(
            status, [noted(one) for one in data] if isinstance(data, list) else noted(data), **headers
        )


def answers(status: int, data: Any = None, **headers: str) -> Trouble:
    """An answer of its own instead of doing the work."""

    def trouble(request: Request) -> bool:
        request.reply(status, data, **headers)
        return True

    return trouble


def done_but(how: Trouble) -> Trouble:
    """The work is done, and then the answer goes wrong."""

    def trouble(request: Request) -> bool:
        reply = request.reply
        request.reply = lambda *args, **headers: None  # type: ignore[method-assign]
        with request.host.lock:
            request._serve(urlsplit(request.path).path, {})
        request.reply = reply  # type: ignore[method-assign]
        return how(request)

    return trouble


def breaks(request: Request) -> bool:
    """The connection ends without an answer."""
    request.close_connection = True
    return True


def half(request: Request) -> bool:
    """The answer breaks off in the middle."""
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b'[{"id": 1')
    request.close_connection = True
    return True


def hangs(request: Request) -> bool:
    """No answer until the test is over."""
    request.host.released.wait(30)
    request.close_connection = True
    return True


def trickles(request: Request) -> bool:
    """An answer that comes byte by byte and never ends."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    with contextlib.suppress(OSError):
        while not request.host.released.wait(0.01):
            request.wfile.write(b" ")
    request.close_connection = True
    return True


@contextlib.contextmanager
def serving(host: Host | None = None, kind: type[Request] = Request) -> Iterator[Host]:
    """A host on a free port of this machine."""
    made = host or Host()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (kind,), {"host": made}))
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
