"""Launch failover on AWS: control itself, the real engine and SDK, moto refusing capacity where it is told."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aws_account import PASSED, Account

import stacks
from compiler.spec import StackSpec
from skywright.control import desk, loop
from skywright.control.context import Control
from skywright.control.orders import read_order
from skywright.control.rows import Deployment, Event, Node, Operation
from stacks import home, operate
from tests.e2e.control_fakes import order
from tests.standins.refusals import aws_no_capacity, aws_vcpu_limit

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PLACES = ("us-east-1a", "us-east-1b", "us-west-2a", "us-west-2b")
REFUSED = (
    aws_no_capacity("g5.xlarge", PLACES[0]),
    aws_vcpu_limit("g"),
    aws_no_capacity("g5.xlarge", PLACES[2]),
)
"""What the first places say, in their order."""
LONGEST_S = 400.0


def spec(account: Account, zone: str, nodes: int) -> StackSpec:
    made = account.spec(nodes=nodes, zone=zone)
    region = zone[:-1]
    return replace(made, region=region, stack=f"train-aws-{region}")


def ordered(account: Account, zones: tuple[str, ...], nodes: int) -> dict[str, Any]:
    """A launch that may use `zones`, in this order."""
    specs = [spec(account, zone, nodes) for zone in zones]
    env = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    rows = [
        {
            "spec": one.to_data(),
            "where": f"aws {one.zone}",
            "market": "spot",
            "hourly": 1.0,
            "gpus_per_node": 1,
        }
        for one in specs
    ]
    whole = order("train", nodes=nodes, keep=True)
    return {
        **whole,
        "choices": rows,
        "spec": specs[0].to_data(),
        "plan": {**rows[0], "envelope": None},
        "env": {**env, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"},
    }


async def until(control: Control, what: Callable[[Deployment], bool]) -> Deployment:
    """Let control work until that holds of the deployment."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        await loop.turn(control)
        [row] = control.store.find(Deployment)
        if what(row):
            return row
        await asyncio.sleep(0.05)
    told = [event.text for event in control.store.find(Event, order="seq")]
    raise AssertionError(f"never came true: {told}")


def zones_of(account: Account) -> list[str]:
    """Where machines are, in both regions."""
    found = []
    for region in ("us-east-1", "us-west-2"):
        pages = account.moto.client("ec2", region).describe_instances()["Reservations"]
        rows = [one for each in pages for one in each["Instances"]]
        found += [one["Placement"]["AvailabilityZone"] for one in rows if one["State"]["Name"] == "running"]
    return sorted(found)


def test_three_places_refuse_and_the_fourth_has_room(account: Account) -> None:
    control = Control(home.home(), operate, stacks.cloud)
    # In the first place one machine is let in and the next refused: a gang that is half made.
    for zone, text in zip(PLACES, REFUSED, strict=False):
        account.store.refuse("aws", "Instance", text, zone=zone)
    desk.launch(control, read_order(ordered(account, PLACES, nodes=2)))

    row = asyncio.run(until(control, lambda row: row.stage in ("up", "failed")))
    assert (row.stage, row.place, row.problem) == ("up", "aws us-west-2b", None)
    assert zones_of(account) == ["us-west-2b"] * 2
    assert [one["where"] for one in row.tries] == [f"aws {zone}" for zone in PLACES[:3]]
    codes = [one["problem"]["code"] for one in row.tries]
    assert codes == ["cloud/capacity", "cloud/quota", "cloud/capacity"]
    done = control.store.find(Operation, order="started")
    assert [(one.kind, one.spec["zone"]) for one in done] == [
        *((kind, zone) for zone in PLACES[:3] for kind in ("up", "destroy")),
        ("up", PLACES[3]),
    ]
    texts = [event.text for event in control.store.find(Event, order="seq")]
    for zone in PLACES[:3]:
        assert any(text.startswith(f"aws {zone} spot refused: ") for text in texts)
    known = {node.node for node in control.store.find(Node, revoked=None)}
    assert len(known) == 2

    desk.down(control, "train", False, {})
    asyncio.run(until(control, lambda row: row.ended is not None))
    assert zones_of(account) == []
    control.store.close()
