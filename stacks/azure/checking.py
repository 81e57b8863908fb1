"""What `check` says of Azure: SDK, credentials, subscription, missing permissions by name."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.problem import Problems
from stacks.azure import session
from stacks.cloud import Check

RIGHTS: Mapping[str, str] = {
    "Microsoft.Authorization/permissions": "read",
    "Microsoft.Authorization/roleAssignments": "delete read write",
    "Microsoft.Compute/disks": "delete read write",
    "Microsoft.Compute/images": "delete read write",
    "Microsoft.Compute/locations/usages": "read",
    "Microsoft.Compute/proximityPlacementGroups": "delete read write",
    "Microsoft.Compute/virtualMachines": "deallocate/action delete generalize/action read runCommand/action "
    "simulateEviction/action start/action write",
    "Microsoft.KeyVault/vaults": "delete read write",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "assign/action delete read write",
    "Microsoft.Network/networkInterfaces": "delete join/action read write",
    "Microsoft.Network/networkSecurityGroups": "delete join/action read write",
    "Microsoft.Network/publicIPAddresses": "delete join/action read write",
    "Microsoft.Network/virtualNetworks": "delete read write",
    "Microsoft.Network/virtualNetworks/subnets": "delete join/action read write",
    "Microsoft.Resources/subscriptions/resourceGroups": "delete read write",
    "Microsoft.Resources/subscriptions/resourceGroups/resources": "read",
    "Microsoft.Storage/storageAccounts": "delete read write",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "delete read write",
}
NEEDED = tuple(f"{kind}/{verb}" for kind, verbs in RIGHTS.items() for verb in verbs.split())
"""What stacks and inventories ask of the subscription; docs/clouds/azure.md has them as a role."""

DATA = (
    "Microsoft.KeyVault/vaults/secrets/getSecret/action",
    "Microsoft.KeyVault/vaults/secrets/setSecret/action",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
)
"""What is asked of values of secrets and of objects; Azure tells nobody beforehand whether it is allowed."""


REGION = "eastus"
CPUS = {"cores": "vCPUs", "lowPriorityCores": "vCPUs of spot machines"}
CARDS = re.compile(r"standard(NC|ND|NV|NG)", re.IGNORECASE)
"""Names of Azure's quotas: in words, and how those of families with GPUs begin."""


def check() -> tuple[Check, ...]:
    """One line each, up to the first that makes the next pointless."""
    if importlib.util.find_spec("pulumi_azure_native") is None:
        return (Check(False, "azure: the SDK is not installed", "./invoke setup --extra azure"),)
    try:
        subscription = session.subscription()
        path = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/permissions"
        found = session.ask("GET", path, "asking for permissions", query={"api-version": "2022-04-01"})
    except Problems as problems:
        problem = problems.problems[0]
        return (Check(False, f"azure: {problem.message}", problem.hint),)
    rows = found.get("value", ())
    missing = [name for name in NEEDED if not _granted(name, rows)]
    lines = [Check(True, f"azure: subscription {subscription}")]
    if missing:
        hint = "docs/clouds/azure.md has a role with all of them"
        lines.append(Check(False, f"azure: missing permissions: {', '.join(missing)}", hint))
    return (*lines, *_quotas(subscription))


def _quotas(subscription: str) -> Iterator[Check]:
    """Of the region that the environment names: vCPUs that are left in all, for spot, and of families with GPUs."""
    named = (os.environ.get(name) for name in ("ARM_LOCATION", "AZURE_DEFAULTS_LOCATION"))
    region = next((one for one in named if one), REGION)
    path = f"/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{region}/usages"
    try:
        found = session.ask(
            "GET", path, f"asking for quotas in {region}", query={"api-version": "2024-07-01"}
        )
    except Problems as problems:
        says = f"azure: quotas could not be asked: {problems.problems[0].message}"
        yield Check(True, says, "allow Microsoft.Compute/locations/usages/read")
        return
    left = {
        str(row["name"]["value"]): float(row["limit"]) - float(row.get("currentValue", 0))
        for row in found.get("value", ())
    }
    cpus = [f"{left[name]:g} {says}" for name, says in CPUS.items() if name in left]
    cards = [f"{room:g} {name}" for name, room in sorted(left.items()) if CARDS.match(name) and room > 0]
    hint = None if cards else "ask Azure for more under Quotas"
    says = ", ".join([*cpus, *(cards or ["none of machines with GPUs"])])
    yield Check(True, f"azure: quota left in {region}: {says}", hint)


def _granted(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Each row is a role: what it allows less what it takes back."""
    return any(_in(name, row.get("actions", ())) and not _in(name, row.get("notActions", ())) for row in rows)


def _in(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)
