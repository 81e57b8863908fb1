"""A stack whose account lets nobody in any more is forgotten, and what may be left is told thing by thing."""

from __future__ import annotations

import pytest
from aws_account import Account

from stacks import aws
from stacks.cloud import Scope

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
NOBODY = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def test_a_purge_without_credentials_forgets_the_stack_and_names_what_is_left(account: Account) -> None:
    spec = account.spec(nodes=2)
    made = account.well("up", spec)
    ids = {row["id"] for row in made["nodes"]}
    refused = account.ended(account.begin("destroy", spec, env=NOBODY))
    assert refused is not None
    assert not refused["ok"], "without --purge nothing is forgotten"
    assert {node for _, node in account.nodes()} == ids

    done = account.well("destroy", spec, purge=True, env=NOBODY)
    left = done["left"]
    assert ids < {thing["id"] for thing in left["things"]}
    assert {thing["resource"] for thing in left["things"]} >= {"node-0", "node-1", "nodes", "bucket", "role"}
    assert "redentials" in left["why"]
    assert left["tags"] == {"skywright:project": "proj", "skywright:stack": "train-aws-us-east-1"}
    assert left["commands"][0] == (
        "aws resourcegroupstaggingapi get-resources --region us-east-1 --tag-filters"
        " Key=skywright:project,Values=proj Key=skywright:stack,Values=train-aws-us-east-1"
    )
    again = account.well("destroy", spec, env=NOBODY)
    assert again["changes"] == {}, "the stack is forgotten: there is nothing to remove"

    # What stands there is seen by its tags and names, and seeing it removes nothing.
    tags = [{"Key": key, "Value": value} for key, value in left["tags"].items()]
    ec2 = account.moto.client("ec2")
    disk = ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=1, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
    )["VolumeId"]
    before = account.left()
    seen = aws.sweep(spec, frozenset(), Scope.of(spec), look=True)
    assert {one.rpartition(" ")[0] for one in seen} >= {
        "security group",
        "role",
        "instance profile",
        "volume",
    }
    assert f"volume {disk}" in seen
    known = frozenset({account.group()})
    assert not any("security group" in one for one in aws.sweep(spec, known, Scope.of(spec), look=True))
    assert account.left() == before

    # With credentials the same purge finds what was left and takes it away, though no state knows it.
    found = account.well("destroy", spec, purge=True)
    assert found["left"] is None
    assert account.nodes() == []
    assert disk not in account.left()
