"""Prints figures of stacks on AWS as JSON, by operations through the real engine on moto, in a scratch home."""

from __future__ import annotations

import base64
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PREVIEWS = 5


def measure(folder: Path) -> dict[str, float]:
    """Previews of an unchanged stack, nodes that change when one of eight is lost, and bytes of user data."""
    from stacks import home
    from tests.standins import moto_server
    from tests.standins.fixtures import Moto
    from tests.standins.install import install
    from tests.standins.store import VARIABLE, Store

    sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
    from aws_account import Account, changed  # type: ignore[import-not-found]

    store = folder / "standins.sqlite"
    with moto_server.serving() as url:
        os.environ |= {
            "SKYWRIGHT_HOME": str(folder / "home"),
            VARIABLE: str(store),
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        install(home.home() / "pulumi", ("aws",))
        account = Account(folder, Moto(url, {}), Store(store))
        try:
            four = account.spec(nodes=4)
            account.well("up", four)
            seconds = [preview(account, four) for _ in range(PREVIEWS)]
            account.well("destroy", four)
            judged = policy(account, four)
            made = account.well("up", account.spec(nodes=8))
            lost = made["nodes"][3]["id"]
            account.moto.lose(lost)
            replaced = account.well("up", account.spec(nodes=8), lost=(lost,))
            return {
                "preview_s": statistics.median(seconds),
                "changed": len(changed(replaced)),
                "user_data": user_data(account),
                **judged,
            }
        finally:
            account.clear()


def preview(account: Any, spec: Any) -> float:
    started = time.monotonic()
    result = account.well("preview", spec)
    seconds = time.monotonic() - started
    assert set(result["changes"]) == {"same"}, result["changes"]
    return seconds


def policy(account: Any, spec: Any) -> dict[str, float]:
    """What rules over resources add to an `up`: of a new stack by a preview, of one that is as ordered by its state."""
    from stacks import operate
    from stacks.rules.policy import Policy, Statement

    rules = Policy((Statement.of("encrypted-disks", {}),)).to_data()

    def up(**more: Any) -> tuple[float, float]:
        folder = account.begin("up", spec, policy=rules, **more)
        result = account.ended(folder)
        assert result["ok"], result["problem"]
        events, _ = operate.read(folder, 0)
        step = next(one for one in events if one.get("name") == "policy" and one["status"] == "done")
        return step["seconds"], result["seconds"]["total"]

    first, whole = up()
    again, _ = up(applied=True)
    account.well("destroy", spec)
    return {"policy_s": first, "policy_up_s": whole, "policy_again_s": again}


def user_data(account: Any) -> int:
    """Of the largest node, as EC2 has it."""
    ec2 = account.moto.client("ec2")
    sizes = []
    for _, node in account.nodes():
        found = ec2.describe_instance_attribute(InstanceId=node, Attribute="userData")
        sizes.append(len(base64.b64decode(found["UserData"]["Value"])))
    return max(sizes)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder))))


if __name__ == "__main__":
    main()
