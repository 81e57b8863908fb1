"""Values of secrets as versions in Secret Manager, beside Pulumi."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from compiler.problem import Problems
from compiler.spec import StackSpec
from stacks.cloud import Scope
from stacks.gcp import names, session


def write(spec: StackSpec, values: Mapping[str, str]) -> None:
    """Only what differs is written: every write is a version of its own. Raises Problems `cloud/...`."""
    project = session.project(Scope.of(spec))
    for name in spec.secrets:
        if name not in values:
            continue
        path = f"projects/{project}/secrets/{names.secret(spec, name)}"
        content = base64.b64encode(values[name].encode()).decode()
        if _latest(path, name) != content:
            what = f"writing the secret {name}"
            session.ask("POST", "secretmanager", f"{path}:addVersion", what, {"payload": {"data": content}})


def _latest(path: str, name: str) -> str | None:
    try:
        found = session.ask(
            "GET", "secretmanager", f"{path}/versions/latest:access", f"reading the secret {name}"
        )
    except Problems as problems:
        # A secret without a version is not found either; who may only write cannot tell.
        if problems.problems[0].code in ("cloud/not-found", "cloud/credentials"):
            return None
        raise
    return str(found.get("payload", {}).get("data", ""))
