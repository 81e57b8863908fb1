"""A machine that ends by itself stops costing: on Azure it asks to be deallocated before it powers off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtime import leaving
from runtime.image import boot

MACHINE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/train-0"


class Azure:
    """The metadata service and the resource manager in one: what was asked, and how often it refuses."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        self.refuses = 0


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Azure]:
    made = Azure()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(("GET", self.path, self.headers.get("Metadata")))
            self._say(200, {"resourceId": MACHINE, "access_token": "a-token"})

        def do_POST(self) -> None:
            made.asked.append(("POST", self.path, self.headers.get("Authorization")))
            made.refuses -= 1
            self._say(503 if made.refuses >= 0 else 202, {})

        def _say(self, status: int, data: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(data).encode())

        def log_message(self, *said: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(leaving, "META", f"{url}/metadata/")
    monkeypatch.setattr(leaving, "MANAGEMENT", url)
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_asks_as_its_identity_to_be_deallocated(azure: Azure) -> None:
    assert leaving.leave({"kind": "azblob", "client": "the-client"})
    assert [(method, said) for method, _, said in azure.asked] == [
        ("GET", "true"),
        ("GET", "true"),
        ("POST", "Bearer a-token"),
    ]
    assert azure.asked[1][1].endswith("&client_id=the-client")
    assert azure.asked[2][1] == f"{MACHINE}/deallocate?api-version=2024-07-01"


def test_it_asks_again_and_gives_up_in_the_end(azure: Azure) -> None:
    azure.refuses = 2
    assert leaving.leave({"kind": "azblob"}, pause_s=0)
    azure.refuses = 3
    assert not leaving.leave({"kind": "azblob"}, pause_s=0)


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_elsewhere_a_machine_that_is_off_costs_no_more(azure: Azure, kind: str) -> None:
    assert not leaving.leave({"kind": kind})
    assert azure.asked == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_machine_whose_agent_has_ended_leaves_and_goes_down_whatever_comes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    said = tmp_path / "said"
    off = tmp_path / "bin" / "poweroff"
    off.parent.mkdir()
    off.write_text(f"#!/bin/sh\nprintf off >> {said}\n")
    off.chmod(0o755)
    monkeypatch.setenv("PATH", str(off.parent), prepend=":")
    monkeypatch.setattr(boot, "STATE", str(tmp_path / "state"))
    (tmp_path / "agent.py").write_text("")  # it ends at once, by its own decision
    (tmp_path / "leaving.py").write_text(
        f"import json, sys\nnode = json.load(open(sys.argv[1]))['node']\n"
        f"open({str(said)!r}, 'a').write(node + ' leaves ')\nsys.exit({int(fails)})\n"
    )
    monkeypatch.setattr(boot, "agent", lambda wanted, fetch: str(tmp_path / "agent.py"))
    monkeypatch.setattr("os.path.isdir", lambda path: False)
    boot.start({"agent": "0" * 64}, lambda: {"node": "n-1"}, lambda name: b"")
    assert said.read_text() == "n-1 leaves off"


def test_it_is_a_part_of_what_a_node_fetches() -> None:
    from stacks.provider import agents

    assert "leaving.py" in {path.name for path in agents._files()}
