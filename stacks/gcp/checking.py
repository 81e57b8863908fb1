"""What `check` says of Google Cloud: SDK, credentials, project, missing permissions by name."""

from __future__ import annotations

import importlib.util

from compiler.problem import Problems
from stacks.cloud import Check
from stacks.gcp import session

NEEDED = (
    "compute.disks.create",
    "compute.firewalls.create",
    "compute.instances.create",
    "compute.instances.delete",
    "compute.instances.list",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.networks.create",
    "compute.networks.updatePolicy",
    "compute.subnetworks.create",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "iam.serviceAccounts.actAs",
    "iam.serviceAccounts.create",
    "iam.serviceAccounts.delete",
    "secretmanager.secrets.create",
    "secretmanager.secrets.delete",
    "secretmanager.secrets.setIamPolicy",
    "secretmanager.versions.add",
    "storage.buckets.create",
    "storage.buckets.delete",
    "storage.buckets.setIamPolicy",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)
"""What stacks, inventories and the link ask of the project; docs/clouds/gcp.md has them as a role."""


def check() -> tuple[Check, ...]:
    """One line each, up to the first that makes the next pointless."""
    if importlib.util.find_spec("pulumi_gcp") is None:
        return (Check(False, "gcp: the SDK is not installed", "./invoke setup --extra gcp"),)
    try:
        project = session.project()
        path = f"projects/{project}:testIamPermissions"
        found = session.ask(
            "POST",
            "cloudresourcemanager",
            path,
            "asking for permissions",
            {"permissions": list(NEEDED)},
        )
    except Problems as problems:
        problem = problems.problems[0]
        return (Check(False, f"gcp: {problem.message}", problem.hint),)
    missing = sorted(set(NEEDED) - set(found.get("permissions", ())))
    lines = [Check(True, f"gcp: project {project}")]
    if missing:
        hint = "docs/clouds/gcp.md has a role with all of them"
        lines.append(Check(False, f"gcp: missing permissions: {', '.join(missing)}", hint))
    return tuple(lines)
