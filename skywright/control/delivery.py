"""Values of secrets into the cloud's own store, before a run begins whose nodes read them there.

They go from the vault through the standard input of one process (stacks.asking): into no file, no environment, no
document of the link. Nodes on this machine get theirs over the link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compiler import buckets
from skywright.control import clouds
from skywright.control.context import Control
from skywright.control.desired import current_run, secrets_scope
from skywright.control.rows import Deployment, Run


def is_due(control: Control, deployment: Deployment, run: Run) -> bool:
    """Has the run secrets that its nodes cannot read yet?"""
    if deployment.delivered == _mark(deployment, run):
        return False
    if clouds.is_here(control.cloud(deployment.cloud)):
        return False
    return control.vault.has(secrets_scope(run.uid, run.run))


async def step(control: Control, deployment: Deployment) -> None:
    """Deliver for the run whose turn it is, once its stack stands. Raises Problems of the cloud."""
    run = current_run(control, deployment.uid)
    if run is None or deployment.stage != "up" or deployment.applied != deployment.digest:
        return
    if not is_due(control, deployment, run):
        return
    values = buckets.needed(control.vault.get(secrets_scope(run.uid, run.run)), deployment.cloud)
    await clouds.ask_of(control, deployment, "write_secrets", deployment.spec, values)
    control.store.change(deployment, delivered=_mark(deployment, run))


def _mark(deployment: Deployment, run: Run) -> dict[str, Any]:
    """Which values lie in which stack's store."""
    return {"stack": deployment.spec["stack"], "run": run.run}


def with_names(spec: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The spec of a stack that has a container for each of `names` too."""
    found = sorted({*spec.get("secrets", ()), *names})
    return {**spec, "secrets": found} if found else dict(spec)
