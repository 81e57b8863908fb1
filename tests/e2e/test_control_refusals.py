"""Control when something is refused: the engine, the cloud, a file, a run; and what stays when all is gone."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control import space
from skywright.control.client import Client
from skywright.control.logbook import Logbook
from stacks import operate
from stacks.cloud import Scope
from tests.e2e.control_fakes import House, order, until

PASSPHRASE = Problem("engine/wrong-passphrase", "the passphrase does not open this stack's state")


@pytest.fixture
def house(tmp_path: Path, rows: str | None) -> Iterator[House]:
    made = House(tmp_path, rows)
    yield made
    made.end()


def run_of(client: Client, number: int = 1) -> dict[str, Any]:
    return client.runs("hello")[number - 1]


def ended(client: Client, number: int = 1) -> dict[str, Any]:
    until(lambda: run_of(client, number)["ended"], f"run {number} ends")
    return run_of(client, number)


def gone(client: Client) -> None:
    until(lambda: client.deployment("hello")["state"] == "gone", "it is gone")


def test_what_never_existed_is_just_forgotten(house: House) -> None:
    house.operations.problems = [Problem("engine/backend-unreachable", "no such host")] * 9
    client = house.open()
    client.launch(order())
    assert ended(client)["status"] == "CANCELLED"
    found = client.deployment("hello")
    assert (found["state"], found["problem"]["left_behind"]) == ("failed", "nothing")
    client.down("hello")
    gone(client)
    assert len(house.operations.requests) == 1


def test_an_empty_stack_is_removed_by_the_engine(house: House) -> None:
    house.operations.problems = [Problem("engine/failed", "broken")]
    house.operations.names = ["lease", "init"]
    client = house.open()
    client.launch(order())
    ended(client)
    assert "empty stack hello-local" in client.deployment("hello")["problem"]["left_behind"]
    client.down("hello")
    gone(client)
    assert [request.kind.value for request in house.operations.requests] == ["up", "destroy"]


def test_purge_ends_with_nothing_whatever_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    client = house.open()
    client.launch(order(nodes=2))
    ended(client)
    stubborn = house.cloud.of("hello")[0]
    remove = house.cloud.remove

    def refuse(node: str, scope: Scope) -> None:
        if node == stubborn:
            raise Problems(Problem("cloud/node-not-ended", "it does not end"))
        remove(node, scope)

    monkeypatch.setattr(house.cloud, "remove", refuse)
    house.operations.problems = [PASSPHRASE] * 9
    client.down("hello", purge=True)
    gone(client)
    assert list(house.cloud.nodes) == [stubborn]
    said = [event["text"] for event in client.follow("hello", 0, 0)["events"]]
    assert any(stubborn in text and "could not be removed" in text for text in said)


def test_a_refused_removal_leaves_whole_nodes_in_use(house: House) -> None:
    client = house.open()
    client.launch(order(idle_s=0.001, keep=True))
    ended(client)
    house.operations.problems = [PASSPHRASE]
    client.down("hello")
    until(lambda: client.deployment("hello")["problem"], "it is refused")
    found = client.deployment("hello")
    assert (found["state"], found["wanted"]) == ("idle", "up")
    client.execute("hello", order())
    assert ended(client, 2)["status"] == "SUCCEEDED"
    assert client.deployment("hello")["problem"] is None
    client.down("hello")
    gone(client)


@pytest.mark.team
def test_a_refused_change_ends_its_run_and_spares_the_nodes(house: House) -> None:
    client = house.open()
    client.launch(order(retry_until_up=True))
    ended(client)
    house.operations.problems = [PASSPHRASE]
    client.launch({**order(nodes=2, retry_until_up=True), "task": {"name": "bigger"}})
    assert ended(client, 2)["status"] == "CANCELLED"
    found = client.deployment("hello")
    assert (found["state"], found["nodes_wanted"], found["task"]) == ("idle", 1, {})
    assert found["problem"]["code"] == "engine/wrong-passphrase"
    assert len(house.operations.requests) == 2
    client.execute("hello", order())
    assert ended(client, 3)["status"] == "SUCCEEDED"
    client.launch(order(nodes=2))
    assert ended(client, 4)["status"] == "SUCCEEDED"
    assert len(house.cloud.of("hello")) == 2


def test_a_lost_node_is_wanted_back_whatever_is_refused(house: House) -> None:
    house.scripts[0] = lambda run: 0 if run["attempt"] == 2 else None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    house.operations.problems = [PASSPHRASE]
    client.chaos("hello", "preempt", 0, 30)
    until(lambda: client.deployment("hello")["state"] == "blocked")
    house.clock.ahead += 3
    assert ended(client)["status"] == "SUCCEEDED"


def test_retrying_is_for_capacity_only(house: House) -> None:
    house.operations.problems = [PASSPHRASE]
    client = house.open()
    client.launch(order(retry_until_up=True))
    assert ended(client)["status"] == "CANCELLED"
    assert client.deployment("hello")["state"] == "failed"


def test_autostop_counts_from_when_it_is_set(house: House) -> None:
    client = house.open()
    client.launch(order(keep=True))
    ended(client)
    house.clock.ahead += 1000
    assert client.autostop("hello", 60, False) == {"idle_s": 60, "down": True}
    assert client.deployment("hello")["idle_s"] < 50
    assert client.deployment("hello")["autostop"] == {"idle_s": 60.0, "down": True}
    house.clock.ahead += 30
    assert client.deployment("hello")["state"] == "idle"
    house.clock.ahead += 31
    gone(client)


def test_cancel_takes_the_running_one_and_status_shows_who_ended_last(house: House) -> None:
    house.scripts[0] = lambda run: None if run["id"] < 3 else 0
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    client.execute("hello", order())
    client.execute("hello", order())
    assert client.cancel("hello", []) == [1]
    until(lambda: run_of(client, 2)["status"] == "RUNNING")
    assert client.deployment("hello")["run"]["run"] == 2
    client.cancel("hello", [3])
    assert client.deployment("hello")["run"]["run"] == 2
    house.agent("hello", 0).finish(0)
    ended(client, 2)
    found = client.deployment("hello")
    assert (found["run"]["run"], found["run"]["status"]) == (2, "SUCCEEDED")
    assert "run 2 succeeded" in found["last_event"]["text"]
    assert client.cancel("hello", []) == []


@pytest.mark.parametrize(
    "message",
    ["fetch: [Errno 13] Permission denied: '/data'", "lost its shim"],
)
def test_what_the_node_said_is_the_reason(house: House, message: str) -> None:
    house.scripts[0] = lambda _: None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    house.agent("hello", 0).fail(message)
    assert ended(client)["reason"] == f"node-0: {message}"
    said = [event["text"] for event in client.follow("hello", 0, 0)["events"]]
    assert any(text.startswith("run 1 failed after") and text.endswith(message) for text in said)


def test_nothing_is_left_in_controls_folders(house: House, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(b"a workdir")
    digest = hashlib.sha256(b"a workdir").hexdigest()
    client = house.open()
    client.put_blob(digest, archive)
    client.launch(order(files=[{"digest": digest, "target": "~/sky_workdir", "kind": "workdir"}]))
    ended(client)
    stray = house.home / "control" / "operations" / "hello-up-00000000"
    stray.mkdir()
    house.close()
    client = house.open()
    on_its_way = tmp_path / "next"
    on_its_way.write_bytes(b"of the next order")
    coming = hashlib.sha256(b"of the next order").hexdigest()
    client.put_blob(coming, on_its_way)
    client.down("hello")
    gone(client)
    assert [path.name for path in (house.home / "control" / "blobs").iterdir()] == [coming]
    assert list((house.home / "control" / "operations").iterdir()) == []
    assert [chunk.data for chunk in client.logs("hello", 1, None, 0)[0]] == [b"rank 0 attempt 1 ends 0\n"]


@pytest.mark.fault("disk full")
def test_a_full_disk_blocks_and_goes_on_by_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    full = [False]
    append = Logbook.append

    def guarded(self: Logbook, *given: Any) -> tuple[bool, int]:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(self, *given)

    monkeypatch.setattr(Logbook, "append", guarded)
    monkeypatch.setattr(space, "_writable", lambda _: not full[0])
    house.scripts[0] = lambda _: None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["ranks"] and run_of(client)["ranks"][0]["phase"] == "running")
    agent = house.agent("hello", 0)
    full[0] = True
    assert agent.put_log(1, 1, "run", 0, b"hello")[0] == 503
    found = client.deployment("hello")
    assert (found["state"], found["blocked"][:11]) == ("blocked", "disk full: ")
    full[0] = False
    until(lambda: client.deployment("hello")["state"] == "running", "it goes on")
    assert client.deployment("hello")["blocked"] is None
    assert agent.put_log(1, 1, "run", 0, b"hello") == (200, 5)


def test_operations_keep_what_the_newest_caller_says(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWRIGHT_CACHE", "/cache/one")
    client = house.open()
    client.launch(order(env={"PULUMI_BACKEND_URL": "s3://state", "PULUMI_CONFIG_PASSPHRASE": "old"}))
    ended(client)
    [first] = house.operations.requests
    assert first.env["SKYWRIGHT_CACHE"] == "/cache/one"
    monkeypatch.setenv("SKYWRIGHT_CACHE", "/cache/two")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "new")
    house.operations.problems = [PASSPHRASE]
    client.down("hello")
    until(lambda: client.deployment("hello")["problem"], "it is refused")
    refused = house.operations.requests[-1]
    assert refused.env == {
        **first.env,
        "SKYWRIGHT_CACHE": "/cache/two",
    }  # of who launched it: that one fitted
    client.down("hello")
    gone(client)
    last = house.operations.requests[-1]
    assert last.env == {**refused.env, "PULUMI_CONFIG_PASSPHRASE": "new"}


def test_a_wrong_passphrase_of_a_refused_change_is_forgotten(house: House) -> None:
    client = house.open()
    client.launch(order(env={"PULUMI_CONFIG_PASSPHRASE": "right"}))
    ended(client)
    house.operations.problems = [PASSPHRASE]
    client.launch(order(nodes=2, env={"PULUMI_CONFIG_PASSPHRASE": "wrong"}))
    ended(client, 2)
    assert house.operations.requests[-1].env["PULUMI_CONFIG_PASSPHRASE"] == "wrong"
    client.down("hello")
    gone(client)
    assert house.operations.requests[-1].env["PULUMI_CONFIG_PASSPHRASE"] == "right"


def test_an_operation_uses_the_cache_of_who_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWRIGHT_CACHE", "/of/controls/start")
    seen: list[dict[str, str]] = []

    class Child:
        pid = os.getpid()

        def __init__(self, *_: Any, env: dict[str, str], **__: Any) -> None:
            seen.append(env)

        def wait(self) -> None: ...

    monkeypatch.setattr("stacks.operate.subprocess.Popen", Child)
    spec = StackSpec.from_data(order()["spec"])
    env = {"SKYWRIGHT_CACHE": "/of/who/types", "PULUMI_CONFIG_PASSPHRASE": "stays in the file"}
    operate.start(operate.Request("one", operate.Kind.UP, spec, env=env), tmp_path / "one")
    assert seen[0]["SKYWRIGHT_CACHE"] == "/of/who/types"
    assert "stays in the file" not in seen[0].values()
