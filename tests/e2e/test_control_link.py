"""The link's server side against agents that repeat, reorder, overlap, lie and are too late; who may call what."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problems
from skywright.control.client import Client
from skywright.control.logbook import Logbook
from skywright.control.store import Store
from tests.e2e.control_fakes import FakeAgent, Fenced, House, order, until


@pytest.fixture
def house(tmp_path: Path, rows: str | None) -> Iterator[House]:
    made = House(tmp_path, rows)
    made.scripts = {rank: (lambda _: None) for rank in range(4)}
    yield made
    made.end()


@pytest.fixture
def client(house: House) -> Client:
    return house.open()


def running(house: House, client: Client, nodes: int = 1, name: str = "hello", **more: Any) -> FakeAgent:
    """Launch a task that runs until told; returns rank 0's agent."""
    client.launch(order(name, nodes=nodes, **more))
    until(lambda: client.runs(name)[0]["status"] == "RUNNING")
    until(lambda: all(rank["phase"] == "running" for rank in client.runs(name)[0]["ranks"]))
    return house.agent(name, 0)


def sync(agent: FakeAgent, **body: Any) -> tuple[int, dict[str, Any]]:
    said = {"version": 0, "events": [], "observed": {}, "hold_s": 0, **body}
    status, content = agent.call("POST", f"/v1/nodes/{agent.node}/sync", json.dumps(said).encode())
    return status, json.loads(content)


def log(client: Client, name: str = "hello") -> bytes:
    found, cursor = b"", None
    while True:
        chunks, cursor, _ = client.logs(name, None, cursor, 0)
        found += b"".join(chunk.data for chunk in chunks)
        if not chunks:
            return found


def test_nobody_without_a_token(house: House, client: Client) -> None:
    agent = running(house, client)
    for method, path in [
        ("GET", "/v1/health"),
        ("GET", "/v1/deployments"),
        ("POST", "/v1/deployments"),
        ("POST", "/v1/deployments/hello/down"),
        ("POST", "/v1/stop"),
        ("POST", "/v1/orphans"),
        ("PUT", "/v1/blobs/" + "0" * 64),
        ("GET", "/v1/blobs/" + "0" * 64),
        ("POST", f"/v1/nodes/{agent.node}/sync"),
        ("PUT", f"/v1/nodes/{agent.node}/logs/1/1/run?offset=0"),
    ]:
        assert agent.call(method, path, b"{}", token="")[0] == 401, path
        assert agent.call(method, path, b"{}", token="guess")[0] == 401, path


def test_a_node_is_no_person_and_a_person_no_node(house: House, client: Client) -> None:
    agent = running(house, client)
    assert agent.call("GET", "/v1/deployments", b"")[0] == 401
    assert agent.call("POST", "/v1/deployments/hello/down", b"{}")[0] == 401
    user = (house.home / "control" / "token").read_text()
    assert agent.call("POST", f"/v1/nodes/{agent.node}/sync", b"{}", token=user)[0] == 401


def test_a_node_touches_nothing_of_another(house: House, client: Client) -> None:
    archive = house.home / "archive"
    archive.write_bytes(b"mine")
    digest = hashlib.sha256(b"mine").hexdigest()
    client.put_blob(digest, archive)
    first = running(house, client, nodes=2, files=[{"digest": digest, "target": "~/x", "kind": "dir"}])
    second = house.agent("hello", 1)
    stranger = running(house, client, name="other")
    assert first.call("GET", f"/v1/blobs/{digest}", b"") == (200, b"mine")
    assert stranger.call("GET", f"/v1/blobs/{digest}", b"")[0] == 404
    for path in (f"/v1/nodes/{second.node}/logs/1/1/run?offset=0", f"/v1/nodes/{second.node}/sync"):
        method = "PUT" if "logs" in path else "POST"
        assert first.call(method, path, b"{}")[0] == 401
        assert stranger.call(method, path, b"{}")[0] == 401
    assert log(client) == b""


def test_joining_needs_the_proof(house: House, client: Client) -> None:
    agent = running(house, client)
    path = f"/v1/nodes/{agent.node}/join"
    assert agent.call("POST", path, json.dumps({"proof": "other"}).encode())[0] == 403
    assert agent.call("POST", path, b"no json")[0] == 400
    assert agent.call("POST", "/v1/nodes/nobody/join", json.dumps({"proof": "x"}).encode())[0] == 403
    # Joining again (the agent restarted) gives a new token and ends the old one.
    old = agent.token
    status, content = agent.call(
        "POST", path, json.dumps({"proof": f"proof of {agent.node}", "boot_id": "b"}).encode()
    )
    assert status == 200
    assert agent.call("POST", f"/v1/nodes/{agent.node}/sync", b"{}", token=old)[0] == 401
    agent.token = json.loads(content)["token"]
    assert sync(agent)[0] == 200


