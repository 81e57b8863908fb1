"""The clouds' own interfaces over HTTP, as far as our code asks them, for what the stand-ins hold.

`with serving(store) as url` answers for Google below `{url}/compute/v1`, `{url}/v1` (secrets) and `{url}/storage/v1`
(objects), for Azure below `{url}/subscriptions` and `{url}/providers/Microsoft.ResourceGraph`, for the values of
a key vault below `{url}/vault/NAME`, for blobs below `{url}/blob/ACCOUNT`. `POST {url}/token` gives a token; without
one everything else is refused.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.standins.store import Store

TOKEN = "a-token"


@dataclass(frozen=True)
class Request:
    """One request: what its path's pattern caught, the query, headers in lower case, the body."""

    store: Store
    caught: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    path: str = ""

    @property
    def body(self) -> Any:
        return json.loads(self.raw or b"{}")


@dataclass(frozen=True)
class Answer:
    """What is sent back: data as JSON, or bytes and text as they are."""

    status: int
    data: Any = None
    headers: Mapping[str, str] | None = None


Route = tuple[str, str, Callable[[Request], Answer]]


def route(method: str, pattern: str) -> Callable[[Callable[[Request], Answer]], Callable[[Request], Answer]]:
    """Register a function for a method and a path whose {parts} hold no slash, and whose {*parts} may."""

    def keep(answer: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        path = re.sub(r"\{\*(\w+)\}", r"(?P<\1>.+)", re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", pattern))
        ROUTES.append((method, f"{path}/?", answer))
        return answer

    return keep


ROUTES: list[Route] = []


def find(method: str, path: str) -> tuple[Callable[[Request], Answer], dict[str, str]] | None:
    """The function for a path, and what the path says."""
    from tests.standins import rest_azure, rest_beside, rest_gcp  # noqa: F401 (they register themselves)

    for verb, pattern, answer in ROUTES:
        # Azure's names have no case.
        caught = re.fullmatch(pattern, path, re.IGNORECASE)
        if verb == method and caught:
            return answer, {name: unquote(value) for name, value in caught.groupdict().items()}
    return None


class Handler(BaseHTTPRequestHandler):
    store: Store
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        known = find(self.command, parts.path)
        if parts.path.endswith("/token"):
            given = {
                "access_token": TOKEN,
                "token_type": "Bearer",
                "expires_in": 3599,
                "ext_expires_in": 3599,
            }
            return self.send(Answer(200, given))
        if not re.fullmatch(r"Bearer \S+", headers.get("authorization", "")):
            return self.send(Answer(401, {"error": {"code": "Unauthenticated", "message": "no token"}}))
        self.store.called("rest", self.command, parts.path, dict(parse_qsl(parts.query)))
        if (refused := self.store.refusal("rest", self.command, None, None)) is not None:
            return self.send(Answer(**json.loads(refused)))
        if known is None:
            return self.send(Answer(404, {"error": {"code": "NotFound", "message": f"no {parts.path} here"}}))
        call, caught = known
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return self.send(call(Request(self.store, caught, query, headers, raw, parts.path)))

    def send(self, answer: Answer) -> None:
        plain = isinstance(answer.data, (bytes, str))
        raw = answer.data.encode() if isinstance(answer.data, str) else answer.data
        body = raw if plain else b"" if answer.data is None else json.dumps(answer.data).encode()
        self.send_response(answer.status)
        for name, value in (answer.headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/octet-stream" if plain else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the store notes each call."""


def refuse(store: Store, method: str, status: int, data: Any, times: int = 1, **headers: str) -> None:
    """The next `times` calls of `method` are answered so; `data` is JSON, or a text that is sent as it is."""
    answer = {"status": status, "data": data, "headers": headers}
    store.refuse("rest", method, json.dumps(answer), times=times)


@contextlib.contextmanager
def serving(store: Store) -> Iterator[str]:
    """The address at which the clouds of `store` answer."""
    handler = type("Handler", (Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
