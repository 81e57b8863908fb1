"""The network on AWS: what a foundation is made of, and where a task's nodes go in it or in a given one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from stacks import network
from stacks.aws import names

if TYPE_CHECKING:
    import pulumi
    import pulumi_aws as aws

CIDR = "10.64.0.0/16"
"""Of the VPC; a zone's subnet is the /20 of its letter, so that a zone that is opened later moves no other."""
EVERYWHERE = "0.0.0.0/0"
ID = re.compile(r"(vpc|subnet|sg)-([0-9a-f]{8}|[0-9a-f]{17})")
"""What AWS calls a thing by itself; any other word is a name that people gave, `vpc-of-the-team` too."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where nodes go. `public`: they get an address of their own, since the network has no other way out."""

    vpc: pulumi.Output[str]
    subnet: pulumi.Output[str]
    public: bool


def provider(spec: StackSpec | Foundation) -> aws.Provider:
    """AWS in the region of the stack, and in the account that is given, if one is."""
    import pulumi_aws as aws

    accounts = [spec.given.account] if spec.given.account else None
    return aws.Provider(
        "aws",
        aws.ProviderArgs(region=spec.region, allowed_account_ids=accounts),  # type: ignore[arg-type]
    )


def foundation(spec: Foundation) -> None:
    """A public subnet in each zone that needs no opting in, one way out, and S3 without leaving the network."""
    import pulumi
    import pulumi_aws as aws

    through = provider(spec)
    options = pulumi.ResourceOptions(provider=through)

    def tags(name: str) -> dict[str, str]:
        return names.tags(spec, name)

    vpc = aws.ec2.Vpc(
        "network",
        aws.ec2.VpcArgs(
            cidr_block=CIDR, enable_dns_support=True, enable_dns_hostnames=True, tags=tags(spec.name)
        ),
        opts=options,
    )
    gateway = aws.ec2.InternetGateway(
        "gateway", aws.ec2.InternetGatewayArgs(vpc_id=vpc.id, tags=tags(spec.name)), opts=options
    )
    table = aws.ec2.RouteTable(
        "routes",
        aws.ec2.RouteTableArgs(
            vpc_id=vpc.id,
            routes=[aws.ec2.RouteTableRouteArgs(cidr_block=EVERYWHERE, gateway_id=gateway.id)],
            tags=tags(spec.name),
        ),
        opts=options,
    )
    for zone in _zones(pulumi.InvokeOptions(provider=through)):
        letter = names.letter(zone)
        subnet = aws.ec2.Subnet(
            f"subnet-{letter}",
            aws.ec2.SubnetArgs(
                vpc_id=vpc.id,
                availability_zone=zone,
                cidr_block=_of_zone(letter),
                tags=tags(f"{spec.name}-{letter}"),
            ),
            opts=options,
        )
        aws.ec2.RouteTableAssociation(
            f"routes-{letter}",
            aws.ec2.RouteTableAssociationArgs(subnet_id=subnet.id, route_table_id=table.id),
            opts=options,
        )
    aws.ec2.VpcEndpoint(
        "objects",
        aws.ec2.VpcEndpointArgs(
            vpc_id=vpc.id,
            service_name=f"{'cn.' * (spec.region or '').startswith('cn-')}com.amazonaws.{spec.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id],
            tags=tags(spec.name),
        ),
        opts=options,
    )


def _zones(options: pulumi.InvokeOptions) -> list[str]:
    import pulumi_aws as aws

    asked = aws.GetAvailabilityZonesFilterArgs(name="opt-in-status", values=["opt-in-not-required"])
    found = aws.get_availability_zones(state="available", filters=[asked], opts=options)
    return [zone for zone in sorted(found.names) if len(names.letter(zone)) == 1]


def _of_zone(letter: str) -> str:
    first, second, _ = CIDR.split(".", 2)
    return f"{first}.{second}.{(ord(letter) - ord('a')) * 16}.0/20"


def place(spec: StackSpec, options: pulumi.InvokeOptions) -> Place:
    """The subnet of the stack's zone, or the first in any: in our foundation's network, or in the given one."""
    given = spec.given
    if given.network is None and spec.network is not None:
        ours = spec.network
        vpc = network.looked_up(lambda: _vpc(ours, options, {names.PROJECT: spec.project}))
        subnet = network.looked_up(lambda: _first(vpc, spec.zone, None, options))
        return Place(vpc, subnet, public=True)
    if given.network is None:
        says = "AWS nodes need a network: none is given, and none of ours is asked for"
        raise Problems(
            Problem("cloud/no-network", says, hint="name one in `networking: vpc_name`, or compile again")
        )
    vpc = _vpc(given.network, options, {})
    return Place(vpc, _first(vpc, spec.zone, given.subnet, options), public=False)