@pytest.mark.fault("partition")
@pytest.mark.team
def test_a_fenced_node_is_told_to_stop_for_ever(house: House, client: Client) -> None:
    agent = running(house, client)
    agent.fall_silent()
    gone, token = agent.node, agent.token
    client.chaos("hello", "kill", 0, None)
    house.clock.ahead += 31
    until(lambda: house.cloud.of("hello").get(0) not in (None, gone))
    for method, path in [
        ("POST", f"/v1/nodes/{gone}/sync"),
        ("POST", f"/v1/nodes/{gone}/join"),
        ("PUT", f"/v1/nodes/{gone}/logs/1/1/run?offset=0"),
    ]:
        with pytest.raises(Fenced):
            agent.call(method, path, b"{}", token=token)


@pytest.mark.fault("repeated and reordered messages")
@pytest.mark.team
def test_events_count_once_however_often_they_are_said(house: House, client: Client) -> None:
    agent = running(house, client)
    before = client.follow("hello", 0, 0)["next"]
    for _ in range(3):
        status, answer = sync(agent, events=agent.said)
        assert (status, answer["acked"]) == (200, len(agent.said))
    # Late and out of order: a hole is not jumped over.
    late = [{"seq": agent.seq + 3, "at": 1, "kind": "boot", "boot_id": "b", "reboot": False}]
    assert sync(agent, events=late)[1]["acked"] == agent.seq
    assert sync(agent, events=late[::-1] + agent.said[::-1])[1]["acked"] == agent.seq
    assert client.follow("hello", 0, 0)["next"] == before
    assert client.runs("hello")[0]["status"] == "RUNNING"


@pytest.mark.fault("repeated and reordered messages")
def test_what_an_old_attempt_says_changes_nothing(house: House, client: Client) -> None:
    agent = running(house, client)
    agent.seq += 1
    stale = {
        "seq": agent.seq,
        "at": 1,
        "kind": "phase",
        "run": 1,
        "attempt": 7,
        "phase": "failed",
        "exit_code": 1,
    }
    assert sync(agent, events=[stale])[1]["acked"] == agent.seq
    agent.seq += 1
    backwards = {"seq": agent.seq, "at": 1, "kind": "phase", "run": 1, "attempt": 1, "phase": "setup"}
    assert sync(agent, events=[backwards])[1]["acked"] == agent.seq
    run = client.runs("hello")[0]
    assert (run["status"], run["ranks"][0]["phase"]) == ("RUNNING", "running")


@pytest.mark.fault("refused calls")
def test_nonsense_is_refused_and_breaks_nothing(house: House, client: Client) -> None:
    agent = running(house, client)
    for nonsense in (
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"events": 3}',
        b'{"events": [{"kind": "phase", "seq": 1, "phase": "odd"}]}',
        b'{"events": [{"seq": "x", "kind": "boot"}]}',
        b'{"version": "x"}',
    ):
        assert agent.call("POST", f"/v1/nodes/{agent.node}/sync", nonsense)[0] in (200, 400)
    assert agent.call("POST", f"/v1/nodes/{agent.node}/sync", b"x" * (5 * 2**20))[0] in (400, 413)
    assert client.runs("hello")[0]["status"] == "RUNNING"


@pytest.mark.fault("repeated and reordered messages")
@pytest.mark.team
def test_log_bytes_arrive_once_whatever_the_order(house: House, client: Client) -> None:
    agent = running(house, client)
    chance = random.Random(7)
    content = bytes(chance.randrange(256) for _ in range(300_000))
    known = 0
    while known < len(content):
        offset = max(0, known + chance.randint(-5000, 3000))
        status, following = agent.put_log(
            1, 1, "run", offset, content[offset : offset + chance.randint(1, 20_000)]
        )
        assert status == (409 if offset > known else 200)
        assert following >= known
        known = following
    assert log(client) == content


@pytest.mark.fault("repeated and reordered messages")
def test_two_uploads_of_the_same_bytes_at_once(house: House, client: Client) -> None:
    agent = running(house, client)
    content = b"".join(b"%06d\n" % number for number in range(20_000))

    def ship() -> None:
        known = 0
        while known < len(content):
            _, known = agent.put_log(1, 1, "run", known, content[known : known + 7_000])

    shippers = [threading.Thread(target=ship) for _ in range(3)]
    for shipper in shippers:
        shipper.start()
    for shipper in shippers:
        shipper.join()
    assert log(client) == content


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("1/1/run?offset=-1", 1, 400),
        ("1/1/run", 1, 400),
        ("1/1/other?offset=0", 1, 404),
        ("1/2/run?offset=0", 1, 404),
        ("9/1/run?offset=0", 1, 404),
        ("1/1/..%2Frun?offset=0", 1, 404),
        ("1/1/run?offset=0", 2**20 + 1, 413),
    ],
)
def test_logs_that_are_not_the_nodes_own(
    house: House, client: Client, path: str, size: int, status: int
) -> None:
    agent = running(house, client)
    try:
        assert agent.call("PUT", f"/v1/nodes/{agent.node}/logs/{path}", b"x" * size)[0] == status
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413
    assert log(client) == b""


