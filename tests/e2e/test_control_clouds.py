"""Control and clouds that want credentials: expired ones block and fail nothing, new ones let everything go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.problem import Problems
from skywright.control.client import Client
from stacks.drift import Thing
from tests.e2e.control_fakes import House, order, until

OLD, NEW = {"FAKE_KEY": "old"}, {"FAKE_KEY": "new"}


@pytest.fixture
def house(tmp_path: Path, rows: str | None) -> Iterator[House]:
    made = House(tmp_path, rows)
    made.cloud.elsewhere("old")
    yield made
    made.end()


def runs(client: Client, name: str = "hello") -> bool:
    """Does every rank run, and has said so?"""
    return all(rank["phase"] == "running" for rank in client.runs(name)[0]["ranks"] or [{"phase": None}])


def state(client: Client, name: str = "hello") -> str:
    return str(client.deployment(name)["state"])


def running(house: House, client: Client, name: str = "hello") -> None:
    house.scripts[0] = lambda _: None
    client.launch(order(name, env=OLD))
    until(lambda: runs(client, name), "it runs")


def expire(house: House, client: Client) -> None:
    """The credentials end, and then a node is gone about which the cloud has to be asked."""
    house.cloud.key = "new"
    agent = house.agent("hello", 0)
    house.cloud.nodes.pop(agent.node)
    agent.die()
    house.clock.ahead += 31
    until(lambda: state(client) == "blocked", "it is blocked")


def test_a_run_waits_for_credentials_and_goes_on_after_login(house: House) -> None:
    client = house.open()
    running(house, client)
    expire(house, client)
    found = client.deployment("hello")
    assert found["blocked"] == "credentials: the token has expired"
    assert found["run"]["ended"] is None
    with pytest.raises(Problems, match="expired"):
        client.login("hello", {"FAKE_KEY": "older"})
    assert state(client) == "blocked"
    house.scripts[0] = lambda _: 0
    assert client.login("hello", NEW) == {"name": "hello", "cloud": "local"}
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    assert (client.runs("hello")[0]["status"], client.runs("hello")[0]["attempt"]) == ("SUCCEEDED", 2)
    assert house.operations.requests[-1].env["FAKE_KEY"] == "new"
    told = [event["text"] for event in client.follow("hello", 0, 0)["events"]]
    assert len([text for text in told if "blocked: credentials" in text]) == 1


def test_a_restarted_control_knows_what_it_waits_for(house: House) -> None:
    client = house.open()
    running(house, client)
    expire(house, client)
    house.close()
    client = house.open()
    assert state(client) == "blocked"
    house.scripts[0] = lambda _: 0
    client.login("hello", NEW)
    house.clock.ahead += 31  # after a restart every node has a whole lease to be heard again
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")


def test_nodes_are_made_after_login(house: House) -> None:
    house.cloud.key = "new"
    client = house.open()
    client.launch(order(env=OLD))
    until(lambda: state(client) == "blocked", "it is blocked")
    assert client.runs("hello")[0]["ended"] is None
    assert len(house.operations.requests) == 1, "it is not tried again and again"
    client.login("hello", NEW)
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    assert client.deployment("hello")["problem"] is None


def test_removing_goes_on_after_login(house: House) -> None:
    client = house.open()
    client.launch(order(env=OLD))
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    house.cloud.key = "new"
    client.down("hello")
    until(lambda: client.deployment("hello")["blocked"], "it is blocked")
    assert (state(client), client.deployment("hello")["wanted"]) == ("removing", "gone")
    client.login("hello", NEW)
    until(lambda: state(client) == "gone", "it is gone")
    assert house.cloud.nodes == {}


def test_a_purge_forgets_what_nobody_is_let_in_to_and_says_how_to_find_it(house: House) -> None:
    client = house.open()
    running(house, client)
    expire(house, client)
    client.down("hello")
    until(
        lambda: state(client) != "removing" or client.deployment("hello")["blocked"], "it waits for a login"
    )
    client.down("hello", purge=True)
    until(lambda: state(client) == "gone", "it is forgotten")
    told = [event for event in client.follow("hello", 0, 0)["events"] if event["kind"] == "left"]
    (left,) = [event["data"]["left"] for event in told]
    assert left["why"] == "the token has expired"
    assert (left["tags"], left["commands"]) == ({"stack": "hello-local"}, ["look there"])


def test_a_cloud_that_hangs_holds_up_nobody_else(house: House) -> None:
    client = house.open()
    held = asyncio.Event()
    running(house, client)
    house.cloud.held[""] = held
    agent = house.agent("hello", 0)
    house.cloud.nodes.pop(agent.node)
    agent.die()
    asked = house.cloud.asked
    house.clock.ahead += 31
    house.scripts[0] = lambda _: 0
    client.launch(order("other", env={**OLD, "FAKE_ACCOUNT": "b"}))
    until(lambda: client.runs("other")[0]["ended"], "the other one ends")
    assert house.cloud.asked >= asked
    assert client.runs("hello")[0]["ended"] is None
    house.cloud.held.clear()
    assert house._server is not None
    house._server.loop.call_soon_threadsafe(held.set)
    until(lambda: client.runs("hello")[0]["ended"], "the first one ends")


def test_orphans_are_looked_for_where_something_lived(house: House) -> None:
    client = house.open()
    client.launch(order(env=OLD))
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    client.down("hello")
    until(lambda: state(client) == "gone", "it is gone")
    client.launch(order("stray", env=OLD))
    until(lambda: client.runs("stray")[0]["ended"], "the run ends")
    node = house.cloud.of("stray")[0]
    facts = house.cloud.nodes[node]
    client.down("stray")
    until(lambda: state(client, "stray") == "gone", "it is gone")
    house.cloud.nodes[node] = facts
    found = client.orphans()
    assert (found["orphans"], [one["place"] for one in found["unasked"]]) == ([], ["local"])
    found = client.orphans(env=OLD)
    assert [one["node"] for one in found["orphans"]] == [node]
    client.orphans(delete=True, env=OLD)
    assert client.orphans(env=OLD) == {"orphans": [], "things": [], "lost": [], "unasked": []}


def test_orphans_are_told_both_ways_and_only_what_is_ours_goes(house: House) -> None:
    """Nodes of nobody we know, a role that a state does not know, one of a deployment that is gone, a lost machine."""
    client = house.open()
    running(house, client)
    node = house.cloud.of("hello")[0]
    another = replace(house.cloud.nodes[node], node="theirs", deployment="of-somebody")
    house.cloud.nodes["theirs"] = another
    client.launch(order("past", env=OLD))
    until(lambda: runs(client, "past"), "it runs")
    client.down("past")
    until(lambda: state(client, "past") == "gone", "it is gone")
    stack, gone = client.deployment("hello")["spec"]["stack"], client.deployment("past")["spec"]["stack"]
    house.cloud.things = {stack: ["role", "disk"], gone: ["bucket"]}
    house.cloud.vanished = (Thing("node-0", "vm", "i-1"),)
    told = client.orphans(env=OLD)
    assert [(one["node"], one["ours"]) for one in told["orphans"]] == [("theirs", False)]
    assert "another's" in told["orphans"][0]["reason"]
    assert {(one["what"], one["stack"]) for one in told["things"]} == {("disk", stack), ("bucket", gone)}
    assert [(one["resource"], one["id"], one["deployment"]) for one in told["lost"]] == [
        ("node-0", "i-1", "hello")
    ]
    assert told["unasked"] == []
    client.orphans(delete=True, env=OLD)
    told = client.orphans(env=OLD)
    assert told["things"] == []
    assert house.cloud.things == {stack: ["role"], gone: []}
    assert set(house.cloud.nodes) == {node, "theirs"}, "what may be another's stays"


def test_what_another_control_made_again_is_nobodys_orphan(house: House) -> None:
    """The deployment is gone here; a colleague or a job has brought the same stack up since, in the team's backend."""
    client = house.open()
    running(house, client)
    node = house.cloud.of("hello")[0]
    theirs, stack = house.cloud.nodes[node], client.deployment("hello")["spec"]["stack"]
    client.down("hello")
    until(lambda: state(client) == "gone", "it is gone")
    house.cloud.nodes["of-the-job"] = replace(theirs, node="of-the-job")
    house.cloud.things, house.cloud.standing = {stack: ["role", "bucket"]}, {stack}
    nothing = {"orphans": [], "things": [], "lost": [], "unasked": []}
    assert client.orphans(delete=True, env=OLD) == nothing
    assert "of-the-job" in house.cloud.nodes
    assert house.cloud.things == {stack: ["role", "bucket"]}
    house.cloud.standing = set()
    told = client.orphans(delete=True, env=OLD)
    assert [one["node"] for one in told["orphans"]] == ["of-the-job"], "no state knows it: it is left over"
    assert {one["what"] for one in told["things"]} == {"role", "bucket"}


