"""Values of secrets into the deployment's key vault, beside Pulumi."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks.azure import names, session
from stacks.cloud import Scope

VERSION = {"api-version": "7.4"}
RESOURCE = "https://vault.azure.net"


def write(spec: StackSpec, values: Mapping[str, str]) -> None:
    """Only what differs is written: every write is a version of its own. Raises Problems `cloud/...`."""
    if not spec.secrets:
        return
    address = _address(spec)
    for name in spec.secrets:
        if name not in values:
            continue
        path = f"/secrets/{names.secret(name)}"
        if _value(address, path, name) != values[name]:
            what, body = f"writing the secret {name}", {"value": values[name]}
            session.ask("PUT", path, what, body, VERSION, RESOURCE, address)


def _address(spec: StackSpec) -> str:
    """Where the stack's key vault lies: Pulumi has named it."""
    group = f"/subscriptions/{session.subscription(Scope.of(spec))}/resourceGroups/{names.group(spec)}"
    query = {"api-version": "2023-07-01"}
    path = f"{group}/providers/Microsoft.KeyVault/vaults"
    found = session.ask("GET", path, "looking for the key vault", query=query)
    for one in found.get("value", ()):
        if (one.get("tags") or {}).get(names.STACK) == spec.stack:
            return str(one["properties"]["vaultUri"]).rstrip("/")
    says = f"the stack {spec.stack} has no key vault"
    raise Problems(Problem("cloud/not-found", says, hint="repeat the command: it is made first"))


def _value(address: str, path: str, name: str) -> str | None:
    try:
        found = session.ask("GET", path, f"reading the secret {name}", None, VERSION, RESOURCE, address)
    except Problems as problems:
        if problems.problems[0].code in ("cloud/not-found", "cloud/credentials"):
            return None
        raise
    return str(found.get("value", ""))
