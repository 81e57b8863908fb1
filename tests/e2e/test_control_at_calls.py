"""Control is killed around every call the engine makes to the provider; the next command finishes the work."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from compiler import load, search
from compiler.lower import lower
from skywright.control.client import Client
from stacks import local
from tests.e2e.conftest import Sky

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from killpoints import NEVER, Killer, Point

from tests.faults.plugin import hit

pytestmark = pytest.mark.engine

TASK = b"name: pair\nnum_nodes: 2\nresources: {infra: local, use_spot: true}\nrun: echo done $SKYPILOT_NODE_RANK\n"
HIT = (("control",), ("provider", "engine", "operation", "control"))


@pytest.fixture
def house(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> Sky:
    """This process as the user's: the client and the inventory look into the user's home."""
    for name in ("HOME", "SKYWRIGHT_HOME", "SKYWRIGHT_CACHE"):
        monkeypatch.setenv(name, sky.env[name])
    return sky


def order(env: dict[str, str], name: str) -> dict[str, Any]:
    task = load.load(TASK, "pair.yaml", clouds=("local",))
    plan = search.plan(task, local.offers(), name=name, enabled={"local"})
    spec = lower(task, plan.chosen, name=name, project="e2e", agent=local.agent_digest())
    run = {
        "name": "pair", "setup": None, "script": task.run, "envs": {}, "secrets": {}, "files": [],
        "checkpoint": None, "gpus_per_node": 0, "num_nodes": 2,
    }  # fmt: skip
    return {
        "name": name, "project": "e2e", "owner": "e2e", "task": task.to_data(redact=True),
        "plan": {"where": "local", "market": "spot", "hourly": 0.0, "envelope": None},
        "spec": spec.to_data(), "run": run, "env": env,
        "options": {"keep": True, "idle_s": None, "down": True, "retry_until_up": False},
    }  # fmt: skip


def alive(sky: Sky, name: str) -> Counter[int]:
    return Counter(node.rank for node in local.inventory() if node.deployment == name and node.alive)


def life(sky: Sky, name: str, point: Point, kind: str) -> list[str]:
    """Launch with the killer around and see the wished state in the end; the calls that were made."""
    killer = Killer(sky.folder / f"killer-{name}", point)
    Client.connect(sky.home).launch(order(killer.env, name))
    run = sky.wait_run(name, "SUCCEEDED", "FAILED", "CANCELLED")
    assert run["status"] == "SUCCEEDED", (point, run)
    assert alive(sky, name) == {0: 1, 1: 1}, point
    if kind == "down":
        sky.run("down", "-y", name)
        assert alive(sky, name) == {}
    assert sky.json("orphans")["orphans"] == [], point
    struck = os.path.exists(sky.folder / f"killer-{name}" / "calls.struck")
    assert struck == bool(point.call), point
    return killer.calls()


@pytest.mark.fault("control killed")
@pytest.mark.parametrize("targets", HIT, ids="+".join)
def test_control_killed_at_a_create(house: Sky, targets: tuple[str, ...]) -> None:
    calls = life(house, "counted", NEVER, "up")
    number = calls.index("Create") + 2
    life(house, "struck", Point(number, "before", targets), "down")


@pytest.mark.fault("control killed")
@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_control_killed_around_every_call(house: Sky) -> None:
    calls = life(house, "counted", NEVER, "up")
    house.run("down", "-y", "counted")
    for number in range(1, len(calls) + 1):
        for when in ("before", "after"):
            for targets in HIT:
                life(house, f"p{number}-{when}-{len(targets)}", Point(number, when, targets), "down")
                hit()
