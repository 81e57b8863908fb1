"""`network_tier: best` on AWS: a cluster placement group, and EFA interfaces where the machine has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.spec import StackSpec
from stacks.aws import names
from stacks.aws.network import Place

if TYPE_CHECKING:
    import pulumi
    import pulumi_aws as aws


def efa(machine: str) -> int:
    """How many EFA interfaces a machine has."""
    return next((int(count) for count, types in _table()["efa_interfaces"].items() if machine in types), 0)


def wanted(spec: StackSpec) -> bool:
    """Is anything to be gained? One node talks to nobody."""
    return spec.network_tier == "best" and spec.nodes > 1


def together(spec: StackSpec, options: pulumi.ResourceOptions) -> pulumi.Output[str] | None:
    """The placement group in which nodes stand close to each other; some families cannot be in one."""
    import pulumi_aws as aws

    if not wanted(spec) or spec.instance_type.partition(".")[0] in _table()["no_cluster_groups"]:
        return None
    name = names.group(spec)
    made = aws.ec2.PlacementGroup(
        "together",
        aws.ec2.PlacementGroupArgs(
            name=name, strategy=aws.ec2.PlacementStrategy.CLUSTER, tags=names.tags(spec, name)
        ),
        opts=options,
    )
    return made.name


def interfaces(
    spec: StackSpec, place: Place, groups: Sequence[pulumi.Input[str]], options: pulumi.ResourceOptions
) -> aws.ec2.LaunchTemplate | None:
    """A launch template that holds the EFA interfaces: EC2 takes them nowhere else. None without EFA."""
    import pulumi_aws as aws

    count = efa(spec.instance_type) if wanted(spec) else 0
    if not count:
        return None
    spare = spec.instance_type in _table()["without_efa_on_the_first_card"]
    cards = count + spare
    shared: dict[str, Any] = {
        "subnet_id": place.subnet,
        "security_groups": list(groups),
        "delete_on_termination": "true",
    }
    first = aws.ec2.LaunchTemplateNetworkInterfaceArgs(
        **shared,
        device_index=0,
        network_card_index=0,
        interface_type=None if spare else "efa",
        # EC2 gives an address by itself to machines with one interface only: the others get one each of ours.
        associate_public_ip_address="true" if place.public and cards == 1 else None,
    )
    others = [
        aws.ec2.LaunchTemplateNetworkInterfaceArgs(
            **shared, device_index=1, network_card_index=card, interface_type="efa-only"
        )
        for card in range(1, cards)
    ]
    name = names.group(spec)
    return aws.ec2.LaunchTemplate(
        "interfaces",
        aws.ec2.LaunchTemplateArgs(
            name=name, network_interfaces=[first, *others], tags=names.tags(spec, name)
        ),
        opts=options,
    )


def needs_addresses(spec: StackSpec, place: Place) -> bool:
    """Has EC2 no public address for these nodes by itself?"""
    several = efa(spec.instance_type) + (spec.instance_type in _table()["without_efa_on_the_first_card"])
    return wanted(spec) and place.public and several > 1


def address(spec: StackSpec, rank: int, node: aws.ec2.Instance, options: pulumi.ResourceOptions) -> None:
    """A public address that moves to the successor of its node."""
    import pulumi_aws as aws

    tags = names.tags(spec, f"{spec.deployment}-{rank}", rank)
    aws.ec2.Eip(f"address-{rank}", aws.ec2.EipArgs(domain="vpc", instance=node.id, tags=tags), opts=options)


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "efa.json").read_text())
    return found
