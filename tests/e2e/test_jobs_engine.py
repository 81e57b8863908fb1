"""A pipeline on the real engine: a node is lost in its second stage, control is killed, nothing runs twice."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.e2e import documented
from tests.e2e.conftest import ROOT, SKYWRIGHT, Sky

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PATIENCE_S = 240.0

PIPELINE = """\
name: walk
---
name: prepare
resources: {infra: local}
run: echo prepared
---
name: train
num_nodes: 2
resources: {infra: local, use_spot: true}
run: |
  echo "train $SKYPILOT_NODE_RANK of $SKYPILOT_TASK_ID"
  until [ -e ~/go ]; do sleep 0.1; done
  echo trained
"""


def test_a_finished_stage_is_not_repeated_and_a_lost_node_comes_back(sky: Sky) -> None:
    made = sky.json("jobs", "launch", "-d", "-y", sky.task(PIPELINE))
    assert made["jobs"] == [1]

    def job() -> dict[str, Any]:
        return sky.json("jobs", "status", "1")  # type: ignore[no-any-return]

    def train() -> dict[str, Any]:
        return job()["stages"][1]  # type: ignore[no-any-return]

    def said() -> list[str]:
        return sky.run("jobs", "logs", "1", "--no-follow", code=101).stdout.splitlines()

    def ranks_begun() -> int:
        return sum("train " in line for line in said())

    sky.wait(lambda: job()["stages"][0]["status"] == "SUCCEEDED", "the first stage ends", PATIENCE_S)
    os.kill(sky.control()["pid"], signal.SIGKILL)
    sky.wait(lambda: train()["status"] == "RUNNING", "the second stage runs", PATIENCE_S)
    name = train()["deployment"]
    sky.wait(lambda: ranks_begun() == 2, "both ranks run", PATIENCE_S)
    before = {facts["rank"]: node for node, facts in sky.nodes().items()}
    sky.run("chaos", "kill", name, "--rank", "1")
    os.kill(sky.control()["pid"], signal.SIGKILL)
    sky.wait(lambda: train()["recoveries"] == 1, "it recovers", PATIENCE_S)
    sky.wait(lambda: ranks_begun() == 4, "both ranks run again", PATIENCE_S)
    after = {facts["rank"]: node for node, facts in sky.nodes().items()}
    assert (after[0], after[1] == before[1]) == (before[0], False)
    for node in after.values():
        (sky.home / "local" / "nodes" / node / "home" / "go").touch()

    logs = sky.run("jobs", "logs", "1")
    assert logs.stdout.count("trained") == 2
    assert job()["status"] == "SUCCEEDED"
    told = logs.stdout.splitlines()
    assert told.count("prepared") == 1
    assert len({line.partition(" of ")[2] for line in told if "train " in line}) == 1
    sky.wait(lambda: job()["over"], "nothing of it is left", PATIENCE_S)
    assert (sky.nodes(), sky.json("status")["deployments"], sky.stacks()) == ({}, [], [])
    assert sky.json("orphans")["orphans"] == []
    assert [one["status"] for one in sky.json("jobs", "queue")["jobs"]] == ["SUCCEEDED"]


def test_what_the_document_shows(sky: Sky) -> None:
    env = {**sky.env, "PATH": f"{SKYWRIGHT.parent}:{sky.env['PATH']}"}
    taken = list(documented.steps(ROOT / "docs" / "jobs.md", "A pipeline from its launch to its end"))
    assert len(taken) == 8
    for step in taken:
        if isinstance(step, documented.File):
            (sky.folder / step.name).write_text(step.content)
        else:
            documented.run(step, sky.folder, env, timeout=PATIENCE_S)
    sky.wait(lambda: not sky.nodes(), "nothing is left", PATIENCE_S)
