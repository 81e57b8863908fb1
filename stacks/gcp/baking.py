"""The image that a stack of Google Cloud makes of its machine, and keeps when the machine is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.spec import StackSpec
from stacks.gcp import names

if TYPE_CHECKING:
    import pulumi


def due(spec: StackSpec) -> bool:
    """Is the machine ready, so that the image is made now?"""
    return spec.bake is not None and spec.bake["stage"] == "image"


def only(spec: StackSpec) -> bool:
    """Is the image all that is left?"""
    return spec.bake is not None and spec.bake["stage"] == "kept"


def image(
    spec: StackSpec, disk: pulumi.Input[str] | None, project: str, options: pulumi.ResourceOptions
) -> None:
    """Of the `disk` of the machine, which has stopped by itself; once it is gone, as the state has it. Exports
    `image`, its name within the project's."""
    import pulumi
    import pulumi_gcp as gcp

    assert spec.bake is not None
    more = pulumi.ResourceOptions(
        ignore_changes=["sourceDisk"] if disk is None else None,
        custom_timeouts=pulumi.CustomTimeouts(create="60m"),
    )
    made = gcp.compute.Image(
        "image",
        gcp.compute.ImageArgs(
            name=spec.bake["name"],
            description=f"Node image of skywright with the agent {spec.agent[:12]}",
            source_disk=disk or f"{spec.bake['node']}-is-gone",
            labels=names.labels(spec),
        ),
        opts=pulumi.ResourceOptions.merge(options, more),
    )
    if only(spec):
        pulumi.export("nodes", [])
    pulumi.export("image", pulumi.Output.concat(f"projects/{project}/global/images/", made.name))
