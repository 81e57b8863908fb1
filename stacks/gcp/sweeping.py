"""Deletes what a create that was cut off left on Google Cloud beside nodes, so that making it again meets nothing."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.problem import Problems
from compiler.spec import Foundation, StackSpec
from stacks.cloud import Scope
from stacks.gcp import names, session

IAM = "iam"


def sweep(spec: StackSpec | Foundation, known: frozenset[str], look: bool) -> tuple[str, ...]:
    """What was deleted, or with `look` would be, for people. Nothing that the state knows is touched, and no bucket
    with something in it."""
    project = session.project(Scope.of(spec))
    found = _of_stack(spec, project) if isinstance(spec, StackSpec) else _of_foundation(spec, project)
    held = {_kind_and_name(one) for one in known}
    gone = []
    for service, path, what in found:
        name = path.rpartition("/")[2]
        if look and what == "bucket":
            continue  # only the attempt to delete it shows whether something is in it
        if _kind_and_name(path) in held or not _there(service, path, what):
            continue
        try:
            if not look:
                session.ask("DELETE", service, path, f"removing {what} {name}")
        except Problems as problems:
            # A bucket that holds something is a checkpoint's; Google refuses what is in use as well.
            if problems.problems[0].code not in ("cloud/not-found", "cloud/refused"):
                raise
            continue
        gone.append(f"{what} {name}")
    return tuple(gone)


def _kind_and_name(path: str) -> str:
    """A network and its subnetwork have one name. Buckets are known to Pulumi by their name alone."""
    return "/".join(path.removeprefix("b/").split("/")[-2:])


def _there(service: str, path: str, what: str) -> bool:
    try:
        session.ask("GET", service, path, f"looking for {what}")
    except Problems as problems:
        if problems.problems[0].code == "cloud/not-found":
            return False
        raise
    return True


def _of_stack(spec: StackSpec, project: str) -> Iterator[tuple[str, str, str]]:
    """(service, path, what) of everything whose name Google would not give out twice."""
    base, tag = f"projects/{project}", names.deployment(spec)
    yield "compute", f"{base}/global/firewalls/{tag[:58]}-gang", "firewall"
    yield "compute", f"{base}/global/firewalls/{tag[:57]}-ports", "firewall"
    yield "compute", f"{base}/regions/{spec.region}/resourcePolicies/{tag}", "placement policy"
    for name in spec.secrets:
        yield "secretmanager", f"{base}/secrets/{names.secret(spec, name)}", "secret"
    yield "storage", f"b/{names.bucket(spec, project)}", "bucket"
    if not spec.given.role:
        address = f"{names.account(spec)}@{project}.iam.gserviceaccount.com"
        yield IAM, f"{base}/serviceAccounts/{address}", "service account"


def _of_foundation(spec: Foundation, project: str) -> Iterator[tuple[str, str, str]]:
    """In the order in which Google lets them go."""
    base, name = f"projects/{project}", f"{names.network(spec, spec.name)}-{spec.region}"
    yield "compute", f"{base}/global/firewalls/{name}-shells", "firewall"
    yield "compute", f"{base}/regions/{spec.region}/subnetworks/{name}", "subnetwork"
    yield "compute", f"{base}/global/networks/{name}", "network"
