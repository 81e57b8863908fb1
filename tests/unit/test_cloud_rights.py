"""The roles that docs/clouds/ tells for Google and Azure hold what stacks make and what is asked outside Pulumi."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest

from stacks.azure import checking as azure
from stacks.gcp import checking as gcp

ROOT = Path(__file__).parents[2]

KINDS = {
    "gcp": {
        "compute.Firewall": "compute.firewalls",
        "compute.Image": "compute.images",
        "compute.Instance": "compute.instances",
        "compute.Network": "compute.networks",
        "compute.ResourcePolicy": "compute.resourcePolicies",
        "compute.Subnetwork": "compute.subnetworks",
        "secretmanager.Secret": "secretmanager.secrets",
        "secretmanager.SecretIamMember": "secretmanager.secrets",
        "serviceaccount.Account": "iam.serviceAccounts",
        "storage.Bucket": "storage.buckets",
        "storage.BucketIAMMember": "storage.buckets",
        "storage.BucketObject": "storage.objects",
    },
    "azure": {
        "authorization.RoleAssignment": "Microsoft.Authorization/roleAssignments",
        "compute.Image": "Microsoft.Compute/images",
        "compute.ProximityPlacementGroup": "Microsoft.Compute/proximityPlacementGroups",
        "compute.VirtualMachine": "Microsoft.Compute/virtualMachines",
        "keyvault.Vault": "Microsoft.KeyVault/vaults",
        "managedidentity.UserAssignedIdentity": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "net.NetworkInterface": "Microsoft.Network/networkInterfaces",
        "net.NetworkSecurityGroup": "Microsoft.Network/networkSecurityGroups",
        "net.PublicIPAddress": "Microsoft.Network/publicIPAddresses",
        "net.Subnet": "Microsoft.Network/virtualNetworks/subnets",
        "net.VirtualNetwork": "Microsoft.Network/virtualNetworks",
        "resources.ResourceGroup": "Microsoft.Resources/subscriptions/resourceGroups",
        "storage.BlobContainer": "Microsoft.Storage/storageAccounts/blobServices/containers",
        "storage.StorageAccount": "Microsoft.Storage/storageAccounts",
    },
}
"""Class of a resource, as the source names it -> kind of the rights that it needs."""

MEMBERS = ("SecretIamMember", "BucketIAMMember")
"""Which change a policy of what is there already."""


def made(cloud: str) -> set[str]:
    """Resource classes that the cloud's source makes."""
    found = set()
    for path in (ROOT / "stacks" / cloud).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            words = {word.arg for word in node.keywords}
            if "opts" in words and node.func.attr[0].isupper():
                found.add(".".join(ast.unparse(node.func).split(".")[-2:]))
    return found


@pytest.mark.parametrize(("cloud", "module"), [("gcp", gcp), ("azure", azure)])
def test_every_kind_that_is_made_is_allowed(cloud: str, module: ModuleType) -> None:
    assert made(cloud) == set(KINDS[cloud])
    separator = "." if cloud == "gcp" else "/"
    verbs = ("create", "delete", "get") if cloud == "gcp" else ("delete", "read", "write")
    for name, kind in KINDS[cloud].items():
        if name.endswith(MEMBERS):
            wanted = {f"{kind}.getIamPolicy", f"{kind}.setIamPolicy"}
        else:
            wanted = {f"{kind}{separator}{verb}" for verb in verbs}
        assert wanted <= set(module.NEEDED), name


ASKED = {
    "gcp": {
        "/simulateMaintenanceEvent": "compute.instances.simulateMaintenanceEvent",
        "/aggregated/instances": "compute.instances.list",
        ":addVersion": "secretmanager.versions.add",
        "/versions/latest:access": "secretmanager.versions.access",
    },
    "azure": {
        "/simulateEviction": "Microsoft.Compute/virtualMachines/simulateEviction/action",
        '"generalize")': "Microsoft.Compute/virtualMachines/generalize/action",
        "/runCommand": "Microsoft.Compute/virtualMachines/runCommand/action",
        "/resources": "Microsoft.Resources/subscriptions/resourceGroups/resources/read",
        "/providers/Microsoft.KeyVault/vaults": "Microsoft.KeyVault/vaults/read",
        "/providers/Microsoft.Authorization/permissions": "Microsoft.Authorization/permissions/read",
    },
}
"""How paths of calls end -> what they need, beside reading and deleting the kinds above."""


@pytest.mark.parametrize(("cloud", "module"), [("gcp", gcp), ("azure", azure)])
def test_what_is_asked_outside_pulumi_is_allowed(cloud: str, module: ModuleType) -> None:
    source = "".join(path.read_text() for path in (ROOT / "stacks" / cloud).glob("*.py"))
    for end, needed in ASKED[cloud].items():
        assert end in source, f"{end} is asked no more"
        assert needed in module.NEEDED
    instances = "compute.instances." if cloud == "gcp" else "Microsoft.Compute/virtualMachines/"
    power = ("stop", "start") if cloud == "gcp" else ("deallocate/action", "start/action")
    assert {f"{instances}{verb}" for verb in power} <= set(module.NEEDED)


def listed(cloud: str) -> list[str]:
    """The items of the role in the cloud's page."""
    text = (ROOT / "docs" / "clouds" / f"{cloud}.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return re.findall(r"^- (\S+)$", block, re.MULTILINE)


def test_the_pages_tell_exactly_these_rights() -> None:
    assert listed("gcp") == list(gcp.NEEDED)
    assert listed("azure") == [*azure.NEEDED, *azure.DATA]
    assert len(gcp.NEEDED) <= 100, "Google tells about 100 permissions in one call"
