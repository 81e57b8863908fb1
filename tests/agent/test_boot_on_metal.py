"""User data on machines: the agent from the bucket or from the image, checked either way; the machine's own end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.boot import AGENTS, Boot, Store, user_data
from stacks.provider import agents
from tests.agent.stores import BUCKET
from tests.conftest import need
from tests.standins import metal as data_centre
from tests.standins.metal import Metal

pytestmark = pytest.mark.carried("s3")
DIGEST = agents.digest()
HOME = "/root"  # of the user that cloud-init runs scripts as


@pytest.fixture
def metal(control, emulators, kit, tmp_path: Path) -> Iterator[Metal]:
    """Machines for the instances of an account with a role for nodes."""
    import boto3

    need(data_centre.possible(), "root on Linux, with network namespaces")
    url = emulators("s3").url
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    iam = boto3.client("iam", region_name="us-east-1", endpoint_url=url, **keys)
    if not iam.list_roles()["Roles"]:
        iam.create_role(RoleName="nodes", AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName="nodes")
        iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="nodes")
    iam.close()
    with Metal(url, tmp_path / "metal") as made:
        yield made
        for node in list(made.machines):
            made.lose(node)
        kit.until(lambda: not made.machines)
    assert made.trouble == []


@pytest.fixture
def boot(control, metal: Metal) -> Callable[..., str]:
    """Run an instance with the user data of a rank; its id. Control expects it from then on."""

    def run(**changes: Any) -> str:
        store = Store("s3", BUCKET, control.carrying.store.prefix, region="us-east-1")
        boot = Boot(
            **{
                "cloud": "aws",
                "project": "p",
                "deployment": "d",
                "rank": 0,
                "agent": DIGEST,
                "store": store,
                "deadman_s": 600,
                **changes,
            }
        )
        made = metal.client("ec2").run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.micro",
            UserData=user_data(boot).decode(),
            IamInstanceProfile={"Name": "nodes"},
            InstanceInitiatedShutdownBehavior="terminate",
        )
        node = str(made["Instances"][0]["InstanceId"])
        control.carrying.link(node)
        return node

    return run


def said(metal: Metal, node: str) -> str:
    return metal.machines[node].console if node in metal.machines else ""


def bring(control: Any) -> None:
    """The agent into the bucket."""
    control.carrying.put(f"{AGENTS}/{DIGEST}", agents.archive(DIGEST).read_bytes())


def test_the_stub_waits_for_the_agent_and_takes_no_other(control, metal: Metal, boot, kit) -> None:
    control.want(kit.order("echo booted as $(id -un) in $PWD; exit 3"))
    node = boot()
    kit.until(lambda: "no agent yet" in said(metal, node), "the stub to say that there is no agent")
    other = agents.archive(DIGEST).read_bytes().replace(b"def main(", b"def niam(")
    control.carrying.put(f"{AGENTS}/{DIGEST}", other)
    kit.until(lambda: "another hash" in said(metal, node), "the stub to refuse a changed agent")
    assert control.joins == []
    bring(control)
    last = control.ended(patience_s=40)
    assert (last["phase"], last["exit_code"]) == ("failed", 3)
    assert control.whole_log().decode() == f"booted as root in {HOME}/sky_workdir\n"
    assert control.joins[0]["agent"] == DIGEST
    assert metal.front.refused == []


def test_an_image_that_has_the_agent_fetches_nothing(control, metal: Metal, boot, kit) -> None:
    def bake(root: Path) -> None:
        shutil.copytree(agents.archive(DIGEST).with_suffix(""), root / "opt/skywright/agents" / DIGEST)

    metal.bake = bake
    control.want(kit.order("echo baked"))
    boot()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"baked\n"
    assert metal.front.passed["GET s3.us-east-1.amazonaws.com"] == 0, "the stub asked for the agent"


def test_an_agent_of_the_image_that_was_changed_is_replaced(control, metal: Metal, boot, kit) -> None:
    def bake(root: Path) -> None:
        place = root / "opt/skywright/agents" / DIGEST
        shutil.copytree(agents.archive(DIGEST).with_suffix(""), place)
        with open(place / "loop.py", "a") as file:
            file.write("raise SystemExit('not what was compiled')\n")

    metal.bake = bake
    bring(control)
    control.want(kit.order("echo fetched"))
    boot()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"fetched\n"


def test_a_machine_that_hears_nothing_ends_itself(control, metal: Metal, boot, kit) -> None:
    bring(control)
    control.want(kit.order("trap 'touch ~/saved; exit 0' TERM; echo up; while true; do sleep 0.05; done"))
    node = boot(deadman_s=2)
    kit.until(lambda: control.log() == b"up\n")
    root = metal.machines[node].root
    control.stop()
    kit.until(lambda: (node, "switched itself off") in metal.ended)
    assert (root / "root" / "saved").exists()

    def state() -> str:
        found = metal.client("ec2").describe_instances(InstanceIds=[node])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    kit.until(lambda: state() == "terminated")


def test_a_machine_past_its_time_ends_itself(control, metal: Metal, boot, kit) -> None:
    bring(control)
    node = boot(most_s=0.001)
    kit.until(lambda: (node, "switched itself off") in metal.ended)


def test_a_fenced_machine_ends_itself(control, metal: Metal, boot, kit) -> None:
    bring(control)
    control.want(kit.order("trap '' TERM; echo up; sleep 600"))
    node = boot()
    kit.until(lambda: control.log() == b"up\n")
    control.fenced = True
    kit.until(lambda: (node, "switched itself off") in metal.ended)
