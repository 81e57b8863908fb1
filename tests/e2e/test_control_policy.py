"""The policy of an order goes with every operation of its deployment, and what control's own settings say beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problem, Problems
from stacks.rules.policy import Policy, Statement
from tests.e2e.control_fakes import House, order, until

MINE = Statement.of("encrypted-disks", {}, "team.yaml")


@pytest.fixture
def house(tmp_path: Path, rows: str | None) -> Iterator[House]:
    made = House(tmp_path, rows)
    yield made
    made.end()


def ordered(*statements: Statement, **more: Any) -> dict[str, Any]:
    return {**order(**more), "policy": Policy(statements).to_data()}


def rules(request: Any) -> list[str]:
    return [one.rule for one in Policy.from_data(request.policy).statements]


def test_every_operation_is_judged_by_the_order_and_by_controls_own_settings(house: House) -> None:
    (house.home / "config.yaml").write_text("policy: {rules: {no-open-ssh: {}}}\n")
    house.scripts[0] = lambda run: None
    client = house.open()
    client.launch(ordered(MINE))
    until(lambda: client.deployment("hello")["state"] == "running", "it runs")
    (first,) = house.operations.requests
    assert (rules(first), first.applied) == (["encrypted-disks", "no-open-ssh"], False)

    node = house.cloud.of("hello")[0]
    house.cloud.agents[node].fall_silent()
    client.chaos("hello", "kill", 0, None)
    house.clock.ahead += 31
    until(lambda: len(house.operations.requests) > 1, "a replacement is asked for")
    again = house.operations.requests[1]
    assert again.lost == (node,)
    assert (rules(again), again.applied) == (["encrypted-disks", "no-open-ssh"], True)


def test_an_order_without_a_policy_is_judged_all_the_same(house: House) -> None:
    (house.home / "config.yaml").write_text("policy: {rules: {no-open-ssh: {}}}\n")
    client = house.open()
    client.launch(order())
    until(lambda: house.operations.requests, "an operation is asked for")
    assert rules(house.operations.requests[0]) == ["no-open-ssh"]


def test_settings_that_cannot_be_read_refuse_and_so_does_an_order_of_another_version(house: House) -> None:
    (house.home / "config.yaml").write_text("policy: {rules: {no-such-rule: {}}}\n")
    client = house.open()
    strange = {**order(), "policy": {"statements": [{"rule": "of-tomorrow", "said": {}, "origin": ""}]}}
    with pytest.raises(Problems) as caught:
        client.launch(strange)
    assert caught.value.problems[0].code == "control/bad-request"
    client.launch(order())
    until(lambda: house.operations.requests, "an operation is asked for")
    with pytest.raises(ValueError, match="no-such-rule"):
        Policy.from_data(house.operations.requests[0].policy)


def test_what_the_operation_refuses_ends_the_launch_with_that_code(house: House) -> None:
    house.operations.problems = [Problem("policy/open-ssh", "nodes: SSH is open", hint="close it")]
    client = house.open()
    client.launch(ordered(MINE))
    until(lambda: client.runs("hello")[0]["ended"], "the run ends")
    assert client.deployment("hello")["problem"]["code"] == "policy/open-ssh"
    assert len(house.operations.requests) == 1, "nobody tries again what is not allowed"
