"""Notices as each cloud's metadata service words them: told once, with the time that is left."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runtime.probe import LEAST_S, Probe


class Metadata:
    """A metadata service: answers by path, and what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path = self.path
                outer.asked.append((self.command, path, dict(self.headers), body))
                status, text = outer.answers.get(path, (404, "not found"))
                content = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    made = Metadata()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def look(data: dict[str, Any]) -> float | None:
    return Probe(data, lambda left, source: None).look()


def in_seconds(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_aws_wants_a_token_and_says_when(metadata: Metadata) -> None:
    data = {
        "url": f"{metadata.url}/latest/meta-data/spot/instance-action",
        "every_s": 5.0,
        "member": "action",
        "values": ["terminate", "stop", "hibernate"],
        "deadline": "time",
        "token": {
            "url": f"{metadata.url}/latest/api/token",
            "method": "PUT",
            "headers": {"X-aws-ec2-metadata-token-ttl-seconds": "21600"},
            "header": "X-aws-ec2-metadata-token",
        },
    }
    metadata.answers["/latest/api/token"] = (200, "t0ken")
    assert look(data) is None
    action = json.dumps({"action": "terminate", "time": in_seconds(120)})
    metadata.answers["/latest/meta-data/spot/instance-action"] = (200, action)
    left = look(data)
    assert left is not None
    assert 110 < left <= 121
    assert metadata.asked[-1][2]["X-aws-ec2-metadata-token"] == "t0ken"


def test_google_says_one_word(metadata: Metadata) -> None:
    path = "/computeMetadata/v1/instance/preempted"
    data = {
        "url": metadata.url + path,
        "every_s": 5.0,
        "member": "",
        "values": ["TRUE"],
        "headers": {"Metadata-Flavor": "Google"},
    }
    metadata.answers[path] = (200, "FALSE")
    assert look(data) is None
    metadata.answers[path] = (200, "TRUE\n")
    assert look(data) == LEAST_S
    assert metadata.asked[-1][2]["Metadata-Flavor"] == "Google"


AZURE = "/metadata/scheduledevents?api-version=2020-07-01"


def azure(url: str) -> dict[str, Any]:
    return {
        "url": url + AZURE,
        "every_s": 5.0,
        "rows": "Events",
        "member": "EventType",
        "values": ["Preempt"],
        "deadline": "NotBefore",
        "names": "Resources",
        "headers": {"Metadata": "true"},
        "acknowledge": {
            "url": url + AZURE,
            "body": {"StartRequests": [{"EventId": "{id}"}]},
            "member": "EventId",
        },
    }


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"EventId": f"id-of-{kind}", "EventType": kind, "Resources": ["train-0"], "NotBefore": "", **more}


def test_azure_lists_events_and_is_told_that_nobody_waits(metadata: Metadata) -> None:
    data = azure(metadata.url)
    metadata.answers[AZURE] = (200, json.dumps({"DocumentIncarnation": 1, "Events": [event("Freeze")]}))
    assert look(data) is None
    events = [event("Freeze"), event("Preempt")]
    metadata.answers[AZURE] = (200, json.dumps({"DocumentIncarnation": 2, "Events": events}))
    assert look(data) == LEAST_S
    verb, path, _, body = metadata.asked[-1]
    assert (verb, path) == ("POST", AZURE)
    assert json.loads(body) == {"StartRequests": [{"EventId": "id-of-Preempt"}]}


def test_azure_may_speak_of_another_machine(metadata: Metadata) -> None:
    metadata.answers[AZURE] = (200, json.dumps({"Events": [event("Preempt", Resources=["train-1"])]}))
    assert look({**azure(metadata.url), "name": "train-0"}) is None
    assert look({**azure(metadata.url), "name": "train-1"}) is not None


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"Events": 3}', '{"Events": [3, null]}', "\0"])
def test_nonsense_is_no_notice(metadata: Metadata, text: str) -> None:
    metadata.answers[AZURE] = (200, text)
    assert look(azure(metadata.url)) is None
