"""The metadata service of EC2 (IMDSv2) for machines that are told apart by their address."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.standins.moto_server import ACCOUNT

if TYPE_CHECKING:
    from tests.standins.metal import Machine

Role = Callable[["Machine"], tuple[str, dict[str, str]]]


class Service:
    """Answers on `listening`. `who` finds the machine with an address, `role` its credentials."""

    def __init__(self, who: Callable[[str], Machine | None], role: Role, listening: socket.socket) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(who, role), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(who: Callable[[str], Machine | None], role: Role) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                super().handle()

        def answer(self, status: int, content: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def do_PUT(self) -> None:
            machine = who(self.client_address[0])
            if machine is None or self.path != "/latest/api/token":
                self.answer(404)
            elif not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "").isdigit():
                self.answer(400)
            else:
                token = secrets.token_urlsafe(16)
                machine.tokens.add(token)
                self.answer(200, token)

        def do_GET(self) -> None:
            machine = who(self.client_address[0])
            if machine is None:
                self.answer(404)
            elif self.headers.get("X-aws-ec2-metadata-token") not in machine.tokens:
                self.answer(401)
            else:
                found = said(machine, role, self.path)
                self.answer(404 if found is None else 200, found or "")

    return Handler


def said(machine: Machine, role: Role, path: str) -> str | None:
    """What the service has at a path; None where there is nothing (a notice that was not given)."""
    facts = machine.facts
    zone = facts["Placement"]["AvailabilityZone"]
    simple = {
        "/latest/meta-data/instance-id": machine.node,
        "/latest/meta-data/local-ipv4": machine.address,
        "/latest/meta-data/instance-type": facts["InstanceType"],
        "/latest/meta-data/placement/availability-zone": zone,
        "/latest/meta-data/placement/region": zone[:-1],
    }
    if path in simple:
        return simple[path]
    if path == "/latest/dynamic/instance-identity/document":
        return json.dumps(
            {
                "accountId": ACCOUNT,
                "architecture": facts.get("Architecture", "x86_64"),
                "availabilityZone": zone,
                "imageId": facts["ImageId"],
                "instanceId": machine.node,
                "instanceType": facts["InstanceType"],
                "pendingTime": facts["LaunchTime"].strftime("%Y-%m-%dT%H:%M:%SZ"),
                "privateIp": machine.address,
                "region": zone[:-1],
                "version": "2017-09-30",
            }
        )
    roles = "/latest/meta-data/iam/security-credentials/"
    if path.startswith(roles):
        with contextlib.suppress(LookupError):
            name, keys = role(machine)
            if path == roles:
                return name
            if path == roles + name:
                return json.dumps({"Code": "Success", "Type": "AWS-HMAC", **keys})
    if path == "/latest/meta-data/spot/instance-action" and machine.notice:
        return json.dumps(machine.notice)
    if path == "/latest/meta-data/events/recommendations/rebalance" and machine.rebalance:
        return json.dumps({"noticeTime": machine.rebalance})
    return None
