"""Control and a bucket: stores that do not answer, words of nodes that are gone, what readers change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skywright.control import mailroom
from skywright.control.client import Client
from skywright.control.pace import IDLE, RUNNING, WATCHED
from stacks.objects import Unavailable
from tests.e2e.bucket_fakes import FAST, Bucket, over_bucket
from tests.e2e.control_fakes import House, order, until


@pytest.fixture
def house(tmp_path: Path, rows: str | None) -> Iterator[House]:
    made = House(tmp_path, rows)
    made.scripts = {rank: (lambda _: None) for rank in range(4)}
    yield made
    made.end()


@pytest.fixture
def bucket(house: House, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return over_bucket(house, monkeypatch)


def running(house: House, nodes: int = 1) -> Client:
    client = house.open()
    client.launch(order(nodes=nodes))
    until(lambda: client.runs("hello") and client.runs("hello")[0]["status"] == "RUNNING")
    until(lambda: all(rank["phase"] == "running" for rank in client.runs("hello")[0]["ranks"]))
    return client


def texts(client: Client) -> list[str]:
    return [event["text"] for event in client.follow("hello", 0, 0)["events"]]


def log(client: Client) -> bytes:
    found, cursor = b"", None
    while True:
        chunks, cursor, _ = client.logs("hello", 1, cursor, 0)
        found += b"".join(chunk.data for chunk in chunks)
        if not chunks:
            return found


def document(bucket: Bucket, node: str) -> dict[str, Any]:
    return dict(json.loads(bucket.held[f"down/{node}/desired"][0]))


@pytest.mark.parametrize("credentials", [False, True])
def test_a_store_that_does_not_answer_is_told_once_and_waited_for(
    house: House, bucket: Bucket, credentials: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailroom, "PAUSES_S", (0.05,))
    client = running(house)
    real = bucket.get

    def refusing(key: str, mark: str = "") -> Any:
        if key.endswith("/beat"):
            raise Unavailable("the token has expired", credentials)
        return real(key, mark)

    bucket.get = refusing  # type: ignore[method-assign]
    until(lambda: [text for text in texts(client) if "cannot be used: the token has expired" in text])
    blocked = client.deployments()[0]["blocked"]
    assert ("credentials" in (blocked or "")) is credentials
    house.agent("hello", 0).finish(0)
    bucket.get = real  # type: ignore[method-assign]
    until(lambda: client.runs("hello")[0]["ended"])
    assert client.runs("hello")[0]["status"] == "SUCCEEDED"
    assert len([text for text in texts(client) if "cannot be used" in text]) == 1
    assert client.deployments()[0]["blocked"] is None


def test_the_last_words_of_a_lost_node_are_read(house: House, bucket: Bucket) -> None:
    client = running(house, nodes=2)
    agent = house.agent("hello", 1)
    agent.put_log(1, 1, "run", 0, b"first\n")
    until(lambda: b"first\n" in log(client))
    agent.fall_silent()
    # It came to the store before the node was taken away; nobody told that there is more.
    bucket.put(f"up/{agent.node}/logs/1.1.run/{6:015d}", b"last\n")
    client.chaos("hello", "kill", 1, None)
    house.clock.ahead += 31
    until(lambda: house.cloud.of("hello").get(1) not in (None, agent.node))
    until(lambda: document(bucket, agent.node)["stop"])
    assert b"first\nlast\n" in log(client)


def test_a_replaced_node_is_told_to_stop_also_by_a_control_that_was_killed(
    house: House, bucket: Bucket
) -> None:
    client = running(house, nodes=2)
    agent = house.agent("hello", 1)
    gone = agent.node
    agent.fall_silent()
    agent.put_log(1, 1, "run", 0, b"the last sign of life\n")
    until(lambda: b"sign" in log(client))
    client.chaos("hello", "kill", 1, None)
    house.clock.ahead += 31
    until(lambda: document(bucket, gone)["stop"])
    house.close()
    bucket.put(f"down/{gone}/desired", json.dumps({**document(bucket, gone), "stop": None}).encode())
    house.open()
    until(lambda: document(bucket, gone)["stop"])


def test_somebody_who_reads_makes_nodes_talk_sooner(
    house: House, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Control looks often in any case: what nodes are told is what this is about.
    for name, pace in (("IDLE", IDLE), ("RUNNING", RUNNING), ("WATCHED", WATCHED)):
        told = type(pace)(pace.beat_s, pace.poll_s, pace.segment_s, FAST.look_s)
        monkeypatch.setattr(mailroom, name, told)
    client = house.open()
    client.launch(order())
    until(lambda: client.runs("hello") and client.runs("hello")[0]["status"] == "RUNNING")
    node = house.agent("hello", 0).node
    house.clock.ahead += 60  # nobody has read for a minute
    until(lambda: document(bucket, node)["every"] == RUNNING.every())
    client.logs("hello", 1, None, 0)
    until(lambda: document(bucket, node)["every"] == WATCHED.every())
    house.agent("hello", 0).finish(0)
    house.clock.ahead += 60
    until(lambda: document(bucket, node)["every"] == IDLE.every())
