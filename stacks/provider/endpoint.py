"""The metadata endpoint of a local node: tells of a spot notice as big clouds do, at the node's address.

Standard library only, and without http.server: that would double the memory of the process that serves it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import selectors
import socket
import time
from typing import Any

TOKEN_PATH = "/latest/api/token"  # noqa: S105 (a path)
ACTION_PATH = "/latest/meta-data/spot/instance-action"
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 (the name of a header)

_LARGEST_REQUEST = 8192
_PATIENCE_S = 5.0


class Endpoint:
    """Answers on `address`:`port` while `serve` is called. `notice` is the file that announces the loss."""

    def __init__(self, address: str, port: int, notice: str, facts: dict[str, str]) -> None:
        """`facts` are plain answers by path. OSError when the address is taken."""
        self.notice = notice
        self.facts = facts
        self.token = secrets.token_urlsafe(24)
        self.selector = selectors.DefaultSelector()
        self.requests: dict[socket.socket, tuple[bytearray, float]] = {}
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(16)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def close(self) -> None:
        for connection in list(self.requests):
            self._drop(connection)
        self.selector.close()
        self.listener.close()

    def serve(self, timeout_s: float) -> None:
        """Answer what comes within `timeout_s`; returns early after any activity."""
        for key, _ in self.selector.select(timeout_s):
            if key.fileobj is self.listener:
                self._accept()
            elif isinstance(key.fileobj, socket.socket):
                self._read(key.fileobj)
            elif callable(key.data):
                key.data()
        now = time.monotonic()
        for connection, (_, since) in list(self.requests.items()):
            if now - since > _PATIENCE_S:
                self._drop(connection)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.listener.accept()
            connection.setblocking(False)
            self.requests[connection] = (bytearray(), time.monotonic())
            self.selector.register(connection, selectors.EVENT_READ)

    def _drop(self, connection: socket.socket) -> None:
        self.requests.pop(connection, None)
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(connection)
        connection.close()

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        buffer, _ = self.requests[connection]
        buffer += data
        whole = b"\r\n\r\n" in buffer
        if data and not whole and len(buffer) < _LARGEST_REQUEST:
            return
        with contextlib.suppress(OSError):
            if whole:
                # The answer is far smaller than a socket's buffer, so it never blocks.
                connection.sendall(self._answer(bytes(buffer)))
        self._drop(connection)

    def _answer(self, request: bytes) -> bytes:
        first, *rest = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, path = [*first.split(" "), "", ""][:2]
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)
        }
        if path == TOKEN_PATH:
            if method != "PUT":
                return _reply(405, "")
            ttl = headers.get(TTL_HEADER.lower(), "")
            return _reply(200, self.token) if ttl.isdigit() else _reply(400, "")
        if method != "GET":
            return _reply(405, "")
        if not secrets.compare_digest(headers.get(TOKEN_HEADER.lower(), "").encode(), self.token.encode()):
            return _reply(401, "")
        if path == ACTION_PATH:
            action = read_notice(self.notice)
            return _reply(404, "") if action is None else _reply(200, json.dumps(action), "application/json")
        return _reply(200, self.facts[path]) if path in self.facts else _reply(404, "")


def read_notice(path: str) -> dict[str, Any] | None:
    """The announced loss, {action, time}, or None while there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (FileNotFoundError, ValueError):
        return None


def _reply(status: int, body: str, kind: str = "text/plain") -> bytes:
    reason = {
        200: "OK",
        400: "Bad Request",
        401: "Unauthorized",
        404: "Not Found",
        405: "Method Not Allowed",
    }[status]
    payload = body.encode()
    return (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n"
        f"Connection: close\r\n\r\n"
    ).encode() + payload