def _vpc(name: str, options: pulumi.InvokeOptions, tags: dict[str, str]) -> pulumi.Output[str]:
    """By id, or by its name tag."""
    import pulumi_aws as aws

    if ID.fullmatch(name):
        return aws.ec2.get_vpc_output(id=name, opts=options).apply(lambda found: found.id)
    return aws.ec2.get_vpc_output(tags={"Name": name, **tags}, opts=options).apply(lambda found: found.id)


def _first(
    vpc: pulumi.Output[str], zone: str | None, named: str | None, options: pulumi.InvokeOptions
) -> pulumi.Output[str]:
    import pulumi_aws as aws

    def filters(found: str) -> list[Any]:
        wanted: dict[str, str] = {"vpc-id": found}
        if zone:
            wanted["availability-zone"] = zone
        if named:
            wanted["subnet-id" if ID.fullmatch(named) else "tag:Name"] = named
        return [aws.ec2.GetSubnetsFilterArgs(name=name, values=[value]) for name, value in wanted.items()]

    found = aws.ec2.get_subnets_output(filters=vpc.apply(filters), opts=options)
    return found.apply(lambda subnets: _one(subnets.ids, zone, named))


def _one(ids: Sequence[str], zone: str | None, named: str | None) -> str:
    if ids:
        return sorted(ids)[0]
    which = f"subnet `{named}`" if named else "subnet"
    raise Problems(
        Problem(
            "cloud/not-found",
            f"the network has no {which}{f' in {zone}' if zone else ''}",
            hint="ask for another zone, or name a subnet that is there",
        )
    )


def groups(
    spec: StackSpec, where: Place, options: pulumi.ResourceOptions, asking: pulumi.InvokeOptions
) -> list[pulumi.Output[str]]:
    """The security groups of the nodes: the given ones, or one of this deployment.

    In it nodes of a gang reach each other, asked ports are open to everybody, and everything may go out.
    """
    import pulumi_aws as aws

    if spec.given.security_groups:
        return [_group(name, where.vpc, asking) for name in spec.given.security_groups]
    gang = spec.nodes > 1
    inward = [_rule(port) for port in spec.ports]
    outward = [
        aws.ec2.SecurityGroupEgressArgs(protocol="-1", from_port=0, to_port=0, cidr_blocks=[EVERYWHERE])
    ]
    if gang:
        everything: dict[str, Any] = {"protocol": "-1", "from_port": 0, "to_port": 0, "self": True}
        inward.insert(0, aws.ec2.SecurityGroupIngressArgs(**everything))
        # EFA's traffic only passes by a rule that names the group.
        outward.append(aws.ec2.SecurityGroupEgressArgs(**everything))
    name = names.group(spec)
    made = aws.ec2.SecurityGroup(
        "nodes",
        aws.ec2.SecurityGroupArgs(
            name=name,
            description=f"Nodes of a deployment of skywright: {name}",
            vpc_id=where.vpc,
            ingress=inward,
            egress=outward,
            tags=names.tags(spec, name),
        ),
        opts=options,
    )
    return [made.id]


def _rule(port: str) -> aws.ec2.SecurityGroupIngressArgs:
    import pulumi_aws as aws

    first, _, last = port.partition("-")
    return aws.ec2.SecurityGroupIngressArgs(
        protocol="tcp", from_port=int(first), to_port=int(last or first), cidr_blocks=[EVERYWHERE]
    )


def _group(name: str, vpc: pulumi.Output[str], options: pulumi.InvokeOptions) -> pulumi.Output[str]:
    import pulumi
    import pulumi_aws as aws

    if ID.fullmatch(name):
        return pulumi.Output.from_input(name)
    if name.startswith("sg-"):  # AWS refuses group names that begin so: it is what the team tagged it with
        found = aws.ec2.get_security_group_output(tags={"Name": name}, vpc_id=vpc, opts=options)
    else:
        found = aws.ec2.get_security_group_output(name=name, vpc_id=vpc, opts=options)
    return found.apply(lambda group: group.id)
