"""Control is stopped as on a laptop that sleeps: for less than the dead-man time nothing happens, for more it mends."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler import load, search
from compiler.lower import lower
from skywright.control.client import Client
from stacks import local
from tests.e2e.conftest import PATIENCE_S, Sky, sky
from tests.faults.plugin import hit

__all__ = ["sky"]
pytestmark = pytest.mark.engine

DEADMAN_S = 20.0
"""More than the longest time that a call is held, as control is heard only when it answers."""
TASK = r"""
name: sleeper
resources: {infra: local, use_spot: true}
checkpoint: ~/kept
run: |
  n=$(cat ~/kept/n 2>/dev/null || echo 0)
  echo "begins after $n"
  trap 'echo $n > ~/kept/n; touch ~/kept/saved; exit 143' TERM
  while [ ! -e ~/kept/go ]; do echo "count $((++n))"; sleep 0.05; done
"""


def order() -> dict[str, Any]:
    task = load.load(TASK.encode(), "sleeper.yaml", clouds=("local",))
    plan = search.plan(task, local.offers(), name="sleeper", enabled={"local"})
    spec = lower(task, plan.chosen, name="sleeper", project="e2e", agent=local.agent_digest())
    run = {
        "name": "sleeper", "setup": None, "script": task.run, "envs": {}, "secrets": {}, "files": [],
        "checkpoint": task.checkpoint, "gpus_per_node": 0, "num_nodes": 1,
    }  # fmt: skip
    return {
        "name": "sleeper", "project": "e2e", "owner": "e2e", "task": task.to_data(redact=True),
        "plan": {"where": "local", "market": "spot", "hourly": 0.0, "envelope": None},
        "spec": replace(spec, deadman_s=DEADMAN_S).to_data(), "run": run, "env": {},
        "options": {"keep": True, "idle_s": None, "down": True, "retry_until_up": False},
    }  # fmt: skip


def counts(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"count (\d+)$", text, re.MULTILINE)]


def kept(sky: Sky, name: str) -> list[Path]:
    return list(sky.home.glob(f"local/kept/**/{name}"))


@pytest.mark.fault("control asleep", long=True)
@pytest.mark.timeout(300)
def test_a_laptop_sleeps_for_a_while_and_for_long(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "SKYWRIGHT_HOME", "SKYWRIGHT_CACHE"):
        monkeypatch.setenv(name, sky.env[name])
    Client.connect(sky.home).launch(order())
    sky.wait_run("sleeper", "RUNNING")
    control = sky.control()["pid"]
    [first] = sky.nodes()
    log = sky.home / "local" / "nodes" / first / "agent" / "runs" / "1.1" / "run" / "log"

    os.kill(control, signal.SIGSTOP)
    hit()
    size = log.stat().st_size
    sky.wait(lambda: log.stat().st_size > size + 200, "the job goes on while control sleeps")
    os.kill(control, signal.SIGCONT)
    run = sky.wait_run("sleeper", "RUNNING")
    assert (run["attempt"], list(sky.nodes())) == (1, [first])

    os.kill(control, signal.SIGSTOP)
    hit()
    try:
        sky.wait(lambda: kept(sky, "saved"), "the job saves when its node gives control up")
        sky.wait(lambda: not any(node.alive for node in local.inventory()), "the node is gone")
    finally:
        os.kill(control, signal.SIGCONT)
    [saved] = kept(sky, "saved")
    sky.wait(
        lambda: [node for node in local.inventory() if node.alive and node.node != first],
        "another node takes the work up",
        2 * PATIENCE_S,
    )
    sky.wait_run("sleeper", "RUNNING")
    (saved.parent / "go").touch()
    run = sky.wait_run("sleeper", "SUCCEEDED", "FAILED")
    assert (run["status"], run["preemptions"]) == ("SUCCEEDED", 1)
    [second] = [node.node for node in local.inventory() if node.alive]
    assert second != first
    text = sky.run("logs", "sleeper", "--no-follow").stdout
    found = counts(text)
    assert f"begins after {int((saved.parent / 'n').read_text())}" in text
    assert found == list(range(1, len(found) + 1)), "what was saved is not done twice"
    assert sky.json("orphans")["orphans"] == []
