"""The roles that docs/clouds/ tells for Google and Azure hold what stacks make and what is asked outside Pulumi."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compiler.offer import Market
from compiler.spec import Given, StackSpec
from stacks.aws import identity
from stacks.azure import checking as azure
from stacks.gcp import checking as gcp
from stacks.gcp import stack

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
        "/regions/{region}": "compute.regions.get",
        ":addVersion": "secretmanager.versions.add",
        "/versions/latest:access": "secretmanager.versions.access",
    },
    "azure": {
        "/simulateEviction": "Microsoft.Compute/virtualMachines/simulateEviction/action",
        '"generalize")': "Microsoft.Compute/virtualMachines/generalize/action",
        "/usages": "Microsoft.Compute/locations/usages/read",
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


def reaching(cloud: str, buckets: dict[str, dict[str, str]], **more: Any) -> StackSpec:
    return StackSpec(
        project="p",
        stack="s",
        deployment="d",
        cloud=cloud,
        region="us-west-2",
        instance_type="m",
        market=Market.SPOT,
        nodes=1,
        agent="0" * 64,
        buckets=buckets,
        **more,
    )


def test_nodes_on_aws_may_reach_exactly_the_buckets_of_their_task() -> None:
    reached = {
        "s3://sets/deep/in": {"access": "read"},
        "s3://out": {"access": "write", "key": "1234-ab"},
    }
    spec = reaching("aws", reached)
    assert StackSpec.from_data(spec.to_data()) == spec
    allowed: dict[str, set[str]] = {}
    for one in identity.policy(spec, "own", "123456789012", None)["Statement"]:
        resources = one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]]
        for resource in resources:
            allowed.setdefault(resource, set()).update(one["Action"])
    arn = "arn:aws:s3:::"
    assert {name for name in allowed if name.startswith(arn) and ":own" not in name} == {
        *(f"{arn}sets", f"{arn}sets/deep/in", f"{arn}sets/deep/in/*", f"{arn}out", f"{arn}out/*")
    }
    assert allowed[f"{arn}sets/deep/in/*"] == {"s3:GetObject"}
    assert allowed[f"{arn}out/*"] == {"s3:GetObject", *identity.WRITE}
    assert allowed["arn:aws:kms:us-west-2:123456789012:key/1234-ab"] == {"kms:Decrypt", "kms:GenerateDataKey"}
    (listing,) = [
        one for one in identity.policy(spec, "own", "1", None)["Statement"] if one["Resource"] == f"{arn}sets"
    ][:1]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["deep/in", "deep/in/*"]}}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nodes_on_google_may_reach_exactly_the_buckets_of_their_task(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = pytest.importorskip("pulumi_gcp").storage
    made: dict[str, tuple[str, str, str]] = {}
    monkeypatch.setattr(
        storage,
        "BucketIAMMember",
        lambda name, args, opts: made.update({name: (args.bucket, args.role, args.member)}),
    )
    buckets = {
        "gs://both/in": {"access": "write"},
        "gs://both/more": {"access": "read"},
        "gs://sets": {"access": "read"},
    }
    stack._buckets(reaching("gcp", buckets), "serviceAccount:n", None)  # type: ignore[arg-type]
    assert made == {
        "data-both": ("both", "roles/storage.objectUser", "serviceAccount:n"),
        "data-sets": ("sets", "roles/storage.objectViewer", "serviceAccount:n"),
    }
    made.clear()
    own = reaching("gcp", buckets, given=Given(role="team@p.iam.gserviceaccount.com"))
    stack._buckets(own, "serviceAccount:team", None)  # type: ignore[arg-type]
    assert made == {}