def test_a_run_begins_when_its_secrets_lie_in_the_clouds_store(house: House) -> None:
    house.scripts[0] = lambda run: 0 if house.cloud.secrets else 9
    client = house.open()
    client.launch(order(env=OLD, secrets={"TOKEN": "one"}))
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    assert client.runs("hello")[0]["exit_code"] == 0
    assert house.cloud.secrets == [("hello-local", {"TOKEN": "one"})]
    client.execute("hello", order(secrets={"TOKEN": "two", "OTHER": "three"}))
    until(lambda: client.runs("hello")[1]["ended"], "the second run ends")
    assert house.cloud.secrets[1:] == [("hello-local", {"TOKEN": "two", "OTHER": "three"})]
    assert house.operations.requests[-1].spec.to_data()["secrets"] == ["OTHER", "TOKEN"]
    assert all(request.secrets == {} for request in house.operations.requests)


def test_secrets_follow_to_another_region(house: House) -> None:
    house.scripts[0] = lambda run: 0 if run["cluster_info"]["zone"] == "eu-a" else None
    client = house.open()
    client.launch(order(zones=("us-a", "eu-a"), env=OLD, secrets={"TOKEN": "one"}))
    until(lambda: runs(client), "it runs")
    house.operations.full = {"us-a": 0}
    client.chaos("hello", "kill", 0)
    house.clock.ahead += 31
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    assert [stack for stack, _ in house.cloud.secrets] == ["hello-local-us", "hello-local-eu"]


def test_secrets_that_cannot_be_written_hold_up_their_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = house.open()
    client.launch(order(env=OLD, secrets={"TOKEN": "one"}))
    house.cloud.key = "new"
    until(lambda: state(client) == "blocked", "it is blocked")
    assert client.runs("hello")[0]["ended"] is None
    client.login("hello", NEW)
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    assert house.cloud.secrets == [("hello-local", {"TOKEN": "one"})]


def test_what_was_released_is_nobodys_orphan(house: House) -> None:
    """Nodes, also such as others made since in that stack, and all that is beside them."""
    client = house.open()
    client.launch(order(keep=True, env=OLD))
    until(lambda: client.runs("hello")[0]["ended"], "it ends")
    stack = client.deployment("hello")["spec"]["stack"]
    client.release("hello")
    before = house.cloud.of("hello")
    house.cloud.things = {stack: ["role", "bucket"]}
    told = client.orphans(delete=True, env=OLD)
    assert told == {"orphans": [], "things": [], "lost": [], "unasked": []}
    assert (house.cloud.of("hello"), house.cloud.things) == (before, {stack: ["role", "bucket"]})
    assert before != {}
