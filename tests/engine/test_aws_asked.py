"""What is asked of AWS outside Pulumi, on moto: nodes by their tags, stop and start, who somebody is, check, rights."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_account import GIVEN, right
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from compiler.offer import Market
from compiler.problem import Problems
from compiler.spec import StackSpec
from runtime.s3 import S3
from stacks import aws
from stacks.aws import instances, names, proving, rights, session
from stacks.cloud import Failure, Scope
from tests.standins.fixtures import Moto

HERE = Scope(region="us-east-1")
ROOT = Path(__file__).parents[2]
AMI = "ami-12c6146b"


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every call that a test makes has its right in the documented policy."""
    made: set[str] = set()
    real = session.client

    def watched(service: str, where: str) -> Any:
        client = real(service, where)

        def note(model: Any, **_: Any) -> None:
            made.add(right(model.service_model.service_name, model.name))

        client.meta.events.register("before-call", note)
        return client

    monkeypatch.setattr(session, "client", watched)
    yield
    assert made <= GIVEN


def spec(**changes: Any) -> StackSpec:
    values: dict[str, Any] = {
        "project": "proj",
        "stack": "train-aws-us-east-1",
        "deployment": "train",
        "cloud": "aws",
        "region": "us-east-1",
        "instance_type": "g5.xlarge",
        "market": Market.SPOT,
        "nodes": 2,
        "agent": "0" * 64,
    }
    return StackSpec(**{**values, **changes})


def node(moto: Moto, rank: int = 0, region: str = "us-east-1", spot: bool = False, **more: Any) -> str:
    tags = names.tags(spec(), f"train-{rank}", rank)
    if spot:
        more["InstanceMarketOptions"] = {"MarketType": "spot"}
    made = moto.client("ec2", region).run_instances(
        ImageId=AMI,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
        **more,
    )
    return str(made["Instances"][0]["InstanceId"])


def refused(call: Any, *given: Any) -> str:
    with pytest.raises(Problems) as caught:
        call(*given)
    return caught.value.problems[0].code


def test_nodes_are_found_in_every_region_and_strangers_are_not(
    moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"us-east-1", "eu-west-1"} < set(instances.enabled(HERE))
    # moto takes a second to open a region.
    monkeypatch.setattr(instances, "enabled", lambda scope: ["eu-west-1", "us-east-1"])
    here, there = node(moto), node(moto, rank=1, region="eu-west-1")
    moto.client("ec2").run_instances(ImageId=AMI, MinCount=1, MaxCount=1)
    assert [one.node for one in aws.inventory("proj", HERE)] == [here]
    everywhere = aws.inventory("proj")
    assert {(one.node, one.rank, one.region) for one in everywhere} == {
        (here, 0, "us-east-1"),
        (there, 1, "eu-west-1"),
    }
    assert {one.node for one in aws.inventory()} == {here, there}
    assert aws.inventory("no-such-project") == ()
    (found,) = aws.inventory("proj", HERE)
    assert (found.deployment, found.stack, found.alive) == ("train", "train-aws-us-east-1", True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.created)
    (seen,) = moto.instances()[:1]
    assert (found.address, found.public) == (seen["PrivateIpAddress"], seen["PublicIpAddress"])
    assert found.public


def test_removing_twice_and_removing_nothing_is_no_trouble(moto: Moto) -> None:
    made = node(moto)
    for one in (made, made, "i-0123456789abcdef0", "hello-0-000000"):
        aws.remove(one, HERE)
    assert aws.inventory("proj", HERE) == ()


def test_on_demand_nodes_stop_and_start_and_spot_nodes_do_not(moto: Moto) -> None:
    steady, spot = node(moto), node(moto, rank=1, spot=True)
    aws.stop((steady,), HERE)
    assert [one.stopped for one in aws.inventory("proj", HERE) if one.node == steady] == [True]
    aws.start((steady,), HERE)
    assert all(one.alive for one in aws.inventory("proj", HERE))
    assert refused(aws.stop, (steady, spot), HERE) == "cloud/cannot-stop"
    assert all(one.alive for one in aws.inventory("proj", HERE)), "none was stopped"


