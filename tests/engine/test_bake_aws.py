"""An image is baked on AWS, through the real engine on moto: machine, recipe as user data, image, machine gone."""

from __future__ import annotations

import base64
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from desk import wait

from compiler.catalog import contents
from compiler.catalog.images import Image, image_for
from compiler.problem import Problems
from compiler.spec import Given
from skywright import baking, snapshots
from stacks import home
from stacks import install as engine_install
from stacks.aws import rights
from stacks.image import recipe
from stacks.provider import agents
from tests.standins.fixtures import Moto
from tests.standins.install import install
from tests.standins.store import Store

pytestmark = pytest.mark.engine
REGION = "us-east-1"
BASE = Image(
    "ubuntu-24.04", "aws", None, "ami-12c6146b", "id", None, None, None, "x86_64", "2026-01-01", "a test"
)
PASSED = ("AWS_", "SKYWRIGHT_STANDINS")


@pytest.fixture
def env(moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in list(os.environ):
        if name.startswith("PULUMI_"):
            monkeypatch.delenv(name)
    assert engine_install.find() is not None, "these tests need the engine: `./invoke engine` gets it"
    install(home.home() / "pulumi", ("aws",))
    monkeypatch.setattr(baking, "POLL_S", 0.05)
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    return {**passed, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}


GIVEN_RIGHTS = frozenset(action for one in rights.RIGHTS for action in one.actions)


def order(**changes: object) -> baking.Order:
    values = {"zone": "us-east-1a", "project": "proj", "owner": "ann", "given": Given()}
    return baking.Order("aws", REGION, base=BASE, **{**values, **changes})  # type: ignore[arg-type]


def test_an_image_is_made_and_nothing_else_is_left(moto: Moto, env: dict[str, str], store: Store) -> None:
    wanted = baking.spec(order(), agents.digest())
    found: dict[str, str] = {}

    def machine() -> None:
        """Runs the recipe and stops, as far as moto is a machine."""
        wait(lambda: moto.instances(), 60, "the machine")
        one = moto.instances()[0]
        ec2 = moto.client("ec2")
        told = ec2.describe_instance_attribute(InstanceId=one["InstanceId"], Attribute="userData")
        found["user_data"] = base64.b64decode(told["UserData"]["Value"]).decode()
        behaviour = ec2.describe_instance_attribute(
            InstanceId=one["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
        )
        found["behaviour"] = behaviour["InstanceInitiatedShutdownBehavior"]["Value"]
        ec2.stop_instances(InstanceIds=[one["InstanceId"]])

    thread = threading.Thread(target=machine)
    thread.start()
    said: list[str] = []
    made = baking.bake(wanted, BASE, env, said.append)
    thread.join()

    assert found["behaviour"] == "stop", "a machine that ended the recipe must still be there"
    text = found["user_data"]
    assert len(text.encode()) <= 16384
    constants = json.loads(text.split("' '", 1)[1].rsplit("'\ndone", 1)[0].replace("'\\''", "'"))
    assert constants["recipe"] == recipe.script(agents.digest()).decode()
    assert constants["agent"] == agents.digest()

    ec2 = moto.client("ec2")
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    assert (image["ImageId"], image["Name"]) == (made.id, made.name)
    done = {f"{call.service}:{call.operation}" for call in store.calls("aws") if call.service == "ec2"}
    assert done - GIVEN_RIGHTS == set(), "the documented policy is enough"
    assert "ec2:CreateImage" in done
    assert moto.instances() == []
    assert moto.client("s3").list_buckets()["Buckets"] == []
    assert moto.client("iam").list_roles()["Roles"] == []
    assert list((home.home() / "bakes").iterdir()) == []

    known = contents.images(snapshots.opened(snapshots.current()))
    assert image_for("aws", REGION, None, "x86_64", images=known) == made
    other = image_for("aws", "us-west-2", None, "x86_64", images=known)
    assert other is not None
    assert not other.baked
    gpu = image_for("aws", REGION, "A100", "x86_64", images=known)
    assert gpu is not None
    assert not gpu.baked


def test_a_machine_that_vanishes_is_told_and_the_next_bake_makes_another(
    moto: Moto, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = baking.spec(order(), agents.digest())
    carry_out = baking.operate

    def then_lose(*words: Any) -> dict[str, Any]:
        result = carry_out(*words)
        moto.lose(result["nodes"][0]["id"])
        return result

    monkeypatch.setattr(baking, "operate", then_lose)
    with pytest.raises(Problems) as raised:
        baking.bake(wanted, BASE, env, lambda text: None)
    assert raised.value.problems[0].code == "cloud/bake-failed"

    def then_stop(*words: Any) -> dict[str, Any]:
        result = carry_out(*words)
        moto.client("ec2").stop_instances(InstanceIds=[result["nodes"][0]["id"]])
        raise KeyboardInterrupt

    monkeypatch.setattr(baking, "operate", then_stop)
    with pytest.raises(KeyboardInterrupt):
        baking.bake(wanted, BASE, env, lambda text: None)
    assert len(moto.instances()) == 1, "another machine takes the place of the lost one"
    carry_out(wanted, "destroy", env)
    assert moto.instances() == []
