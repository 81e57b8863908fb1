"""The nodes of a deployment on AWS: one EC2 instance per rank, its disk, market, image and user data."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.lower import GANG_DEADMAN_S, SINGLE_DEADMAN_S
from compiler.offer import Market
from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks.aws import fast, names
from stacks.aws.network import Place
from stacks.boot import Boot, Store, user_data
from stacks.image import recipe

if TYPE_CHECKING:
    import pulumi

DISK_GB = 256
"""Of nodes whose task does not say."""

TIERS: dict[str, tuple[int, int] | None] = {
    "low": None,
    "medium": None,
    "high": (8000, 500),
    "best": (8000, 500),
    "ultra": (16000, 1000),
}
"""Disk tier -> IOPS and MB/s of a gp3 volume; None is what gp3 has by itself, 3,000 and 125."""

USER_DATA_BYTES = 16384
"""What EC2 takes, before base64."""

RESOLVED = "resolve:ssm:"
"""How an image begins that is the value of a public parameter of Systems Manager."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all nodes of a stack share. `needed` must be there before the first of them starts."""

    place: Place
    groups: Sequence[pulumi.Output[str]]
    profile: pulumi.Input[str]
    key: pulumi.Output[str] | None
    needed: Sequence[pulumi.Resource]


def nodes(
    spec: StackSpec,
    store: Store,
    setting: Setting,
    options: pulumi.ResourceOptions,
    asking: pulumi.InvokeOptions,
) -> list[dict[str, Any]]:
    """`node-<rank>` for each rank; rows of the output `nodes`."""
    import pulumi

    shared = _shared(spec, setting, _image(spec, asking))
    more = pulumi.ResourceOptions(
        depends_on=list(setting.needed),
        delete_before_replace=True,
        # Frozen when a node is made: a newer image or agent never touches, and never takes down, a living gang.
        ignore_changes=["ami", "user_data_base64"],
        custom_timeouts=pulumi.CustomTimeouts(create="10m", delete="20m"),
    )
    shared |= _network(spec, setting, options)
    apart = fast.needs_addresses(spec, setting.place)
    rows = []
    for rank in spec.ranks:
        made = _node(spec, rank, store, shared, pulumi.ResourceOptions.merge(options, more))
        if apart:
            fast.address(spec, rank, made, options)
        rows.append({"rank": rank, "id": made.id, "address": made.private_ip})
    return rows


def _node(
    spec: StackSpec, rank: int, store: Store, shared: dict[str, Any], options: pulumi.ResourceOptions
) -> Any:
    import pulumi_aws as aws

    tags = names.tags(spec, f"{spec.deployment}-{rank}", rank)
    return aws.ec2.Instance(
        f"node-{rank}",
        aws.ec2.InstanceArgs(
            **shared,
            user_data_base64=base64.b64encode(user_data(boot(spec, rank, store), USER_DATA_BYTES)).decode(),
            user_data_replace_on_change=False,
            tags=tags,
            volume_tags=tags,
        ),
        opts=options,
    )


def boot(spec: StackSpec, rank: int, store: Store) -> Boot:
    """What the rank's user data says."""
    from stacks.aws import PROBES

    deadman = GANG_DEADMAN_S if spec.nodes > 1 else SINGLE_DEADMAN_S
    return Boot(
        cloud=spec.cloud,
        project=spec.project,
        deployment=spec.deployment,
        rank=rank,
        agent=spec.agent,
        store=store,
        deadman_s=spec.deadman_s or deadman,
        probes=PROBES if spec.market is Market.SPOT else (),
        most_s=spec.most_s,
        secrets=names.secrets(spec) if spec.secrets else None,
        labels=spec.labels,
        recipe=recipe.bakes(spec.bake, spec.agent),
    )


def _shared(spec: StackSpec, setting: Setting, image: pulumi.Input[str]) -> dict[str, Any]:
    """Arguments that are the same for all ranks."""
    import pulumi_aws as aws

    return {
        "ami": image,
        "instance_type": spec.instance_type,
        "iam_instance_profile": setting.profile,
        "key_name": spec.given.ssh_key,
        "instance_market_options": _market(spec),
        "instance_initiated_shutdown_behavior": "stop" if spec.bake else "terminate",
        "metadata_options": aws.ec2.InstanceMetadataOptionsArgs(
            http_endpoint="enabled",
            http_tokens="required",
            http_put_response_hop_limit=2 if spec.container else 1,
        ),
        "root_block_device": _disk(spec, setting.key),
    }


def _network(spec: StackSpec, setting: Setting, options: pulumi.ResourceOptions) -> dict[str, Any]:
    """Where nodes are plugged in: by themselves, or by a launch template that has their fast interfaces."""
    import pulumi_aws as aws

    near = fast.together(spec, options)
    template = fast.interfaces(spec, setting.place, setting.groups, options)
    if template is not None:
        by = aws.ec2.InstanceLaunchTemplateArgs(id=template.id, version="$Latest")
        return {"placement_group": near, "launch_template": by}
    return {
        "placement_group": near,
        "subnet_id": setting.place.subnet,
        "vpc_security_group_ids": list(setting.groups),
        "associate_public_ip_address": True if setting.place.public else None,
    }


def _market(spec: StackSpec) -> Any:
    """One-time spot requests: EC2 gives no successor by itself, ours is made by the stack."""
    import pulumi_aws as aws

    if spec.market is not Market.SPOT:
        return None
    return aws.ec2.InstanceInstanceMarketOptionsArgs(
        market_type="spot",
        spot_options=aws.ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
            spot_instance_type="one-time", instance_interruption_behavior="terminate"
        ),
    )


def _disk(spec: StackSpec, key: pulumi.Output[str] | None) -> Any:
    import pulumi_aws as aws

    fast = TIERS[spec.disk_tier or "medium"]
    return aws.ec2.InstanceRootBlockDeviceArgs(
        volume_size=int(spec.disk_gb or DISK_GB),
        volume_type="gp3",
        iops=fast[0] if fast else None,
        throughput=fast[1] if fast else None,
        encrypted=True,
        kms_key_id=key,
        delete_on_termination=True,
    )


def _image(spec: StackSpec, asking: pulumi.InvokeOptions) -> pulumi.Input[str]:
    """The id of the machine image. A parameter is resolved when nodes are first made, and then holds for the stack."""
    import pulumi_aws as aws

    if spec.image is None:
        raise Problems(
            Problem(
                "cloud/no-image",
                f"no machine image is known for {spec.instance_type} in {spec.region}",
                hint="name one in the task: `image_id: ami-…`",
            )
        )
    if not spec.image.startswith(RESOLVED):
        return spec.image
    name = spec.image.removeprefix(RESOLVED)
    return aws.ssm.get_parameter_output(name=name, opts=asking).apply(lambda found: found.value)
