"""The resource `skywright:local:Node` as a Pulumi program declares it. Importing this imports the SDK."""

from __future__ import annotations

from typing import Any

import pulumi

from stacks.provider.plugin import TOKEN, VERSION


class Node(pulumi.CustomResource):
    """One local node; `inputs` are those of stacks/provider/server.py."""

    address: pulumi.Output[str]
    created: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any]) -> None:
        super().__init__(
            TOKEN,
            name,
            {**inputs, "address": None, "created": None},
            # A newer agent reaches new nodes; a living one keeps what it began with.
            pulumi.ResourceOptions(version=VERSION, delete_before_replace=True, ignore_changes=["agent"]),
        )
