"""A living deployment goes to another place and back; where a step fails it stays and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problem, Problems
from skywright.control import moving
from skywright.control.client import Client
from stacks import checkpoints
from tests.e2e.control_fakes import House, order, until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.end()


def started(house: House, **more: Any) -> tuple[Client, list[tuple[str, int]]]:
    """A gang of two that runs in `us-a`; where and at which attempt each of its tasks began."""
    attempts: list[tuple[str, int]] = []
    house.scripts = {
        rank: lambda run: attempts.append((run["cluster_info"]["zone"], run["attempt"])) for rank in range(2)
    }
    client = house.open()
    client.launch(order(nodes=2, zones=("us-a", "eu-a"), checkpoint="/c", **more))
    until(lambda: runs(client, 1), "it runs")
    return client, attempts


def runs(client: Client, attempt: int) -> bool:
    [run] = client.runs("hello")
    return run["attempt"] == attempt and all(rank["phase"] == "running" for rank in run["ranks"])


def asked(house: House) -> list[str]:
    return [f"{one.kind.value} {one.spec.to_data().get('zone')}" for one in house.operations.requests]


def told(client: Client, kind: str) -> list[str]:
    return [event["text"] for event in client.follow("hello", 0, 0)["events"] if event["kind"] == kind]


def kept(house: House, zone: str) -> Path:
    folder = house.home / "local" / "kept" / "proj" / f"hello@{zone}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def placed(client: Client) -> dict[str, Any]:
    """The deployment once nothing of a move is left."""

    def still() -> dict[str, Any] | None:
        found = client.deployment("hello")
        return None if found["moving_to"] or found["leaving"] else found

    found: dict[str, Any] = until(still, "it has moved")
    return found


def test_it_moves_with_its_checkpoint_and_back(house: House) -> None:
    client, attempts = started(house)
    (kept(house, "us") / "step").write_text("41")
    (kept(house, "eu") / "step").write_text("of an earlier stay")
    (kept(house, "eu") / "stale").write_text("")
    old = house.agent("hello", 0)
    said = client.move("hello", None, {})
    assert (said["from"], said["where"]) == ("local us-a", "local eu-a")
    until(lambda: runs(client, 2), "it runs in the other place")
    assert placed(client)["where"] == "local eu-a"
    assert asked(house) == ["up us-a", "up eu-a", "destroy us-a"]
    assert sorted(attempts) == [("eu-a", 2)] * 2 + [("us-a", 1)] * 2
    assert [path.name for path in kept(house, "eu").iterdir()] == ["step"]
    assert (kept(house, "eu") / "step").read_text() == "41"
    assert old.fenced or old.dead
    stops = [one["run"] for one in old.seen if one["run"] and one["run"]["cancel"]]
    assert stops[0]["grace_s"] == 120
    [run] = client.runs("hello")
    assert (run["preemptions"], run["status"]) == (0, "RUNNING")
    assert told(client, "moved") == ["hello moved from local us-a to local eu-a"]
    [copied] = [text for text in told(client, "step") if "on both sides" in text]
    assert copied.startswith("the checkpoint is in local eu-a: 1 file, 2 B, sha256 ")
    (kept(house, "eu") / "step").write_text("58")
    client.move("hello", None, {})
    until(lambda: runs(client, 3), "it is back")
    assert placed(client)["where"] == "local us-a"
    assert (kept(house, "us") / "step").read_text() == "58"
    client.down("hello")
    until(lambda: client.deployment("hello")["state"] == "gone", "it is gone")
    assert house.cloud.nodes == {}


def test_no_room_there_leaves_it_running(house: House) -> None:
    client, attempts = started(house)
    house.operations.full = {"eu-a": 1}
    client.move("hello", None, {})
    found = placed(client)
    assert (found["where"], found["state"], len(attempts)) == ("local us-a", "running", 2)
    assert "hello stays in local us-a: there is no room in eu-a" in told(client, "problem")
    assert found["problem"]["message"] == "there is no room in eu-a"
    until(lambda: len(house.cloud.nodes) == 2, "the half made gang is gone")
    assert asked(house) == ["up us-a", "up eu-a", "destroy eu-a"]
    house.operations.full = {}
    client.move("hello", None, {})
    until(lambda: runs(client, 2), "the second time it moves")


def test_any_failure_there_leaves_it_running(house: House) -> None:
    client, attempts = started(house)
    house.operations.problems = [Problem("cloud/credentials", "the token has expired")]
    client.move("hello", None, {})
    found = placed(client)
    assert (found["where"], found["state"], len(attempts)) == ("local us-a", "running", 2)
    assert runs(client, 1)


def test_nodes_that_do_not_come_up_are_given_up(house: House) -> None:
    client, attempts = started(house)
    make = house.operations._agent
    house.operations._agent = lambda node, rank: _mute(make(node, rank))
    client.move("hello", None, {})
    until(lambda: client.deployment("hello")["moving"] == "boot", "they are waited for")
    assert runs(client, 1)
    house.clock.ahead += 601
    found = placed(client)
    assert (found["where"], len(attempts)) == ("local us-a", 2)
    assert found["problem"]["code"] == "control/nodes-not-ready"
    assert runs(client, 1)


def _mute(agent: Any) -> Any:
    agent.quiet = True
    return agent


def test_a_checkpoint_that_does_not_come_over_keeps_it_where_it_was(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, attempts = started(house)
    (kept(house, "us") / "step").write_text("41")
    monkeypatch.setattr(moving, "PAUSE_S", 0.0)
    tries = []

    def carry(*places: Any) -> None:
        tries.append(places)
        raise Problems(checkpoints.damaged("a part reads differently"))

    monkeypatch.setattr(checkpoints, "carry", carry)
    client.move("hello", None, {})
    until(lambda: runs(client, 2), "it goes on")
    found = placed(client)
    assert (found["where"], len(tries)) == ("local us-a", 3)
    assert found["problem"]["code"] == "control/checkpoint-damaged"
    assert {zone for zone, _ in attempts} == {"us-a"}
    assert asked(house) == ["up us-a", "up eu-a", "destroy eu-a"]


def test_a_task_that_does_not_save_is_not_waited_for_for_ever(house: House) -> None:
    client, _ = started(house)
    house.agent("hello", 0).fall_silent()
    client.move("hello", None, {})
    until(lambda: client.deployment("hello")["moving"] == "save", "it is told to save")
    until(lambda: not runs(client, 1), "the other rank has saved")
    house.clock.ahead += 200
    until(lambda: runs(client, 2), "it runs in the other place")
    assert placed(client)["where"] == "local eu-a"


def test_a_region_that_has_nothing_left_hands_its_checkpoint_on(house: House) -> None:
    client, _ = started(house)
    (kept(house, "us") / "step").write_text("41")
    house.operations.full = {"us-a": 0}
    client.chaos("hello", "kill", 0)
    client.chaos("hello", "kill", 1)
    house.clock.ahead += 31
    until(lambda: runs(client, 2), "it runs in the other place")
    assert placed(client)["where"] == "local eu-a"
    assert (kept(house, "eu") / "step").read_text() == "41"


def test_down_in_the_middle_leaves_nothing_in_either_place(house: House) -> None:
    client, _ = started(house)
    make = house.operations._agent
    house.operations._agent = lambda node, rank: _mute(make(node, rank))
    client.move("hello", None, {})
    until(lambda: client.deployment("hello")["moving"] == "boot", "they are waited for")
    client.down("hello")
    house.clock.ahead += 60
    until(lambda: client.deployment("hello")["state"] == "gone", "it is gone")
    assert house.cloud.nodes == {}
    assert sorted(asked(house)[2:]) == ["destroy eu-a", "destroy us-a"]


def test_what_cannot_move_is_told(house: House) -> None:
    client, _ = started(house)
    other = order(zones=("us-b",))["choices"][0]
    with pytest.raises(Problems, match="is the same one") as refused:
        client.move("hello", other, {})
    assert refused.value.problems[0].code == "control/same-place"
    client.launch(order(name="alone"))
    until(lambda: client.deployment("alone")["state"] == "running", "it is up")
    with pytest.raises(Problems, match="nothing else was approved") as refused:
        client.move("alone", None, {})
    assert refused.value.problems[0].code == "control/nowhere-to-move"
    house.operations.held.clear()
    client.move("hello", None, {})
    with pytest.raises(Problems, match="under way"):
        client.move("hello", None, {})
    house.operations.held.set()
    until(lambda: runs(client, 2), "it moves")
