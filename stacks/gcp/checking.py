"""What `check` says of Google Cloud: SDK, credentials, project, missing permissions by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from compiler.problem import Problems
from stacks.cloud import Check
from stacks.gcp import session

RIGHTS: Mapping[str, str] = {
    "compute.networks": "create delete get updatePolicy",
    "compute.subnetworks": "create delete get use useExternalIp",
    "compute.firewalls": "create delete get update",
    "compute.resourcePolicies": "create delete get use",
    "compute.instances": "create delete get list setLabels setMetadata setServiceAccount setTags "
    "simulateMaintenanceEvent start stop",
    "compute.disks": "create setLabels useReadOnly",
    "compute.images": "create delete get setLabels useReadOnly",
    "compute.globalOperations": "get",
    "compute.regionOperations": "get",
    "compute.zoneOperations": "get",
    "compute.projects": "get",
    "iam.serviceAccounts": "actAs create delete get",
    "iap.tunnelInstances": "accessViaIAP",
    "secretmanager.secrets": "create delete get getIamPolicy setIamPolicy update",
    "secretmanager.versions": "access add",
    "storage.buckets": "create delete get getIamPolicy setIamPolicy update",
    "storage.objects": "create delete get list",
}
NEEDED = tuple(f"{kind}.{verb}" for kind, verbs in RIGHTS.items() for verb in verbs.split())
"""What stacks, inventories, shells and the link ask of the project; docs/clouds/gcp.md has them as a role."""


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