def test_chaos_takes_nodes_away_and_does_not_pretend_a_notice(moto: Moto) -> None:
    steady, spot = node(moto), node(moto, rank=1, spot=True)
    assert refused(aws.preempt, spot, 120.0, HERE) == "cloud/no-notice"
    assert refused(aws.preempt, steady, 120.0, HERE) == "cloud/not-spot"
    aws.preempt(spot, None, HERE)
    assert [one.node for one in aws.inventory("proj", HERE)] == [steady]
    assert refused(aws.preempt, spot, None, HERE) == "cloud/no-such-node"


def test_people_reach_nodes_without_an_open_port() -> None:
    way = aws.access("i-0123456789abcdef0", HERE)
    assert way.shell[:3] == ("aws", "ssm", "start-session")
    assert "portNumber={port},localPortNumber={local}" in way.forward
    assert way.proxy is not None
    assert "AWS-StartSSHSession" in way.proxy


# Who somebody is.


def identity(moto: Moto, name: str) -> None:
    """A role with its instance profile."""
    iam = moto.client("iam")
    iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )
    iam.create_instance_profile(InstanceProfileName=f"{name}-profile")
    iam.add_role_to_instance_profile(InstanceProfileName=f"{name}-profile", RoleName=name)


def proof(moto: Moto, role: str, session: str, node: str, header: bool = True) -> str:
    """What the agent of `node` signs with the credentials of its instance."""
    keys = moto.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::123456789012:role/{role}", RoleSessionName=session
    )["Credentials"]
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    headers |= {proving.HEADER: node} if header else {}
    asked = AWSRequest("POST", f"{moto.url}/", data=proving.BODY, headers=headers)
    given = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    SigV4Auth(given, "sts", "us-east-1").add_auth(asked)
    return json.dumps(dict(asked.headers.items()))


def test_a_node_proves_itself_by_what_only_its_instance_can_sign(moto: Moto) -> None:
    identity(moto, "skywright-train")
    identity(moto, "somebody-else")
    made = node(moto, IamInstanceProfile={"Name": "skywright-train-profile"})
    other = node(moto, rank=1, IamInstanceProfile={"Name": "skywright-train-profile"})
    good = proof(moto, "skywright-train", made, made)
    assert aws.verify(made, good, HERE)
    assert not aws.verify(other, good, HERE), "signed by another node"
    assert not aws.verify(made, proof(moto, "somebody-else", made, made), HERE), (
        "another role, the same session"
    )
    assert not aws.verify(made, proof(moto, "skywright-train", made, made, header=False), HERE)
    for nonsense in (
        "",
        "proof",
        "[]",
        "{}",
        '{"authorization": "none"}',
        good.replace("{", '{"a": "\\n",', 1),
    ):
        assert not aws.verify(made, nonsense, HERE)
    assert not aws.verify("hello-0-000000", good, HERE)


def test_the_agents_own_proof_is_taken(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    identity(moto, "skywright-train")
    made = node(moto, IamInstanceProfile={"Name": "skywright-train-profile"})
    keys = moto.client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/skywright-train", RoleSessionName=made
    )["Credentials"]
    given = {**keys, "Token": keys["SessionToken"]}
    signer = S3({"kind": "s3", "region": "us-east-1", "bucket": "b", "prefix": "p", "endpoint": moto.url})
    monkeypatch.setattr(signer.passport, "fetch", lambda: (given, 3600.0))
    proof = signer.proof(made, time.time())
    assert aws.verify(made, proof, HERE)
    assert not aws.verify(f"{made[:-1]}0", proof, HERE)
    assert set(proving.SENT) | {"host"} == {name.lower() for name in json.loads(proof)}


def test_sts_is_asked_where_the_node_is() -> None:
    assert proving.address("eu-west-1") == "https://sts.eu-west-1.amazonaws.com"
    assert proving.address("cn-north-1") == "https://sts.cn-north-1.amazonaws.com.cn"


# Check.


def test_check_names_the_account_and_says_what_it_could_not_ask(moto: Moto) -> None:
    lines = aws.check()
    assert lines[0].ok
    assert "123456789012" in lines[0].says
    assert all(line.says for line in lines)
    assert all(line.hint for line in lines if not line.ok)


