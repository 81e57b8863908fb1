"""Looking at a deployment's stack: what became of what its state says, by the deployment's own credentials."""

from __future__ import annotations

from compiler.problem import Problems
from skywright.control import operations
from skywright.control.context import Control
from skywright.control.desk import living
from stacks.drift import Drift


async def look(control: Control, name: str) -> Drift:
    """Lost, changed and known of one deployment. Nothing is written. Raises Problems of its cloud and backend."""
    row = living(control, name)
    env = control.vault.get(operations.env_scope(row.uid))
    stack = row.spec["stack"]
    try:
        return await control.look(env, row.project, stack, folder=control.folder)
    except Problems as problems:
        if problems.problems[0].code != "control/no-such-deployment" or row.applied is not None:
            raise
        return Drift(stack)  # nothing of it was made yet
