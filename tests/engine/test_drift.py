"""`drift` on real stacks: what was lost and changed behind the state's back is told apart, and nothing is written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_account import Account

from compiler.offer import Market
from compiler.spec import StackSpec
from stacks import drift, home, lease, local
from stacks.carriers.files import FileCarrier
from stacks.drift import Drift, Property, Thing
from stacks.looking import _steps

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
SKYWRIGHT = Path(sys.executable).with_name("skywright")


def sky(*words: str, code: int, **env: str) -> subprocess.CompletedProcess[str]:
    """A command in a shell whose project is that of the stacks."""
    shell = {**os.environ, "SKYWRIGHT_PROJECT": "proj", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}
    done = subprocess.run(
        [str(SKYWRIGHT), *words], env={**shell, **env}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code, f"{words} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def content() -> dict[str, str]:
    """Every file of the state backend, but for the one that leases touch to learn the time."""
    root = home.home() / "state"
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def here() -> StackSpec:
    """A stack of one node on this machine."""
    agent = home.home() / "agents" / "5ta9d1"
    agent.mkdir(parents=True)
    (agent / "agent.py").write_text("import signal\nsignal.pause()\n")
    return StackSpec(
        project="proj",
        stack="hello-local",
        deployment="hello",
        cloud="local",
        instance_type=local.INSTANCE_TYPE,
        market=Market.SPOT,
        nodes=1,
        agent="5ta9d1",
    )


def test_lost_is_told_from_changed_and_one_refusal_hides_nothing(account: Account, here: StackSpec) -> None:
    made = account.well("up", account.spec(nodes=2))
    account.well("up", here)
    before = content()
    well = sky("drift", code=0)
    assert (well.stdout, well.stderr) == ("no drift: 3 stacks as the state says\n", "")

    lost, kept = made["nodes"][1]["id"], made["nodes"][0]["id"]
    account.moto.lose(lost)
    retagged = [{"Key": "team", "Value": "vision"}]
    account.moto.client("ec2").create_tags(Resources=[kept], Tags=retagged)
    told = json.loads(sky("drift", "train", "--json", code=7).stdout)
    (stack,) = told["stacks"]
    assert (stack["name"], stack["stack"], stack["state"]) == ("train", "train-aws-us-east-1", "drifted")
    assert [(one["resource"], one["id"]) for one in stack["lost"]] == [("node-1", lost)]
    assert [(one["resource"], one["id"], one["properties"]) for one in stack["changed"]] == [
        ("node-0", kept, [{"path": "tags.team", "was": "nlp", "now": "vision"}])
    ]

    # Nobody lets this shell into the account any more: its stacks are named, the one that is here is still judged.
    (node,) = [one.node for one in local.inventory() if one.deployment == "hello"]
    local.remove(node)
    refused = sky("drift", code=7, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert refused.stdout.splitlines() == [
        "hello-local: 1 lost",
        f"  lost     node-0  skywright:local:Node  {node}",
        "drift in 1 of 3 stacks",
    ]
    assert "not asked: train-aws-us-east-1: " in refused.stderr
    assert "not asked: foundation-aws-us-east-1: " in refused.stderr
    assert content() == before, "looking writes nothing"
    for spec in (here, account.spec(nodes=2)):
        account.well("destroy", spec)


def test_what_is_being_written_is_not_judged(account: Account, here: StackSpec) -> None:
    account.well("up", here)
    held = lease.acquire(FileCarrier(home.home() / "state"), "proj", "hello-local", "up of hello")
    try:
        told = json.loads(sky("drift", "--json", code=0).stdout)
    finally:
        held.release()
    (stack,) = told["stacks"]
    assert stack["state"] == "busy"
    assert "up of hello" in stack["busy"]
    account.well("destroy", here)
    assert sky("drift", code=0).stdout == "no stacks: there is nothing to look at\n"


@pytest.mark.parametrize(
    ("stack", "cloud"),
    [
        ("train-aws-us-east-1", "aws"),
        ("on-aws-local", "local"),
        ("my-gcp-thing-azure-eastus", "azure"),
        ("foundation-gcp-us-central1", "gcp"),
        ("aws", "local"),
    ],
)
def test_the_cloud_stands_in_a_stack_s_name(stack: str, cloud: str) -> None:
    assert drift.cloud_of(stack) == cloud


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("tags.team", ["tags", "team"]),
        ('tags["skywright:stack"]', ["tags", "skywright:stack"]),
        ('a["b.c"][0].d', ["a", "b.c", "0", "d"]),
        ('a["never closed', ["a", "never closed"]),
        ("", []),
    ],
)
def test_paths_of_properties_are_read_as_the_engine_writes_them(path: str, steps: list[str]) -> None:
    assert _steps(path) == steps


def test_drift_goes_between_processes() -> None:
    from compiler.codec import decode, encode

    thing = Thing("node-0", "aws:ec2/instance:Instance", "i-1", (Property("tags.team", "nlp"),))
    told: Any = Drift("train-aws", lost=(thing,), known=("i-1",), busy="ann")
    assert decode(Drift, json.loads(json.dumps(encode(told)))) == told
