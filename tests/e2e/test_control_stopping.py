"""Nodes that are stopped and started again, and how people reach them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Capability
from compiler.problem import Problems
from skywright.control.client import Client
from tests.e2e.control_fakes import House, order, until


@pytest.fixture
def house(tmp_path: Path, rows: str | None) -> Iterator[House]:
    made = House(tmp_path, rows)
    made.cloud.CAPABILITIES = made.cloud.CAPABILITIES | {Capability.STOP}
    yield made
    made.end()


def state(client: Client) -> str:
    return str(client.deployment("hello")["state"])


def ended(client: Client, number: int = 1) -> dict[str, Any]:
    until(lambda: client.runs("hello")[number - 1]["ended"], f"run {number} ends")
    return client.runs("hello")[number - 1]


def test_the_same_nodes_are_there_again_after_a_stop(house: House) -> None:
    client = house.open()
    client.launch(order(nodes=2, keep=True))
    ended(client)
    before = house.cloud.of("hello")
    client.stop("hello")
    until(lambda: state(client) == "stopped", "it is stopped")
    assert all(facts.stopped for facts in house.cloud.nodes.values())
    assert client.deployment("hello")["hourly"] == 0
    house.clock.ahead += 100_000
    with pytest.raises(Problems, match="is stopped"):
        client.execute("hello", order())
    client.stop("hello")
    assert state(client) == "stopped"
    client.start("hello")
    until(lambda: state(client) == "idle", "it is back")
    assert house.cloud.of("hello") == before
    client.execute("hello", order())
    assert ended(client, 2)["status"] == "SUCCEEDED"
    assert len(house.operations.requests) == 1, "the engine was not asked"


def test_a_run_is_cancelled_by_a_stop_and_a_launch_starts_again(house: House) -> None:
    house.scripts[0] = lambda run: None if run["id"] == 1 else 0
    client = house.open()
    client.launch(order())
    until(lambda: client.runs("hello")[0]["status"] == "RUNNING", "it runs")
    client.stop("hello")
    until(lambda: state(client) == "stopped", "it is stopped")
    assert ended(client)["status"] == "CANCELLED"
    client.launch(order())
    assert ended(client, 2)["status"] == "SUCCEEDED"


@pytest.mark.team
def test_a_restarted_control_goes_on_stopping(house: House) -> None:
    client = house.open()
    client.launch(order(keep=True))
    ended(client)
    client.stop("hello")
    house.close()
    client = house.open()
    until(lambda: state(client) == "stopped", "it is stopped")
    client.down("hello")
    until(lambda: state(client) == "gone", "it is gone")
    assert house.cloud.nodes == {}


def test_stopped_time_is_not_counted_and_autostop_stops(house: House) -> None:
    client = house.open()
    client.launch(order(zones=("free-a", "us-a"), keep=True))
    ended(client)
    assert client.autostop("hello", 60, False) == {"idle_s": 60, "down": False}
    assert client.deployment("hello")["autostop"] == {"idle_s": 60.0, "down": False}
    house.clock.ahead += 61
    until(lambda: state(client) == "stopped", "it is stopped")
    spent = client.deployment("hello")["spent"]
    house.clock.ahead += 36_000
    assert client.deployment("hello")["spent"] == pytest.approx(spent, abs=0.01)


def test_what_cannot_be_stopped_goes_on_or_goes_when_it_was_idle(house: House) -> None:
    house.cloud.unstoppable = True
    client = house.open()
    client.launch(order(keep=True))
    ended(client)
    client.stop("hello")
    until(lambda: client.deployment("hello")["problem"], "it is refused")
    assert (state(client), client.deployment("hello")["problem"]["code"]) == ("idle", "cloud/cannot-stop")
    client.execute("hello", order())
    assert ended(client, 2)["status"] == "SUCCEEDED"
    client.autostop("hello", 60, False)
    house.clock.ahead += 61
    until(lambda: state(client) == "gone", "it is removed instead")


def test_a_cloud_that_cannot_stop_says_so_at_once(house: House) -> None:
    house.cloud.CAPABILITIES = frozenset({Capability.SPOT})
    client = house.open()
    client.launch(order(keep=True))
    ended(client)
    for verb in (client.stop, client.start):
        with pytest.raises(Problems) as refused:
            verb("hello")
        assert refused.value.problems[0].code == "cloud/cannot-stop"
    assert state(client) == "idle"


def test_a_node_that_is_lost_while_it_rests_is_made_again(house: House) -> None:
    client = house.open()
    client.launch(order(nodes=2, keep=True))
    ended(client)
    client.stop("hello")
    until(lambda: state(client) == "stopped", "it is stopped")
    house.cloud.nodes.pop(house.cloud.of("hello")[1])
    client.start("hello")
    until(lambda: len([one for one in client.deployment("hello")["nodes"] if one["state"] == "live"]) == 1)
    house.clock.ahead += 31
    until(lambda: state(client) == "idle", "it is whole again")
    assert len(house.operations.requests) == 2


def test_nodes_are_reached_as_their_cloud_says(house: House) -> None:
    client = house.open()
    client.launch(order(nodes=2, zones=("us-a",), keep=True))
    ended(client)
    [row] = client.access("hello", [1])
    node = house.cloud.of("hello")[1]
    assert row == {
        "rank": 1,
        "node": node,
        "address": "127.0.0.3",
        "access": {
            "shell": ["shell", node, "us"],
            "forward": ["forward", node, "{port}", "{local}"],
            "proxy": f"proxy {node}",
            "user": "me",
        },
    }
    assert [one["rank"] for one in client.access("hello")] == [0, 1]
    with pytest.raises(Problems, match="no node of rank 7"):
        client.access("hello", [7])


def test_a_released_deployment_is_forgotten_and_all_of_it_stays(house: House) -> None:
    house.scripts[0] = lambda run: None
    client = house.open()
    client.launch(order(nodes=2, keep=True))
    until(lambda: client.runs("hello")[0]["status"] == "RUNNING", "it runs")
    with pytest.raises(Problems, match="run 1 of `hello` has not ended") as caught:
        client.release("hello")
    assert caught.value.problems[0].code == "lock/busy"
    client.cancel("hello", None)
    ended(client)
    before = house.cloud.of("hello")
    client.release("hello")
    assert [one["name"] for one in client.deployments()] == []
    assert house.cloud.of("hello") == before, "nothing was touched"
    assert client.orphans()["orphans"] == [], "what is somebody else's is nobody's orphan"
    assert [one.kind.value for one in house.operations.requests] == ["up"]
    house.close()
    client = house.open()
    assert house.cloud.of("hello") == before
