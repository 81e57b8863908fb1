"""No room: the approved places one after the other, partly made gangs removed, every try told; moves after losses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problem
from skywright.control.client import Client
from stacks.operate import Kind
from tests.e2e.control_fakes import House, order, until

ZONES = ("us-a", "us-b", "eu-a", "ap-a")


@pytest.fixture
def house(tmp_path: Path, rows: str | None) -> Iterator[House]:
    made = House(tmp_path, rows)
    yield made
    made.end()


def runs(client: Client, name: str = "hello") -> bool:
    """Does every rank run, and has said so?"""
    return all(rank["phase"] == "running" for rank in client.runs(name)[0]["ranks"] or [{"phase": None}])


def ended(client: Client) -> dict[str, Any]:
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    return client.runs("hello")[0]


def asked(house: House) -> list[str]:
    """What the engine was asked for: `up us-a`."""
    return [f"{one.kind.value} {one.spec.to_data().get('zone')}" for one in house.operations.requests]


def told(client: Client, kind: str) -> list[str]:
    return [event["text"] for event in client.follow("hello", 0, 0)["events"] if event["kind"] == kind]


@pytest.mark.fault("no capacity")
def test_three_places_refuse_and_the_fourth_has_room(house: House) -> None:
    house.operations.full = {"us-a": 2, "us-b": 0, "eu-a": 1}
    client = house.open()
    client.launch(order(nodes=3, zones=ZONES))
    assert ended(client)["status"] == "SUCCEEDED"
    assert asked(house) == [
        *("up us-a", "destroy us-a"),
        "up us-b",
        *("up eu-a", "destroy eu-a"),
        "up ap-a",
    ]
    found = client.deployment("hello")
    assert (found["where"], found["state"], found["problem"], found["blocked"]) == (
        "local ap-a",
        "idle",
        None,
        None,
    )
    assert [(one["where"], one["reason"]) for one in found["tries"]] == [
        (f"local {zone}", f"there is no room in {zone}") for zone in ZONES[:3]
    ]
    assert {facts.region for facts in house.cloud.nodes.values()} == {"ap"}
    assert len(house.cloud.nodes) == 3
    assert [text for text in told(client, "try") if "refused: there is no room" in text] == [
        f"local {zone} spot refused: there is no room in {zone}" for zone in ZONES[:3]
    ]
    client.down("hello")
    until(lambda: client.deployment("hello")["state"] == "gone", "it is gone")
    assert house.cloud.nodes == {}


@pytest.mark.fault("no capacity")
def test_outside_of_the_envelope_it_stops_and_says_what_it_needs(house: House) -> None:
    house.operations.full = {"us-a": 1, "eu-a": 1}
    beyond = {"count": 7, "where": "local ap-a", "market": "spot", "hourly": 12.5, "infra": "local/ap/ap-a"}
    client = house.open()
    client.launch(order(nodes=2, zones=("us-a", "eu-a"), envelope={"beyond": beyond}))
    assert ended(client)["status"] == "CANCELLED"
    problem = client.deployment("hello")["problem"]
    assert problem["code"] == "policy/outside-envelope"
    assert Problem.of(problem).exit == 6
    assert (
        "local us-a spot: there is no room in us-a; local eu-a spot: there is no room" in problem["message"]
    )
    assert "--infra local/ap/ap-a" in problem["hint"]
    assert "$12.50/h" in problem["hint"]
    assert problem["left_behind"] == "nothing"
    assert house.cloud.nodes == {}
    house.operations.full = {}
    client.launch(order(nodes=2, zones=("ap-a",)))
    until(lambda: client.runs("hello")[1]["ended"], "the second run ends")
    assert client.deployment("hello")["where"] == "local ap-a"


def test_quota_is_said_as_such(house: House) -> None:
    house.operations.problems = [Problem("cloud/quota", "vCPU limit exceeded")] * 2
    house.operations.failure = "quota"
    client = house.open()
    client.launch(order(zones=("us-a", "eu-a")))
    ended(client)
    assert client.deployment("hello")["problem"]["code"] == "cloud/quota"


def test_other_failures_are_not_tried_elsewhere(house: House) -> None:
    house.operations.problems = [Problem("engine/resource-failed", "the image does not exist")]
    client = house.open()
    client.launch(order(zones=ZONES))
    assert ended(client)["status"] == "CANCELLED"
    assert asked(house) == ["up us-a"]


def test_retry_until_up_goes_round(house: House) -> None:
    house.operations.full = {"us-a": 0, "eu-a": 1}
    client = house.open()
    client.launch(order(nodes=2, zones=("us-a", "eu-a"), retry_until_up=True))
    until(lambda: client.deployment("hello")["state"] == "blocked", "it pauses")
    assert asked(house) == ["up us-a", "up eu-a", "destroy eu-a"]
    assert house.cloud.nodes == {}
    del house.operations.full["us-a"]
    house.clock.ahead += 61
    assert ended(client)["status"] == "SUCCEEDED"
    assert asked(house)[3:] == ["up us-a"]


@pytest.mark.fault("no capacity")
@pytest.mark.team
def test_a_gang_moves_to_another_region_when_its_own_has_nothing_left(house: House) -> None:
    attempts: list[tuple[str, int]] = []

    def script(run: dict[str, Any]) -> int | None:
        attempts.append((run["cluster_info"]["zone"], run["attempt"]))
        return 0 if run["cluster_info"]["zone"] == "eu-a" else None

    house.scripts = {0: script, 1: script}
    client = house.open()
    client.launch(order(nodes=2, zones=("us-a", "eu-a")))
    until(lambda: runs(client), "it runs")
    old = house.agent("hello", 0)
    house.operations.full = {"us-a": 0}
    client.chaos("hello", "kill", 1)
    house.clock.ahead += 31
    assert ended(client)["status"] == "SUCCEEDED"
    until(lambda: asked(house)[-1] == "destroy us-a", "the first stack is destroyed")
    assert asked(house) == ["up us-a", "up us-a", "up eu-a", "destroy us-a"]
    until(lambda: len(house.cloud.nodes) == 2, "its nodes are gone")
    assert {facts.region for facts in house.cloud.nodes.values()} == {"eu"}
    assert client.deployment("hello")["where"] == "local eu-a"
    assert old.fenced or old.dead
    assert told(client, "moved") == ["hello moved from local us-a to local eu-a"]
    assert {attempt for zone, attempt in attempts if zone == "eu-a"} == {2}
    assert all(zone == "us-a" for zone, attempt in attempts if attempt == 1)
    until(lambda: client.deployment("hello")["leaving"] is None, "nothing is leaving")
    client.down("hello")
    until(lambda: client.deployment("hello")["state"] == "gone", "it is gone")
    assert house.cloud.nodes == {}


def test_a_single_node_that_is_lost_goes_where_there_is_room(house: House) -> None:
    house.scripts[0] = lambda run: 0 if run["cluster_info"]["zone"] == "us-b" else None
    client = house.open()
    client.launch(order(zones=("us-a", "eu-a", "us-b")))
    until(lambda: runs(client), "it runs")
    house.operations.full = {"us-a": 0, "eu-a": 0}
    client.chaos("hello", "kill", 0)
    house.clock.ahead += 31
    assert ended(client)["status"] == "SUCCEEDED"
    assert [one for one in asked(house) if one.startswith("up")] == [
        "up us-a",
        "up us-a",
        "up eu-a",
        "up us-b",
    ]
    assert [facts.region for facts in house.cloud.nodes.values()] == ["us"]


@pytest.mark.fault("no capacity")
def test_nodes_without_a_run_wait_for_room_where_they_are(house: House) -> None:
    client = house.open()
    client.launch(order(zones=("us-a", "eu-a"), keep=True))
    ended(client)
    house.operations.full = {"us-a": 0}
    client.chaos("hello", "kill", 0)
    house.clock.ahead += 31
    until(lambda: client.deployment("hello")["state"] == "blocked", "it pauses")
    house.operations.full = {}
    house.clock.ahead += 61
    until(lambda: client.deployment("hello")["state"] == "idle", "it is back")
    assert client.deployment("hello")["where"] == "local us-a"
    assert not any(one.endswith("eu-a") for one in asked(house))


@pytest.mark.fault("no capacity")
def test_down_in_the_middle_leaves_nothing_in_either_place(house: House) -> None:
    house.scripts = {rank: (lambda _: None) for rank in range(2)}
    client = house.open()
    client.launch(order(nodes=2, zones=("us-a", "eu-a")))
    until(lambda: runs(client), "it runs")
    house.operations.full = {"us-a": 0}
    client.chaos("hello", "kill", 1)
    house.clock.ahead += 31
    until(lambda: client.deployment("hello")["moving_to"], "it moves")
    house.operations.held.clear()
    client.down("hello")
    house.clock.ahead += 60
    house.operations.held.set()
    until(lambda: client.deployment("hello")["state"] == "gone", "it is gone")
    assert house.cloud.nodes == {}
    kinds = {(one.kind, one.spec.stack) for one in house.operations.requests}
    assert {(Kind.DESTROY, "hello-local-us"), (Kind.DESTROY, "hello-local-eu")} <= kinds


def test_what_each_place_cost_is_added_up(house: House) -> None:
    house.scripts[0] = lambda run: 0 if run["cluster_info"]["zone"] == "eu-a" else None
    client = house.open()
    client.launch(order(zones=("free-a", "eu-a"), keep=True))
    until(lambda: runs(client), "it runs")
    house.clock.ahead += 3600
    house.operations.full = {"free-a": 0}
    client.chaos("hello", "kill", 0)
    house.clock.ahead += 31
    ended(client)
    house.clock.ahead += 3600
    assert client.deployment("hello")["spent"] == pytest.approx(1.0, abs=0.1)
