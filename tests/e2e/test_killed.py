"""kill -9 of whatever runs: the job goes on, no log byte is lost or doubled, and nothing is left over."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.conftest import Sky
from tests.faults.plugin import hit

pytestmark = pytest.mark.engine

TASK = """\
name: numbers
resources: {infra: local}
run: |
  echo "pid $$"
  for i in $(seq 1 %d); do echo "line $i"; sleep 0.01; done
"""


def expected(lines: int) -> list[str]:
    return [f"line {i}" for i in range(1, lines + 1)]


@pytest.mark.fault("agent killed")
def test_ten_killed_agents_cost_not_a_byte(sky: Sky) -> None:
    sky.run("launch", "-d", sky.task(TASK % 600))
    sky.wait_run("numbers", "RUNNING")
    for _ in range(10):
        done = sky.json("chaos", "kill-agent", "numbers")
        hit()
        sky.wait(lambda killed=done["pid"]: not os.path.exists(f"/proc/{killed}"), "the agent is dead")
        sky.wait(lambda: sky.deployment("numbers")["nodes"][0]["state"] == "live", "the agent is back")
    run = sky.wait_run("numbers", "SUCCEEDED", "FAILED")
    assert (run["status"], run["exit_code"], run["attempt"]) == ("SUCCEEDED", 0, 1)
    first, *rest = sky.run("logs", "numbers", "--no-follow").stdout.splitlines()
    assert first.startswith("pid ")
    assert rest == expected(600)


@pytest.mark.fault("control killed")
def test_killed_control_is_back_with_the_next_command(sky: Sky) -> None:
    sky.run("launch", "-d", sky.task(TASK % 400))
    sky.wait_run("numbers", "RUNNING")
    for _ in range(3):
        os.kill(sky.control()["pid"], signal.SIGKILL)
        hit()
        assert sky.deployment("numbers")["name"] == "numbers"
    run = sky.wait_run("numbers", "SUCCEEDED", "FAILED")
    assert (run["status"], run["exit_code"], run["attempt"]) == ("SUCCEEDED", 0, 1)
    assert sky.run("logs", "numbers", "--no-follow").stdout.splitlines()[1:] == expected(400)


@pytest.mark.fault("control killed")
def test_control_killed_in_the_middle_of_up(sky: Sky) -> None:
    task = sky.task(
        "name: pair\nnum_nodes: 2\nresources: {infra: local}\nrun: echo done $SKYPILOT_NODE_RANK\n"
    )
    sky.run("launch", "-d", task)
    sky.wait(lambda: list(sky.home.glob("control/operations/*/owner.json")), "the operation has begun")
    os.kill(sky.control()["pid"], signal.SIGKILL)
    run = sky.wait_run("pair", "SUCCEEDED", "FAILED")
    assert run["status"] == "SUCCEEDED"
    assert sorted(facts["rank"] for facts in sky.nodes().values()) == [0, 1]
    assert sky.json("orphans")["orphans"] == []


@pytest.mark.fault("operation killed")
def test_operation_killed_in_the_middle_of_up(sky: Sky) -> None:
    task = sky.task(
        "name: pair\nnum_nodes: 2\nresources: {infra: local}\nrun: echo done $SKYPILOT_NODE_RANK\n"
    )
    sky.run("launch", "-d", task)
    sky.wait(lambda: list(sky.home.glob("local/nodes/*/node.json")), "the first node is being made")
    sky.run("chaos", "kill-operation", "pair", code=None)
    run = sky.wait_run("pair", "SUCCEEDED", "FAILED")
    assert run["status"] == "SUCCEEDED"
    assert sorted(facts["rank"] for facts in sky.nodes().values()) == [0, 1]
    assert sky.json("orphans")["orphans"] == []
