"""Stacks on AWS through the real engine and the unmodified SDK, on moto: their whole life."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest
from aws_account import Account, changed

from compiler.offer import Market, Offer
from compiler.plan import Placement, Plan
from compiler.spec import Given, StackSpec
from skywright.review import rows
from stacks import home
from stacks.aws import names
from tests.standins.moto_server import ACCOUNT

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


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
    assert priced(account.well("preview", replace(spec, market=Market.ON_DEMAND)), spec) == (
        [(f"node-{rank}", 1.0, 3.0) for rank in range(8)],
        8 * 2.0,
    ), "what runs now is priced as it is, what comes as it will be"

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
    assert account.missing() == set(), "the documented policy is enough"


def priced(result: dict[str, Any], spec: StackSpec) -> tuple[list[tuple[str, float, float]], float]:
    """USD per hour of each replaced machine now and then, and the difference of the whole stack."""
    prices = {Market.SPOT: 1.0, Market.ON_DEMAND: 3.0}
    offers = [
        Offer("aws", spec.region, spec.zone, spec.instance_type, market, usd, 4, 16)
        for market, usd in prices.items()
    ]
    placements = tuple(Placement(one, spec.nodes, one.price * spec.nodes) for one in offers)
    plan = Plan(spec.deployment, 2, (), placements, (), (), None)
    (row,) = rows.rows(result, spec, plan, name=spec.deployment)
    found = [one for one in row.changes if one.op == "replace" and one.before and one.after]
    machines = [
        (one.resource, one.before.parts[0].hourly, one.after.parts[0].hourly)
        for one in found
        if one.before and one.after
    ]
    return machines, round(row.cost.hourly, 6)


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


def test_fast_networks_have_their_interfaces_and_addresses(account: Account) -> None:
    spec = account.spec(nodes=2, instance_type="p4d.24xlarge", network_tier="best")
    made = account.well("up", spec)
    kinds = sorted(step["resource"] for step in made["steps"])
    assert {"together", "interfaces", "address-0", "address-1"} <= set(kinds)
    lost = made["nodes"][1]["id"]
    account.moto.lose(lost)
    replaced = account.well("up", spec, lost=(lost,))
    assert changed(replaced) == [("replace", "node-1"), ("update", "address-1")]
    assert changed(account.well("preview", spec)) == []
    account.well("destroy", spec)
    assert account.moto.instances() == []
    assert account.moto.client("ec2").describe_addresses()["Addresses"] == []
    assert account.missing() == set()


def test_values_of_secrets_are_written_beside_the_stack(account: Account) -> None:
    spec = account.spec(nodes=1, secrets=("TOKEN_A", "TOKEN_B"))
    account.well("up", spec, secrets={"TOKEN_A": "the-first-value"})
    keeper = account.moto.client("secretsmanager")
    assert (
        keeper.get_secret_value(SecretId=names.secret(spec, "TOKEN_A"))["SecretString"] == "the-first-value"
    )
    again = account.well("up", spec, secrets={"TOKEN_A": "the-first-value", "TOKEN_B": "another-value"})
    assert changed(again) == []
    versions = keeper.list_secret_version_ids(SecretId=names.secret(spec, "TOKEN_A"))["Versions"]
    assert len(versions) == 1, "what is there is not written again"
    for path in [*account.root.rglob("*"), *home.home().rglob("*")]:
        if path.is_file():
            assert b"-value" not in path.read_bytes(), path
    account.well("destroy", spec)
    assert keeper.list_secrets()["SecretList"] == []
    assert account.missing() == set()


def test_a_checkpoint_outlives_its_stack_and_is_taken_on_again(account: Account) -> None:
    spec, s3 = account.spec(nodes=1, checkpoint="~/ckpt"), account.moto.client("s3")
    account.well("up", spec)
    (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket, Key="skywright/checkpoint/step-100", Body=b"weights")
    account.well("destroy", spec)
    assert s3.get_object(Bucket=bucket, Key="skywright/checkpoint/step-100")["Body"].read() == b"weights"
    closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(closed.values()), "and stays closed"
    account.well("up", spec)
    assert [call.operation for call in account.store.calls("aws")].count("CreateBucket") == 1
    assert changed(account.well("preview", spec)) == []
    assert s3.get_object(Bucket=bucket, Key="skywright/checkpoint/step-100")["Body"].read() == b"weights"


def _way(instance: dict[str, Any]) -> str:
    """Its only interface."""
    (found,) = instance["NetworkInterfaces"]
    return str(found["NetworkInterfaceId"])


def test_what_the_team_owns_is_used_and_left_alone(account: Account) -> None:
    ec2, iam = account.moto.client("ec2"), account.moto.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "team-vpc"}])
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a")
    group = ec2.create_security_group(GroupName="team-nodes", Description="nodes", VpcId=vpc)["GroupId"]
    iam.create_role(RoleName="team-nodes", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="team-nodes")
    iam.add_role_to_instance_profile(InstanceProfileName="team-nodes", RoleName="team-nodes")
    key = account.moto.client("kms").create_key()["KeyMetadata"]["KeyId"]
    given = Given(
        account=ACCOUNT, network="team-vpc", security_groups=("team-nodes",), role="team-nodes", key=key
    )
    spec = account.spec(nodes=2, network=None, given=given, encrypted_with=key)
    made = account.well("up", spec)
    assert made.get("foundation") is None
    (first, _) = account.moto.instances()
    assert first["SubnetId"] == subnet["Subnet"]["SubnetId"]
    assert [one["GroupId"] for one in first["SecurityGroups"]] == [group]
    assert first["IamInstanceProfile"]["Arn"].endswith("instance-profile/team-nodes")
    assert changed(account.well("preview", spec)) == []
    more = ec2.create_security_group(GroupName="team-more", Description="nodes", VpcId=vpc)["GroupId"]
    iam.create_role(RoleName="team-more", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="team-more")
    iam.add_role_to_instance_profile(InstanceProfileName="team-more", RoleName="team-more")
    given = replace(given, security_groups=("team-nodes", "team-more"), role="team-more")
    again = account.well("up", replace(spec, given=given))
    assert again["nodes"] == made["nodes"], "living nodes are changed in place"
    (first, _) = account.moto.instances()
    (way,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[_way(first)])["NetworkInterfaces"]
    assert {one["GroupId"] for one in way["Groups"]} == {group, more}
    of = [{"Name": "instance-id", "Values": [first["InstanceId"]]}]
    (who,) = ec2.describe_iam_instance_profile_associations(Filters=of)["IamInstanceProfileAssociations"]
    assert who["IamInstanceProfile"]["Arn"].endswith("instance-profile/team-more")
    assert account.missing() == {"kms:DescribeKey"}, "the page asks for it where the key is the user's"
    account.well("destroy", spec)
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert iam.get_role(RoleName="team-nodes")
    elsewhere = account.ended(account.begin("preview", account.spec(given=Given(account="999999999999"))))
    assert elsewhere is not None
    assert elsewhere["failure"] == "credentials", elsewhere["problem"]


def test_what_is_not_there_is_named(account: Account) -> None:
    spec = account.spec(nodes=1, network=None, given=Given(network="nobody-has-it"))
    result = account.ended(account.begin("preview", spec))
    assert result is not None
    assert result["problem"]["code"] == "cloud/not-found"
    assert "VPC" in result["problem"]["message"]


def test_what_a_lost_state_knew_is_purged(account: Account) -> None:
    spec = account.spec(nodes=1, secrets=("TOKEN",))
    foundation = spec.foundation
    assert foundation is not None
    account.well("up", spec)
    (bucket,) = [one["Name"] for one in account.moto.client("s3").list_buckets()["Buckets"]]
    shutil.rmtree(home.home() / "state")
    account.well("destroy", spec, purge=True)
    account.well("destroy", foundation, purge=True)
    assert account.left() == [bucket], "storage with something in it stays"
