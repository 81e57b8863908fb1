"""Deletes what a create that was cut off left on Azure beside nodes, so that making it again meets nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.problem import Problems
from compiler.spec import Foundation, StackSpec
from stacks.azure import names, session
from stacks.azure.network import SUBNET
from stacks.azure.stack import CONTAINER
from stacks.cloud import Scope

GROUPS, RESOURCES = {"api-version": "2021-04-01"}, {"api-version": "2021-04-01"}

STORAGE, ROLE = "Microsoft.Storage/storageAccounts", "Microsoft.Authorization/roleAssignments"

VERSIONS = {
    "Microsoft.Compute/images": "2024-07-01",
    "Microsoft.Compute/proximityPlacementGroups": "2024-07-01",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.Network/networkInterfaces": "2024-01-01",
    "Microsoft.Network/networkSecurityGroups": "2024-01-01",
    "Microsoft.Network/publicIPAddresses": "2024-01-01",
    "Microsoft.Network/virtualNetworks": "2024-01-01",
    STORAGE: "2023-05-01",
}
"""Kinds that are deleted -> version of their interface; in the order in which Azure lets them go."""


def sweep(spec: StackSpec | Foundation, known: frozenset[str], look: bool) -> tuple[str, ...]:
    """What was deleted, or with `look` would be, for people. Storage that may hold a checkpoint stays."""
    lower = frozenset(name.lower() for name in known)
    group = f"/subscriptions/{session.subscription(Scope.of(spec))}/resourceGroups/{names.group(spec)}"
    held = _held(group)
    if held is None:
        return ()
    mine = [one for one in held if (one.get("tags") or {}).get(names.STACK) == spec.stack]
    gone = []
    for path, version, what in _inside(spec, group, mine):
        if path.lower() not in lower and _drop(path, version, what, look):
            gone.append(what)
    kept = {STORAGE} if isinstance(spec, StackSpec) and spec.checkpoint else set()
    for kind, version in VERSIONS.items():
        for one in mine:
            if one["type"].lower() != kind.lower() or one["id"].lower() in lower or kind in kept:
                continue
            with session.unless_missing():
                what = f"removing {one['name']}"
                if not look:
                    session.ask("DELETE", one["id"], what, query={"api-version": version}, waits=True)
            gone.append(f"{kind.rpartition('/')[2]} {one['name']}")
    ours = isinstance(spec, Foundation) or not spec.given.group
    if ours and group.lower() not in lower and not _held(group):
        with session.unless_missing():
            if not look:
                session.ask("DELETE", group, f"removing {names.group(spec)}", query=GROUPS, waits=True)
        gone.append(f"resource group {names.group(spec)}")
    return tuple(gone)


def _inside(
    spec: StackSpec | Foundation, group: str, mine: list[dict[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    """(id, version of its interface, what) of what stands inside something else: no list of the group has it."""
    if isinstance(spec, Foundation):
        network = f"{group}/providers/Microsoft.Network/virtualNetworks/{spec.name}"
        yield f"{network}/subnets/{SUBNET}", VERSIONS["Microsoft.Network/virtualNetworks"], "subnet"
        return
    subscription = session.subscription(Scope.of(spec))
    account = f"{group}/providers/{STORAGE}/{names.storage(spec, subscription)}"
    container = f"{account}/blobServices/default/containers/{CONTAINER}"
    scopes = {"reads": container, "writes": container, **({} if spec.given.group else {"ends": group})}
    vault = next((one["id"] for one in mine if one["type"].lower().endswith("/vaults")), None)
    for name, scope in {**scopes, **({"secrets": vault} if vault else {})}.items():
        number = names.assignment(spec, subscription, name)
        yield f"{scope}/providers/{ROLE}/{number}", "2022-04-01", f"role assignment {name}"
    if not spec.checkpoint:
        yield container, VERSIONS[STORAGE], "container"


def _drop(path: str, version: str, what: str, look: bool) -> bool:
    """Was there one?"""
    query = {"api-version": version}
    try:
        session.ask("GET", path, f"looking for a {what}", query=query)
        if not look:
            session.ask("DELETE", path, f"removing a {what}", query=query, waits=True)
    except Problems as problems:
        if problems.problems[0].code == "cloud/not-found":
            return False
        raise
    return True


def _held(group: str) -> list[dict[str, Any]] | None:
    """What is in the group; None where there is no such group."""
    try:
        found = session.ask("GET", f"{group}/resources", "listing a resource group", query=RESOURCES)
    except Problems as problems:
        if problems.problems[0].code == "cloud/not-found":
            return None
        raise
    return list(found.get("value", ()))
