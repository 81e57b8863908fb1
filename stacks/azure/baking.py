"""The image that a stack of Azure makes of its machine, and keeps with its resource group when the machine is gone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from compiler.problem import Problems
from compiler.spec import StackSpec
from stacks.azure import names, session
from stacks.cloud import Scope

if TYPE_CHECKING:
    import pulumi

USER = "bake"
"""Who logs in to a machine that becomes an image: deprovisioning removes the login, never one that the image needs."""

VERSION = {"api-version": "2024-07-01"}


def due(spec: StackSpec) -> bool:
    """Is the machine ready, so that the image is made now?"""
    return spec.bake is not None and spec.bake["stage"] == "image"


def only(spec: StackSpec) -> bool:
    """Is the image all that is left?"""
    return spec.bake is not None and spec.bake["stage"] == "kept"


def image(spec: StackSpec, group: pulumi.Input[str], options: pulumi.ResourceOptions) -> None:
    """Of the machine, which is generalised; once it is gone, as the state has it. Exports `image`, its id."""
    import pulumi
    from pulumi_azure_native import compute

    assert spec.bake is not None
    source = _machine(spec)
    kept = ["sourceVirtualMachine", "hyperVGeneration"] if only(spec) else None
    more = pulumi.ResourceOptions(
        ignore_changes=kept, custom_timeouts=pulumi.CustomTimeouts(create="60m", delete="20m")
    )
    made = compute.Image(
        "image",
        resource_group_name=group,
        image_name=spec.bake["name"],
        location=spec.region,
        source_virtual_machine=compute.SubResourceArgs(id=source),
        hyper_v_generation=None if only(spec) else _generation(source),
        tags=names.tags(spec),
        opts=pulumi.ResourceOptions.merge(options, more),
    )
    if only(spec):
        pulumi.export("nodes", [])
    pulumi.export("image", made.id)


def _machine(spec: StackSpec) -> str:
    group = f"/subscriptions/{session.subscription(Scope.of(spec))}/resourceGroups/{names.group(spec)}"
    return f"{group}/providers/Microsoft.Compute/virtualMachines/{names.node(spec, 0)}"


def _generation(machine: str) -> str | None:
    """An image has to say which its machine is of; where that cannot be asked, its creation tells."""
    with contextlib.suppress(Problems):
        view = session.ask("GET", f"{machine}/instanceView", "looking at the machine", query=VERSION)
        return str(view["hyperVGeneration"]) if view.get("hyperVGeneration") else None
    return None
