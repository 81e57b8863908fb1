"""Control with pretended machines: runs succeed, fail, are cancelled, survive losses and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problem, Problems
from skywright.control import breaker
from skywright.control.client import Client
from tests.e2e.bucket_fakes import over_bucket
from tests.e2e.control_fakes import House, order, until


@pytest.fixture(params=["http", "bucket"])
def house(
    request: pytest.FixtureRequest, tmp_path: Path, rows: str | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    made = House(tmp_path, rows)
    if request.param == "bucket":
        over_bucket(made, monkeypatch)
    yield made
    made.end()


def run_of(client: Client, name: str = "hello", number: int = 1) -> dict[str, Any]:
    return client.runs(name)[number - 1]


def ended(client: Client, name: str = "hello", number: int = 1) -> dict[str, Any]:
    until(lambda: run_of(client, name, number)["ended"], f"run {number} ends")
    return run_of(client, name, number)


def texts(client: Client, name: str = "hello") -> list[str]:
    return [event["text"] for event in client.follow(name, 0, 0)["events"]]


def everything(client: Client, name: str, run: int | None = None) -> dict[tuple[int, int], bytes]:
    """The whole log by (attempt, rank)."""
    found: dict[tuple[int, int], bytes] = {}
    cursor = None
    while True:
        chunks, cursor, over = client.logs(name, run, cursor, 5)
        for chunk in chunks:
            key = (chunk.attempt, chunk.rank)
            assert chunk.offset == len(found.get(key, b""))
            found[key] = found.get(key, b"") + chunk.data
        if over:
            return found


@pytest.mark.team
def test_a_run_goes_from_order_to_log_to_nothing(house: House) -> None:
    client = house.open()
    assert client.launch(order(nodes=2)) == {"name": "hello", "run": 1}
    run = ended(client)
    assert (run["status"], run["exit_code"], run["attempt"]) == ("SUCCEEDED", 0, 1)
    assert [rank["phase"] for rank in run["ranks"]] == ["succeeded", "succeeded"]
    assert everything(client, "hello") == {
        (1, 0): b"rank 0 attempt 1 ends 0\n",
        (1, 1): b"rank 1 attempt 1 ends 0\n",
    }
    until(lambda: client.deployment("hello")["state"] == "idle", "idle")
    assert [node["state"] for node in client.deployment("hello")["nodes"]] == ["live", "live"]

    assert client.down("hello") == {"name": "hello"}
    until(lambda: client.deployment("hello")["state"] == "gone", "gone")
    assert client.deployments() == []
    assert house.cloud.nodes == {}
    assert client.follow("hello", 0, 0)["events"][-1]["kind"] == "removed"
    with pytest.raises(Problems, match="no-such-deployment"):
        client.down("hello")


def test_all_ranks_learn_of_each_other_and_start_together(house: House) -> None:
    client = house.open()
    client.launch(order(nodes=3))
    ended(client)
    for rank in range(3):
        docs = [doc["run"] for doc in house.agent("hello", rank).seen if doc["run"]]
        assert docs[0]["go"] == "setup"
        assert docs[0]["peers"] == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        assert docs[0]["rank"] == rank
        versions = [doc["version"] for doc in house.agent("hello", rank).seen]
        assert versions == sorted(set(versions))


@pytest.mark.fault("gang loses a rank")
def test_the_first_failing_rank_is_named_and_the_others_are_stopped(house: House) -> None:
    house.scripts = {0: lambda _: None, 1: lambda _: 7, 2: lambda _: None}
    client = house.open()
    client.launch(order(nodes=3))
    run = ended(client)
    assert (run["status"], run["exit_code"], run["failed_rank"]) == ("FAILED", 7, 1)
    assert [rank["phase"] for rank in run["ranks"]] == ["cancelled", "failed", "cancelled"]
    assert "rank 1" in run["reason"]
    assert "exit code 7" in run["reason"]


def test_runs_wait_for_their_turn(house: House) -> None:
    house.scripts[0] = lambda run: None if run["id"] == 1 else 0
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    assert client.execute("hello", order(script="second")) == {"run": 2}
    assert run_of(client, number=2)["status"] == "PENDING"
    house.agent("hello", 0).finish(0)
    assert ended(client)["status"] == "SUCCEEDED"
    assert ended(client, number=2)["status"] == "SUCCEEDED"
    assert everything(client, "hello", 2)


def test_cancel_stops_the_running_and_the_waiting(house: House) -> None:
    house.scripts[0] = lambda _: None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    client.execute("hello", order())
    with pytest.raises(Problems, match="run/no-such-run"):
        client.cancel("hello", [9])
    assert client.cancel("hello", None) == [1, 2]
    assert ended(client)["status"] == "CANCELLED"
    assert ended(client, number=2)["status"] == "CANCELLED"
    assert client.deployment("hello")["state"] == "idle"


def test_cancel_does_not_wait_for_a_node_that_cannot_be_reached(house: House) -> None:
    house.scripts[0] = lambda _: None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    agent = house.agent("hello", 0)
    agent.fall_silent()
    client.cancel("hello", [1])
    # What was under way when it fell silent may still be heard: silence begins when that has come in.
    until(lambda: house.clock.passes(1) and run_of(client)["ended"], "run 1 ends")
    assert run_of(client)["status"] == "CANCELLED"
    until(lambda: house.clock.passes(1) and client.deployment("hello")["nodes"][0]["state"] == "silent")
    agent.quiet = False
    until(lambda: "cancelled" in [event.get("phase") for event in agent.said] or agent.desired["run"] is None)
    until(lambda: client.deployment("hello")["nodes"][0]["state"] == "live")


def test_an_order_that_is_sent_again_is_one_order(house: House) -> None:
    client = house.open()
    once = order()
    once["run"]["call"] = "one call"
    assert client._data("POST", "/v1/deployments", once) == {"name": "hello", "run": 1}
    assert client._data("POST", "/v1/deployments", once) == {"name": "hello", "run": 1}
    once["run"]["call"] = "another"
    for _ in range(2):
        assert client._data("POST", "/v1/deployments/hello/runs", once) == {"run": 2}
    assert len(client.runs("hello")) == 2


@pytest.mark.fault("spot notice")
@pytest.mark.team
def test_a_notice_replaces_that_node_and_the_gang_goes_on(house: House) -> None:
    house.scripts = {rank: (lambda run: 0 if run["attempt"] == 2 else None) for rank in range(2)}
    client = house.open()
    client.launch(order(nodes=2, setup="prepare"))
    until(lambda: run_of(client)["status"] == "RUNNING")
    before = house.cloud.of("hello")
    lost, survivor = house.agent("hello", 1), house.agent("hello", 0)
    client.chaos("hello", "preempt", 1, 30)
    run = ended(client)
    assert (run["status"], run["attempt"], run["preemptions"], run["recoveries"]) == ("SUCCEEDED", 2, 1, 1)
    after = house.cloud.of("hello")
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert house.operations.requests[-1].lost == (before[1],)
    assert survivor.setups == [(1, 1)]
    until(lambda: lost.fenced or lost.dead, "the old node is fenced")
    said = texts(client)
    assert any("node-1 will be taken away in 30 s" in text for text in said)
    assert any(f"node-1 replaced ({before[1]} -> {after[1]})" in text for text in said)
    # The survivor is told to stop before the loss, so that the whole gang saves.
    assert any(doc["run"] and doc["run"]["cancel"] for doc in survivor.seen)


@pytest.mark.fault("node lost")
def test_silence_is_confirmed_by_the_cloud_and_mended(house: House) -> None:
    house.scripts = {rank: (lambda run: 0 if run["attempt"] == 2 else None) for rank in range(2)}
    client = house.open()
    client.launch(order(nodes=2))
    until(lambda: run_of(client)["status"] == "RUNNING")
    before = house.cloud.of("hello")
    house.agent("hello", 0).fall_silent()
    asked = house.cloud.asked
    # What was under way may still be heard, so silence begins later. The cloud still lists it: nothing is replaced.
    until(lambda: house.clock.passes(1) and house.cloud.asked > asked, "the cloud is asked")
    until(lambda: any("has been silent" in text for text in texts(client)), "it is said")
    assert len(house.operations.requests) == 1
    house.cloud.remove(before[0])
    house.clock.ahead += 5
    run = ended(client)
    assert (run["status"], run["attempt"]) == ("SUCCEEDED", 2)
    assert house.cloud.of("hello")[0] != before[0]
    assert house.cloud.of("hello")[1] == before[1]


@pytest.mark.fault("gang loses a rank")
def test_a_rank_that_fails_because_another_died_is_no_failure(house: House) -> None:
    house.scripts = {rank: (lambda run: 0 if run["attempt"] == 2 else None) for rank in range(2)}
    client = house.open()
    client.launch(order(nodes=2))
    until(lambda: run_of(client)["status"] == "RUNNING")
    gone = house.cloud.of("hello")[1]
    house.cloud.remove(gone)  # without a word
    house.agent("hello", 0).finish(1)  # "connection reset by peer"
    until(lambda: run_of(client)["ranks"][0]["phase"] == "failed")
    until(lambda: house.clock.passes(1) and run_of(client)["ended"], "run 1 ends")
    run = run_of(client)
    assert (run["status"], run["attempt"], run["failed_rank"]) == ("SUCCEEDED", 2, None), chr(10).join(
        texts(client)
    )


@pytest.mark.fault("control killed")
@pytest.mark.team
def test_restarted_control_goes_on_where_it_was(house: House) -> None:
    house.scripts[0] = lambda _: None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    version = house.agent("hello", 0).version
    for _ in range(3):
        house.close()
        client = house.open()
    agent = house.agent("hello", 0)
    agent.finish(3)
    run = ended(client)
    assert (run["status"], run["exit_code"], run["attempt"]) == ("FAILED", 3, 1)
    assert agent.version >= version
    assert len(house.operations.requests) == 1
    assert everything(client, "hello") == {(1, 0): b"rank 0 attempt 1 ends 3\n"}


@pytest.mark.fault("control killed")
@pytest.mark.team
def test_restarted_control_adopts_a_running_operation(house: House) -> None:
    house.operations.held.clear()
    client = house.open()
    client.launch(order())
    until(lambda: house.operations.requests)
    house.close()
    client = house.open()
    house.operations.held.set()
    assert ended(client)["status"] == "SUCCEEDED"
    assert len(house.operations.requests) == 1


@pytest.mark.fault("operation killed")
def test_a_killed_operation_is_started_again(house: House) -> None:
    house.operations.held.clear()
    client = house.open()
    client.launch(order())
    until(lambda: house.operations.requests)
    [folder] = (house.home / "control" / "operations").iterdir()
    house.operations.killed.add(folder)
    until(lambda: len(house.operations.requests) == 2)
    assert house.operations.requests[0].id == house.operations.requests[1].id
    house.operations.held.set()
    assert ended(client)["status"] == "SUCCEEDED"


def test_failing_to_make_nodes_is_told_with_what_is_left(house: House) -> None:
    house.operations.problems = [Problem("engine/failed", "no room")]
    house.operations.resources = 1
    client = house.open()
    client.launch(order())
    run = ended(client)
    assert (run["status"], run["reason"]) == ("CANCELLED", "its nodes could not be made")
    found = client.deployment("hello")
    assert found["state"] == "failed"
    assert found["problem"]["message"] == "no room"
    assert "down hello" in found["problem"]["left_behind"]
    # The same command again makes it.
    assert client.launch(order()) == {"name": "hello", "run": 2}
    assert ended(client, number=2)["status"] == "SUCCEEDED"


def test_retry_until_up_goes_on_trying(house: House) -> None:
    house.operations.problems = [Problem("cloud/capacity", "no room")] * 2
    house.operations.failure = "capacity"
    client = house.open()
    client.launch(order(retry_until_up=True))
    for tries in (1, 2):
        until(
            lambda tries=tries: (
                len(house.operations.requests) == tries and not house.operations.problems[2 - tries :]
            )
        )
        until(lambda: client.deployment("hello")["problem"], "the problem is told")
        house.clock.ahead += 61
    assert ended(client)["status"] == "SUCCEEDED"
    assert client.deployment("hello")["problem"] is None


def test_idle_deployments_are_removed_unless_kept(house: House) -> None:
    client = house.open()
    client.launch(order("short", idle_s=60))
    client.launch(order("kept", keep=True))
    ended(client, "short")
    ended(client, "kept")
    assert client.deployment("short")["autostop"] == {"idle_s": 60.0, "down": True}
    assert client.deployment("kept")["autostop"] is None
    house.clock.ahead += 61
    until(lambda: client.deployment("short")["state"] == "gone")
    assert client.deployment("kept")["state"] == "idle"
    client.autostop("kept", 0, True)
    until(lambda: client.deployment("kept")["state"] == "gone")


def test_a_living_name_is_reused_and_changed(house: House) -> None:
    client = house.open()
    client.launch(order())
    ended(client)
    before = house.cloud.of("hello")
    client.launch(order())
    ended(client, number=2)
    assert len(house.operations.requests) == 1
    client.launch(order(labels={"team": "nlp"}))
    ended(client, number=3)
    assert house.operations.requests[1].spec.labels == {"team": "nlp"}
    assert house.cloud.of("hello") == before
    client.launch(order(nodes=2, labels={"team": "nlp"}))
    assert ended(client, number=4)["status"] == "SUCCEEDED"
    assert len(house.cloud.of("hello")) == 2
    other = order()
    other["project"] = "another"
    with pytest.raises(Problems, match="lock/name-in-use"):
        client.launch(other)
    with pytest.raises(Problems, match="control/too-few-nodes"):
        client.execute("hello", order(nodes=3))


def test_the_deployment_carries_what_a_new_task_is_compared_with(house: House) -> None:
    client = house.open()
    client.launch({**order(nodes=2), "task": {"name": "first"}})
    ended(client)
    found = client.deployment("hello")
    assert (found["task"], found["spec"]["nodes"]) == ({"name": "first"}, 2)
    client.launch({**order(labels={"team": "nlp"}, nodes=2), "task": {"name": "second"}})
    found = client.deployment("hello")
    assert (found["task"], found["spec"]["labels"]) == ({"name": "second"}, {"team": "nlp"})


def test_a_small_run_leaves_the_other_nodes_alone(house: House) -> None:
    client = house.open()
    client.launch(order(nodes=3))
    ended(client)
    client.execute("hello", order(nodes=2))
    run = ended(client, number=2)
    assert [rank["rank"] for rank in run["ranks"]] == [0, 1]
    assert not [doc for doc in house.agent("hello", 2).seen if doc["run"] and doc["run"]["id"] == 2]
    [docs] = [doc["run"] for doc in house.agent("hello", 1).seen if doc["run"] and doc["run"]["id"] == 2][:1]
    assert (docs["num_nodes"], len(docs["peers"])) == (2, 2)


def test_down_while_running_stops_the_task_first(house: House) -> None:
    house.scripts[0] = lambda _: None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    agent = house.agent("hello", 0)
    client.down("hello")
    until(lambda: client.deployment("hello")["state"] == "gone")
    assert run_of(client)["status"] == "CANCELLED"
    assert "cancelled" in [event.get("phase") for event in agent.said]


def test_down_in_the_middle_of_up_leaves_nothing(house: House) -> None:
    house.operations.held.clear()
    client = house.open()
    client.launch(order())
    until(lambda: house.operations.requests)
    client.down("hello")
    until(lambda: client.deployment("hello")["state"] == "gone")
    assert house.operations.stopped
    assert house.cloud.nodes == {}


def test_progress_is_shown_with_its_pace_and_survives_a_loss(house: House) -> None:
    house.scripts[0] = lambda run: 0 if run["attempt"] == 2 else None
    client = house.open()
    client.launch(order())
    until(lambda: run_of(client)["status"] == "RUNNING")
    agent = house.agent("hello", 0)
    agent.report(fraction=0.1, step=1)
    until(lambda: run_of(client)["progress"])
    house.clock.ahead += 10
    agent.report(fraction=0.3, step=3, loss=0.5)
    until(lambda: run_of(client)["progress"].get("step") == 3)
    progress = run_of(client)["progress"]
    assert progress["loss"] == 0.5
    assert 0.1 < progress["rate"] < 0.21
    assert 34 < progress["remaining_s"] < 60
    client.chaos("hello", "preempt", 0, 30)
    assert ended(client)["progress"]["step"] == 3


@pytest.mark.fault("node lost")
def test_too_many_losses_pause_the_replacing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "LOSSES", 2)
    house.scripts[0] = lambda _: None
    client = house.open()
    client.launch(order())
    for attempt in range(1, 4):
        until(
            lambda attempt=attempt: (
                run_of(client)["attempt"] == attempt and run_of(client)["ranks"][0]["phase"] == "running"
            )
        )
        client.chaos("hello", "preempt", 0, 30)
    until(lambda: client.deployment("hello")["state"] == "blocked")
    assert "losses" in client.deployment("hello")["blocked"]
    house.clock.ahead += 601
    until(lambda: run_of(client)["attempt"] == 4)


def test_checkpoints_of_an_earlier_life_are_put_aside(house: House) -> None:
    kept = house.home / "local" / "kept" / "proj" / "hello"
    kept.mkdir(parents=True)
    (kept / "old").write_text("12345")
    client = house.open()
    client.launch(order(checkpoint="~/ckpt"))
    ended(client)
    assert not kept.exists()
    [aside] = kept.parent.glob("hello.*")
    assert (aside / "old").read_text() == "12345"
    kept.mkdir()
    (kept / "new").write_text("123")
    assert client.deployment("hello")["kept"] == {"path": str(kept), "files": 1, "bytes": 3}
    client.down("hello")
    until(lambda: client.deployment("hello")["state"] == "gone")
    assert client.deployment("hello")["kept"]["files"] == 1
    assert str(kept) in texts(client)[-1]

    client.launch(order())
    ended(client)
    kept.mkdir(exist_ok=True)
    client.down("hello", purge=True)
    until(lambda: client.deployment("hello")["state"] == "gone")
    assert not kept.exists()


def test_orphans_are_found_and_removed(house: House) -> None:
    client = house.open()
    client.launch(order())
    ended(client)
    stray = house.operations._make(house.operations.requests[0].spec, 5)
    house.cloud.nodes[stray] = house.cloud.nodes.pop(stray)
    until(
        lambda: [row["node"] for row in client.orphans()["orphans"]] == [stray]
    )  # no operation could be making it
    client.down("hello")
    until(lambda: client.deployment("hello")["state"] == "gone")
    assert house.cloud.nodes == {}  # what stood beside the stack went with it
    stray = house.operations._make(house.operations.requests[0].spec, 0)
    assert [row["node"] for row in client.orphans(delete=True)["orphans"]] == [stray]
    assert client.orphans() == {"orphans": [], "things": [], "lost": [], "unasked": []}


def test_losses_are_told_by_place_and_those_of_this_machine_are_not(house: House) -> None:
    client = house.open()
    client.launch(order())
    ended(client)
    assert client.recent_losses() == {}
