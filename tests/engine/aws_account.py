"""An AWS account on moto, and operations of ours in it through the real engine and the unmodified SDK."""

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
from stacks.aws import instances, rights
from stacks.cloud import Scope
from stacks.operate import Kind, Request
from stacks.provider import agents
from tests.standins.fixtures import Moto
from tests.standins.install import install
from tests.standins.store import Store

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


ACTIONS = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:GetBucketLocation": "s3:ListBucket",
}
"""Calls whose right has another name than they have."""


def right(service: str, operation: str) -> str:
    """The right that a call of the API needs."""
    action = f"{service.replace('-', '')}:{operation}"
    return ACTIONS.get(action, action)


GIVEN = frozenset(action for one in rights.RIGHTS for action in one.actions)
"""Every right of the documented policy."""


@dataclass
class Account:
    """An AWS account on moto, and operations in a home of this test."""

    root: Path
    moto: Moto
    store: Store
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

    def ended(self, folder: Path, seconds: float = 180) -> dict[str, Any] | None:
        wait(lambda: not operate.running(folder), seconds, f"the end of {folder}")
        return operate.result(folder)

    def well(self, kind: str, spec: StackSpec | Foundation, **request: Any) -> dict[str, Any]:
        folder = self.begin(kind, spec, **request)
        result = self.ended(folder)
        assert result is not None, (folder / "output.txt").read_text()
        assert result["ok"], f"{result['problem']}\n{(folder / 'output.txt').read_text()}"
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

    def missing(self) -> set[str]:
        """Rights that the documented policy lacks for what the provider did."""
        return {right(call.service, call.operation) for call in self.store.calls("aws")} - GIVEN

    def clear(self) -> None:
        for folder in (self.root / "operations").glob("**/"):
            if (who := operate.owner(folder)) is not None:
                process.end(who)
        settled = backend.settle({})
        for spec in (self.spec(), self.spec().foundation):
            assert spec is not None
            engine.end_leftovers(engine.mark(settled, spec), None)


@pytest.fixture
def account(moto: Moto, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in list(os.environ):
        if name.startswith("PULUMI_"):
            monkeypatch.delenv(name)
    found = engine_install.find()
    assert found is not None, "these tests need the engine: `./invoke engine` gets it"
    install(home.home() / "pulumi", ("aws",))
    made = Account(tmp_path, moto, store)
    yield made
    made.clear()


def changed(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(operation, resource) of all that was not left as it was."""
    return sorted((step["op"], step["resource"]) for step in result["steps"] if step["op"] != "same")