def test_archives_are_checked_and_asked_for_once(house: House, client: Client) -> None:
    archive = house.home / "archive"
    archive.write_bytes(b"x" * 3_000_000)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert client.missing([digest]) == [digest]
    wanted = order(files=[{"digest": digest, "target": "~/sky_workdir", "kind": "dir"}])
    with pytest.raises(Problems, match="control/blob-missing"):
        client.launch(wanted)
    with pytest.raises(Problems, match="control/blob-damaged"):
        client.put_blob("0" * 64, archive)
    with pytest.raises(Problems, match="not a SHA-256"):
        client.missing(["../../token"])
    client.put_blob(digest, archive)
    assert client.missing([digest]) == []
    assert sorted(path.name for path in (house.home / "control" / "blobs").iterdir()) == [digest]
    client.launch(wanted)
    until(lambda: client.runs("hello")[0]["status"] == "RUNNING")
    assert house.agent("hello", 0).call("GET", f"/v1/blobs/{digest}", b"")[1] == archive.read_bytes()


@pytest.mark.file_rows
def test_secrets_reach_the_node_and_no_file(house: House, client: Client) -> None:
    canary = "canary-8f3a1c"
    passphrase = "open-sesame-77"
    agent = running(house, client, secrets={"TOKEN": canary}, env={"PULUMI_CONFIG_PASSPHRASE": passphrase})
    assert agent.desired is not None
    assert agent.desired["run"]["secrets"] == {"TOKEN": canary}
    assert house.operations.requests[0].env["PULUMI_CONFIG_PASSPHRASE"] == passphrase

    def searched() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in house.home.rglob("*") if path.is_file()}

    assert any(path.endswith("-wal") for path in searched())
    for path, content in searched().items():
        assert canary.encode() not in content, path
        assert passphrase.encode() not in content, path
    assert canary not in json.dumps(
        [client.follow("hello", 0, 0), client.deployments(), client.runs("hello")]
    )
    assert (house.home / "control" / "secrets.key").stat().st_mode & 0o777 == 0o600
    # Restarted control can still read them; an agent that restarted gets them again.
    house.close()
    house.open()
    until(lambda: sync(agent)[0] in (200, 401))
    agent.finish(0)
    until(lambda: client.runs("hello")[0]["ended"])
    store = sqlite3.connect(house.home / "control" / "control.db")
    scopes = [row[0] for row in store.execute("SELECT scope FROM secrets")]
    store.close()
    assert [scope for scope in scopes if scope.startswith("run:")] == []


@pytest.mark.fault("disk full")
def test_a_full_disk_is_told_and_passes(
    house: House, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = running(house, client)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Logbook, "append", full)
        assert agent.put_log(1, 1, "run", 0, b"hello")[0] == 503
        patched.setattr(Store, "add", lambda *_: full())
        with pytest.raises(Problems, match="no space left") as told:
            client.execute("hello", order())
        assert told.value.problems[0].code == "machine/disk-full"
    assert agent.put_log(1, 1, "run", 0, b"hello") == (200, 5)
    assert client.execute("hello", order()) == {"run": 2}


@pytest.mark.fault("repeated and reordered messages")
@pytest.mark.team
def test_a_lost_answer_is_asked_for_again(house: House, client: Client) -> None:
    agent = running(house, client)
    status, first = sync(agent, version=0)
    assert first["desired"]["run"]["id"] == 1
    assert sync(agent, version=0)[1]["desired"] == first["desired"]
    status, again = sync(agent, version=first["version"])
    assert (status, again["desired"], again["version"]) == (200, None, first["version"])


@pytest.mark.team
def test_two_people_follow_one_run(house: House, client: Client) -> None:
    agent = running(house, client)
    other = Client.connect(house.home, start=False)
    found: dict[int, list[bytes]] = {0: [], 1: []}

    def read(number: int, who: Client) -> None:
        cursor, over = None, False
        while not over:
            chunks, cursor, over = who.logs("hello", 1, cursor, 5)
            found[number] += [chunk.data for chunk in chunks]

    readers = [threading.Thread(target=read, args=(n, who)) for n, who in enumerate((client, other))]
    for reader in readers:
        reader.start()
    agent.put_log(1, 1, "run", 0, b"rank 0 a")
    agent.finish(0)
    for reader in readers:
        reader.join()
    assert b"".join(found[0]) == b"".join(found[1]) == b"rank 0 attempt 1 ends 0\n"[: len(b"".join(found[0]))]


def test_a_held_call_is_answered_at_once_when_control_ends(house: House, client: Client) -> None:
    running(house, client)
    done = threading.Event()

    def wait() -> None:
        with contextlib.suppress(Problems):  # it may call once more and find nobody
            client.follow("hello", 9999, 30)
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    house.close()
    assert done.wait(10)
