"""Stacks on AWS through the real engine and the unmodified SDK, on moto: their whole life."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from desk import wait

from compiler.offer import Market
from compiler.spec import Foundation, StackSpec
from stacks import backend, engine, home, operate, process
from stacks import install as engine_install
from stacks.aws import instances
from stacks.cloud import Scope
from stacks.operate import Kind, Request
from stacks.provider import agents
from tests.standins.fixtures import Moto
from tests.standins.install import install

pytestmark = pytest.mark.engine
REGION, AMI = "us-east-1", "ami-12c6146b"
EVERYWHERE = Scope(region=REGION)
THINGS = (
    ("vpcs", "Vpcs", "VpcId"),
    ("subnets", "Subnets", "SubnetId"),
    ("route_tables", "RouteTables", "RouteTableId"),
    ("internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("security_groups", "SecurityGroups", "GroupId"),
    ("vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("volumes", "Volumes", "VolumeId"),
)
PASSED = ("AWS_", "SKYWRIGHT_STANDINS")


@dataclass
class Account:
    """An AWS account on moto, and operations in a home of this test."""

    root: Path
    moto: Moto
    count: int = 0

    def spec(self, nodes: int = 4, **changes: Any) -> StackSpec:
        values: dict[str, Any] = {
            "project": "proj",
            "stack": "train-aws-us-east-1",
            "deployment": "train",
            "cloud": "aws",
            "region": REGION,
            "zone": "us-east-1a",
            "instance_type": "g5.xlarge",
            "market": Market.SPOT,
            "nodes": nodes,
            "agent": agents.digest(),
            "image": AMI,
            "network": "skywright-proj",
            "owner": "ann",
            "task": "train",
            "labels": {"team": "nlp"},
        }
        return StackSpec(**{**values, **changes})

    def begin(self, kind: str, spec: StackSpec | Foundation, **request: Any) -> Path:
        self.count += 1
        folder = self.root / "operations" / str(self.count)
        env = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
        env |= {"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true", **request.pop("env", {})}
        operate.start(Request(folder.name, Kind(kind), spec, env=env, **request), folder)
        return folder

    def ended(self, folder: Path, seconds: float = 90) -> dict[str, Any] | None:
        wait(lambda: not operate.running(folder), seconds, f"the end of {folder}")
        return operate.result(folder)

    def well(self, kind: str, spec: StackSpec | Foundation, **request: Any) -> dict[str, Any]:
        folder = self.begin(kind, spec, **request)
        result = self.ended(folder)
        assert result is not None, (folder / "output.txt").read_text()
        assert result["ok"], (result["problem"], (folder / "output.txt").read_text())
        return result

    def nodes(self) -> list[tuple[int, str]]:
        """(rank, id) of what EC2 has of ours."""
        return sorted((node.rank, node.node) for node in instances.inventory("proj", EVERYWHERE))

    def group(self) -> str:
        """The id of the deployment's security group."""
        wanted = [{"Name": "tag:skywright:project", "Values": ["proj"]}]
        groups = self.moto.client("ec2").describe_security_groups(Filters=wanted)["SecurityGroups"]
        return str(groups[0]["GroupId"])

    def left(self) -> list[str]:
        """Whatever the account still has of ours."""
        ec2, iam = self.moto.client("ec2"), self.moto.client("iam")
        ours = [{"Name": "tag:skywright:project", "Values": ["proj"]}]
        found = [one["InstanceId"] for one in self.moto.instances()]
        for kind, member, name in THINGS:
            answer = getattr(ec2, f"describe_{kind}")(Filters=ours)
            found += [one[name] for one in answer[member] if one.get("State") != "deleted"]
        found += [one["RoleName"] for one in iam.list_roles()["Roles"]]
        found += [one["InstanceProfileName"] for one in iam.list_instance_profiles()["InstanceProfiles"]]
        found += [one["Name"] for one in self.moto.client("s3").list_buckets()["Buckets"]]
        found += [one["Name"] for one in self.moto.client("secretsmanager").list_secrets()["SecretList"]]
        return found

    def clear(self) -> None:
        for folder in (self.root / "operations").glob("**/"):
            if (who := operate.owner(folder)) is not None:
                process.end(who)
        settled = backend.settle({})
        for spec in (self.spec(), self.spec().foundation):
            assert spec is not None
            engine.end_leftovers(engine.mark(settled, spec), None)


@pytest.fixture
def account(moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in list(os.environ):
        if name.startswith("PULUMI_"):
            monkeypatch.delenv(name)
    found = engine_install.find()
    assert found is not None, "these tests need the engine: `./invoke engine` gets it"
    install(home.home() / "pulumi", ("aws",))
    made = Account(tmp_path, moto)
    yield made
    made.clear()


def changed(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(operation, resource) of all that was not left as it was."""
    return sorted((step["op"], step["resource"]) for step in result["steps"] if step["op"] != "same")


def test_a_gang_comes_up_loses_a_node_and_goes_without_a_trace(account: Account) -> None:
    spec = account.spec(nodes=8)
    foundation = spec.foundation
    assert foundation is not None
    before = account.well("preview", spec)
    assert before["foundation"]["changes"]["create"] == before["foundation"]["steps"].__len__()
    assert account.moto.instances() == [], "a preview makes nothing"

    made = account.well("up", spec)
    assert changed(made) == changed(before), "what was previewed is what was made"
    assert account.nodes() == [(row["rank"], row["id"]) for row in made["nodes"]]
    again = account.well("preview", spec)
    assert (changed(again), changed(again["foundation"])) == ([], [])

    lost = made["nodes"][3]["id"]
    account.moto.lose(lost)
    assert (3, lost) not in account.nodes()
    replaced = account.well("up", spec, lost=(lost,))
    assert changed(replaced) == [("replace", "node-3")], "exactly one node of eight"
    kept = [row for row in made["nodes"] if row["rank"] != 3]
    assert [row for row in replaced["nodes"] if row["rank"] != 3] == kept
    assert account.nodes() == [(row["rank"], row["id"]) for row in replaced["nodes"]]
    assert changed(account.well("preview", spec)) == [], "a recovery changes nothing that was reviewed"

    account.well("destroy", spec)
    assert account.moto.instances() == []
    account.well("destroy", foundation)
    assert account.left() == []


def test_drift_is_found(account: Account) -> None:
    spec = account.spec(nodes=1)
    made = account.well("up", spec)
    node, ec2 = made["nodes"][0]["id"], account.moto.client("ec2")
    ec2.create_tags(Resources=[node], Tags=[{"Key": "skywright:owner", "Value": "eve"}])
    ec2.authorize_security_group_ingress(
        GroupId=account.group(), IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    found = account.well("refresh", spec)
    assert {resource for _, resource in changed(found)} >= {"node-0"}
    mended = account.well("up", spec)
    assert ("update", "node-0") in changed(mended)
    assert made["nodes"] == mended["nodes"], "in place"
