"""Deletes what a create that was cut off left on Azure beside nodes, so that making it again meets nothing."""

from __future__ import annotations

from typing import Any

from compiler.problem import Problems
from compiler.spec import Foundation, StackSpec
from stacks.azure import names, session
from stacks.cloud import Scope

GROUPS, RESOURCES = {"api-version": "2021-04-01"}, {"api-version": "2021-04-01"}

VERSIONS = {
    "Microsoft.Compute/proximityPlacementGroups": "2024-07-01",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.Network/networkInterfaces": "2024-01-01",
    "Microsoft.Network/networkSecurityGroups": "2024-01-01",
    "Microsoft.Network/publicIPAddresses": "2024-01-01",
    "Microsoft.Network/virtualNetworks": "2024-01-01",
}
"""Kinds that hold nothing of the user's -> version of their interface; in the order in which Azure lets them go."""


def sweep(spec: StackSpec | Foundation, known: frozenset[str]) -> tuple[str, ...]:
    """What was deleted, for people. Storage stays, and is taken on by the next `up`: it may hold a checkpoint."""
    lower = frozenset(name.lower() for name in known)
    group = f"/subscriptions/{session.subscription(Scope.of(spec))}/resourceGroups/{names.group(spec)}"
    held = _held(group)
    if held is None:
        return ()
    gone = []
    mine = [one for one in held if (one.get("tags") or {}).get(names.STACK) == spec.stack]
    for kind, version in VERSIONS.items():
        for one in mine:
            if one["type"].lower() != kind.lower() or one["id"].lower() in lower:
                continue
            with session.unless_missing():
                what = f"removing {one['name']}"
                session.ask("DELETE", one["id"], what, query={"api-version": version}, waits=True)
            gone.append(f"{kind.rpartition('/')[2]} {one['name']}")
    ours = isinstance(spec, Foundation) or not spec.given.group
    if ours and group.lower() not in lower and not _held(group):
        with session.unless_missing():
            session.ask("DELETE", group, f"removing {names.group(spec)}", query=GROUPS, waits=True)
        gone.append(f"resource group {names.group(spec)}")
    return tuple(gone)


def _held(group: str) -> list[dict[str, Any]] | None:
    """What is in the group; None where there is no such group."""
    try:
        found = session.ask("GET", f"{group}/resources", "listing a resource group", query=RESOURCES)
    except Problems as problems:
        if problems.problems[0].code == "cloud/not-found":
            return None
        raise
    return list(found.get("value", ()))
