"""What `check` says of Google Cloud: SDK, credentials, project, missing permissions by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping

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
    "compute.regions": "get",
    "iam.serviceAccounts": "actAs create delete get",
    "iap.tunnelInstances": "accessViaIAP",
    "secretmanager.secrets": "create delete get getIamPolicy setIamPolicy update",
    "secretmanager.versions": "access add",
    "storage.buckets": "create delete get getIamPolicy setIamPolicy update",
    "storage.objects": "create delete get list",
}
NEEDED = tuple(f"{kind}.{verb}" for kind, verbs in RIGHTS.items() for verb in verbs.split())
"""What stacks, inventories, shells and the link ask of the project; docs/clouds/gcp.md has them as a role."""


REGION = "us-central1"
CPUS = {"CPUS": "CPUs", "PREEMPTIBLE_CPUS": "CPUs of spot instances alone"}
"""Metrics of Compute Engine's quotas, in words; those of accelerators have GPUS in their names."""


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
    return (*lines, *_quotas(project))


def _quotas(project: str) -> Iterator[Check]:
    """Of the region that the environment names: what is left of CPUs, and of accelerators of every kind."""
    named = (os.environ.get(name) for name in ("GOOGLE_REGION", "CLOUDSDK_COMPUTE_REGION"))
    region = next((one for one in named if one), REGION)
    try:
        what = f"asking for quotas in {region}"
        here = session.ask("GET", "compute", f"projects/{project}/regions/{region}", what)
        everywhere = session.ask("GET", "compute", f"projects/{project}", what)
    except Problems as problems:
        says = f"gcp: quotas could not be asked: {problems.problems[0].message}"
        yield Check(True, says, "allow compute.regions.get and compute.projects.get")
        return
    left = {
        str(row["metric"]): float(row["limit"]) - float(row.get("usage", 0))
        for row in (*everywhere.get("quotas", ()), *here.get("quotas", ()))
    }
    cpus = [f"{left[name]:g} {says}" for name, says in CPUS.items() if name in left]
    cards = [f"{room:g} {name}" for name, room in sorted(left.items()) if "GPUS" in name and room > 0]
    hint = None if cards else "ask Google for more under IAM & Admin, Quotas"
    says = ", ".join([*cpus, *(cards or ["no accelerators"])])
    yield Check(True, f"gcp: quota left in {region}: {says}", hint)