def test_check_without_credentials_says_how_to_get_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not aws.configured()
    (line,) = aws.check()
    assert not line.ok
    assert "aws configure" in (line.hint or "")
    (tmp_path / "config").write_text("[default]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert not aws.configured(), "a region alone lets nobody in"
    (tmp_path / "config").write_text("[profile team]\nsso_session = team\nregion = us-east-1\n")
    assert aws.configured()


def test_missing_rights_are_said_by_name(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    from stacks.aws import checking

    asked = []

    class Iam:
        """IAM's simulation, which moto has not: everything is allowed but two actions."""

        def get_paginator(self, name: str) -> Iam:
            assert name == "simulate_principal_policy"
            return self

        def paginate(self, **given: Any) -> list[dict[str, Any]]:
            asked.append(given)
            rows = [
                {
                    "EvalActionName": action,
                    "EvalDecision": "implicitDeny"
                    if action in ("ec2:RunInstances", "iam:PassRole")
                    else "allowed",
                }
                for action in given["ActionNames"]
            ]
            return [{"EvaluationResults": rows}]

    real = session.client
    monkeypatch.setattr(
        session, "client", lambda service, where: Iam() if service == "iam" else real(service, where)
    )
    (line,) = checking._rights(
        {"Arn": "arn:aws:iam::123456789012:user/ann", "Account": "123456789012"}, "us-east-1"
    )
    assert not line.ok
    assert line.says == "missing rights: ec2:RunInstances, iam:PassRole"
    assert {action for one in asked for action in one["ActionNames"]} == {
        action for right in rights.RIGHTS for action in right.actions
    }


# Errors.

SAID = [
    (
        Failure.CAPACITY,
        "api error InsufficientInstanceCapacity: We currently do not have sufficient p5.48xlarge capacity",
    ),
    (
        Failure.CAPACITY,
        "api error InsufficientFreeAddressesInSubnet: The specified subnet does not have enough free",
    ),
    (
        Failure.CAPACITY,
        "api error SpotMaxPriceTooLow: Your Spot request price of 0.1 is lower than the minimum",
    ),
    (
        Failure.CAPACITY,
        "api error Unsupported: Your requested instance type (p5.48xlarge) is not supported in your requested "
        "Availability Zone (us-east-1e).",
    ),
    (Failure.QUOTA, "api error MaxSpotInstanceCountExceeded: Max spot instance count exceeded"),
    (
        Failure.QUOTA,
        "api error VcpuLimitExceeded: You have requested more vCPU capacity than your current limit of 0",
    ),
    (Failure.QUOTA, "api error VpcLimitExceeded: The maximum number of VPCs has been reached."),
    (Failure.QUOTA, "api error AddressLimitExceeded: The maximum number of addresses has been reached."),
    (Failure.CREDENTIALS, "api error ExpiredToken: The security token included in the request is expired"),
    (
        Failure.CREDENTIALS,
        "api error UnauthorizedOperation: You are not authorized to perform this operation.",
    ),
    (
        Failure.CREDENTIALS,
        "User: arn:aws:iam::1:user/a is not authorized to perform: iam:PassRole on resource: x",
    ),
    (Failure.CREDENTIALS, "No valid credential sources found. Please see the documentation"),
    (Failure.NOT_FOUND, "api error InvalidInstanceID.NotFound: The instance ID 'i-1' does not exist"),
    (Failure.NOT_FOUND, "api error InvalidAMIID.NotFound: The image id '[ami-1]' does not exist"),
    (Failure.NOT_FOUND, "reading EC2 VPCs: no matching EC2 VPC found"),
    (Failure.OTHER, "api error InvalidParameterCombination: something else"),
]


@pytest.mark.parametrize(("failure", "text"), SAID)
def test_errors_are_sorted(failure: Failure, text: str) -> None:
    assert aws.sort(text) is failure


# The policy.


def test_the_documented_policy_is_the_one_that_is_checked() -> None:
    text = (ROOT / "docs" / "clouds" / "aws.md").read_text()
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found
    assert json.loads(found[1]) == rights.policy(), "run `python -m tests.clouddoc`"


def test_a_policy_fits_into_what_iam_takes() -> None:
    text = json.dumps(rights.policy(), separators=(",", ":"))
    assert len(text) <= 6144, "a managed policy"
