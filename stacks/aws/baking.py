"""The image that a stack of AWS makes of its machine, and keeps when the machine is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.spec import StackSpec
from stacks.aws import names

if TYPE_CHECKING:
    import pulumi


def due(spec: StackSpec) -> bool:
    """Is the machine ready, so that the image is made now?"""
    return spec.bake is not None and spec.bake["stage"] == "image"


def only(spec: StackSpec) -> bool:
    """Is the image all that is left?"""
    return spec.bake is not None and spec.bake["stage"] == "kept"


def image(spec: StackSpec, options: pulumi.ResourceOptions) -> None:
    """Of the machine, which has stopped by itself and is not started again for it; exports `image`, its id."""
    import pulumi
    import pulumi_aws as aws

    assert spec.bake is not None
    made = aws.ec2.AmiFromInstance(
        "image",
        aws.ec2.AmiFromInstanceArgs(
            name=spec.bake["name"],
            description=f"Node image of skywright with the agent {spec.agent[:12]}",
            source_instance_id=spec.bake["node"],
            snapshot_without_reboot=True,
            tags=names.tags(spec, spec.bake["name"]),
        ),
        opts=pulumi.ResourceOptions.merge(
            options, pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="60m"))
        ),
    )
    if only(spec):
        pulumi.export("nodes", [])
    pulumi.export("image", made.id)
