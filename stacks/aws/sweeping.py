"""Deletes what a create that was cut off left on AWS beside nodes, so that the same create does not meet it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.spec import Foundation, StackSpec
from stacks.aws import names, session
from stacks.cloud import Scope

PATIENCE_S = 40.0
HELD = ("DependencyViolation", "DeleteConflict", "InvalidPlacementGroup.InUse")


@dataclass(frozen=True, slots=True)
class Left:
    """One thing: what it is to people, the id that a state would know it by, and how it is deleted."""

    what: str
    id: str
    delete: Callable[[], Any]


def sweep(spec: StackSpec | Foundation, known: frozenset[str], look: bool) -> tuple[str, ...]:
    """What was deleted, or with `look` would be, for people. Nothing that the state knows is touched, and no bucket
    with something in it."""
    region = session.region(Scope.of(spec))
    if isinstance(spec, StackSpec):
        found = [*_identity(spec, region), *_secrets(spec, region), *_groups(spec, region)]
        found += _bucket(spec, region)
    else:
        found = list(_network(spec, region))
    gone = []
    for left in found:
        if left.id not in known:
            if not look:
                with session.unless_missing(f"removing {left.what} {left.id}"):
                    _patiently(left.delete)
            gone.append(f"{left.what} {left.id}")
    return tuple(gone)


def _patiently(delete: Callable[[], Any]) -> None:
    """Again while something that is going still holds on to it: an instance takes its time to terminate."""
    from botocore.exceptions import ClientError

    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            delete()
            return
        except ClientError as error:
            if session.code(error) not in HELD or time.monotonic() > until:
                raise
        time.sleep(2)


def _seen(what: str, call: Callable[[], Any]) -> Any:
    """What `call` answers, or None where there is no such thing."""
    with session.unless_missing(f"looking for {what}"):
        return call()
    return None


def _identity(spec: StackSpec, region: str) -> Iterator[Left]:
    if spec.given.role:
        return
    iam, role, profile = session.client("iam", region), names.role(spec), names.profile(spec)
    found = _seen(profile, lambda: iam.get_instance_profile(InstanceProfileName=profile))
    if found:
        roles = [one["RoleName"] for one in found["InstanceProfile"]["Roles"]]
        yield Left("instance profile", profile, lambda: _drop_profile(iam, profile, roles))
    if _seen(role, lambda: iam.get_role(RoleName=role)):
        yield Left("role", role, lambda: _drop_role(iam, role))


def _drop_profile(iam: Any, name: str, roles: list[str]) -> None:
    for role in roles:
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=name)


def _drop_role(iam: Any, name: str) -> None:
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


def _secrets(spec: StackSpec, region: str) -> Iterator[Left]:
    keeper = session.client("secretsmanager", region) if spec.secrets else None
    for secret in spec.secrets:
        name = names.secret(spec, secret)
        assert keeper is not None
        found = _seen(name, lambda name=name: keeper.describe_secret(SecretId=name))
        if found:
            arn = found["ARN"]
            yield Left(
                "secret",
                arn,
                lambda arn=arn: keeper.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True),
            )


def _groups(spec: StackSpec, region: str) -> Iterator[Left]:
    ec2 = session.client("ec2", region)
    for one in _tagged(ec2, spec, "security_groups", "SecurityGroups"):
        group = one["GroupId"]
        yield Left("security group", group, lambda group=group: ec2.delete_security_group(GroupId=group))
    for one in _tagged(ec2, spec, "volumes", "Volumes"):
        if one["State"] == "available":  # no instance has it
            disk = one["VolumeId"]
            yield Left("volume", disk, lambda disk=disk: ec2.delete_volume(VolumeId=disk))
    if spec.network_tier != "best":
        return
    for one in _tagged(ec2, spec, "launch_templates", "LaunchTemplates"):
        made = one["LaunchTemplateId"]
        yield Left(
            "launch template", made, lambda made=made: ec2.delete_launch_template(LaunchTemplateId=made)
        )
    for one in _tagged(ec2, spec, "placement_groups", "PlacementGroups"):
        name = one["GroupName"]
        yield Left("placement group", name, lambda name=name: ec2.delete_placement_group(GroupName=name))
    for one in _tagged(ec2, spec, "addresses", "Addresses"):
        address = one["AllocationId"]
        yield Left("address", address, lambda address=address: ec2.release_address(AllocationId=address))


def _bucket(spec: StackSpec, region: str) -> Iterator[Left]:
    s3 = session.client("s3", region)
    name = names.bucket(spec, session.account())
    if _seen(name, lambda: s3.head_bucket(Bucket=name)):
        held = _seen(name, lambda: s3.list_objects_v2(Bucket=name, MaxKeys=1)) or {}
        if not held.get("KeyCount"):
            yield Left("bucket", name, lambda: s3.delete_bucket(Bucket=name))


def _network(spec: Foundation, region: str) -> Iterator[Left]:
    """In the order in which EC2 lets them go."""
    ec2 = session.client("ec2", region)
    for one in _tagged(ec2, spec, "vpc_endpoints", "VpcEndpoints"):
        name = one["VpcEndpointId"]
        yield Left("endpoint", name, lambda name=name: ec2.delete_vpc_endpoints(VpcEndpointIds=[name]))
    tables = _tagged(ec2, spec, "route_tables", "RouteTables")
    for link in (link for one in tables for link in one["Associations"] if not link.get("Main")):
        name = link["RouteTableAssociationId"]
        yield Left("association", name, lambda name=name: ec2.disassociate_route_table(AssociationId=name))
    for one in _tagged(ec2, spec, "subnets", "Subnets"):
        name = one["SubnetId"]
        yield Left("subnet", name, lambda name=name: ec2.delete_subnet(SubnetId=name))
    for one in tables:
        name = one["RouteTableId"]
        yield Left("route table", name, lambda name=name: ec2.delete_route_table(RouteTableId=name))
    for one in _tagged(ec2, spec, "internet_gateways", "InternetGateways"):
        yield Left("internet gateway", one["InternetGatewayId"], lambda one=one: _drop_gateway(ec2, one))
    for one in _tagged(ec2, spec, "vpcs", "Vpcs"):
        name = one["VpcId"]
        yield Left("VPC", name, lambda name=name: ec2.delete_vpc(VpcId=name))


def _drop_gateway(ec2: Any, one: Mapping[str, Any]) -> None:
    name = one["InternetGatewayId"]
    for each in one["Attachments"]:
        ec2.detach_internet_gateway(InternetGatewayId=name, VpcId=each["VpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=name)


def _tagged(ec2: Any, spec: StackSpec | Foundation, kind: str, member: str) -> list[dict[str, Any]]:
    """All of one kind that carry the tags of this stack."""
    wanted = [
        {"Name": f"tag:{names.PROJECT}", "Values": [spec.project]},
        {"Name": f"tag:{names.STACK}", "Values": [spec.stack]},
    ]
    answer = _seen(kind, lambda: getattr(ec2, f"describe_{kind}")(Filters=wanted))
    return list((answer or {}).get(member, ()))
