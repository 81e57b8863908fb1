"""Asking clouds for deployments: one that needs credentials in a process of its own, with the deployment's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control import operations
from skywright.control.context import Control
from skywright.control.rows import Deployment
from stacks.cloud import Cloud, Failure, NodeFacts, Scope

PAUSES_S = (5.0, 15.0, 30.0, 60.0)
"""Pauses before a cloud is asked again that did not answer; the last one repeats."""

SILENT = frozenset({"cloud/credentials", "cloud/no-answer"})
"""Refusals that say nothing about what was asked: nobody was let in, or nobody answered."""

LOCKED_S = 300.0
"""An operation whose credentials were refused is tried again so often, and at once after `login`."""

LOCKED = "credentials: "
"""How `blocked` begins while a deployment's credentials are not accepted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as whom a cloud is asked. `env` has the variables of its credentials."""

    cloud: str
    scope: Scope
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the cloud of a deployment answered last; it is not asked again before `until` (steady seconds)."""

    problems: tuple[Problem, ...]
    until: float
    count: int


def is_here(cloud: Cloud) -> bool:
    """Needs it neither credentials nor an SDK, so that this process can ask it?"""
    return not cloud.ENV and cloud.EXTRA is None


def place(control: Control, deployment: Deployment, spec: Mapping[str, Any] | None = None) -> Place:
    """Where the deployment's stack lives; `spec` names another stack of it."""
    wanted = StackSpec.from_data(spec or deployment.spec)
    if is_here(control.cloud(wanted.cloud)):
        return Place(wanted.cloud, Scope.of(wanted))
    return Place(wanted.cloud, Scope.of(wanted), control.vault.get(operations.env_scope(deployment.uid)))


async def ask(control: Control, where: Place, what: str, *given: Any) -> Any:
    """The answer of `what` (a function of stacks/cloud.py) in one place. Raises Problems of the cloud."""
    cloud = control.cloud(where.cloud)
    if is_here(cloud):
        # What is on this machine may take its time as well: never on the event loop.
        return await asyncio.to_thread(lambda: getattr(cloud, what)(*given, where.scope))
    return await control.ask(
        where.cloud, what, *given, scope=where.scope, env=where.env, folder=control.folder
    )


async def ask_of(
    control: Control, deployment: Deployment, what: str, *given: Any, spec: Mapping[str, Any] | None = None
) -> Any:
    """`ask` for a deployment. A cloud that is not here and refuses is not asked again at once.

    The deployment is blocked while its credentials are refused: nothing is decided without an answer.
    """
    held = control.refusals.get(deployment.uid)
    if held and control.clock.steady() < held.until:
        raise Problems(held.problems)
    try:
        answer = await ask(control, place(control, deployment, spec), what, *given)
    except Problems as problems:
        if not is_here(control.cloud(deployment.cloud)) and what != "remove":
            _remember(control, deployment, problems.problems)
        raise
    if control.refusals.pop(deployment.uid, None):
        control.tell(deployment, "step", f"{deployment.cloud} answers again")
    if is_locked(deployment) and deployment.retry_at is None:
        unlock(control, deployment)
    return answer


async def inventory(
    control: Control, deployment: Deployment, spec: Mapping[str, Any] | None = None
) -> list[NodeFacts]:
    """The nodes that exist of the deployment's stack (`spec`: of another one of it), whatever any state says."""
    found: tuple[NodeFacts, ...] = await ask_of(
        control, deployment, "inventory", deployment.project, spec=spec
    )
    wanted = spec or deployment.spec
    return [
        one
        for one in found
        if one.deployment == deployment.name
        and one.stack in (None, wanted["stack"])
        and one.region in (None, wanted.get("region"))
    ]


def _remember(control: Control, deployment: Deployment, problems: tuple[Problem, ...]) -> None:
    before = control.refusals.get(deployment.uid)
    count = before.count + 1 if before else 0
    pause = PAUSES_S[min(count, len(PAUSES_S) - 1)]
    control.refusals[deployment.uid] = Refusal(problems, control.clock.steady() + pause, count)
    problem = problems[0]
    if problem.code == "cloud/credentials":
        lock(control, deployment, problem)
    elif before is None:
        control.tell(deployment, "problem", problem.message, problem=problem.to_data())


def lock(control: Control, deployment: Deployment, problem: Problem, again_s: float | None = None) -> None:
    """Say that the credentials are not accepted, once. `again_s`: when an operation is tried again."""
    row = control.store.first(Deployment, uid=deployment.uid)
    if row is None:
        return
    if again_s is not None:
        control.store.change(row, retry_at=control.clock.now() + again_s)
    text = LOCKED + problem.message
    if not is_locked(row) and control.store.change(
        row, when={"ended": None}, blocked=text, problem=problem.to_data()
    ):
        control.tell(
            deployment,
            "problem",
            f"blocked: {text}; it goes on after `skywright login {deployment.name}`",
            problem=problem.to_data(),
        )


def unlock(control: Control, deployment: Deployment) -> None:
    """The credentials are accepted again."""
    row = control.store.first(Deployment, uid=deployment.uid)
    if row and is_locked(row):
        control.store.change(row, blocked=None, problem=None, retry_at=None, failures=0)


def refused_credentials(control: Control, deployment: Deployment, result: Mapping[str, Any]) -> bool:
    """Did an operation end because its cloud does not accept who asks? Here nobody can renew anything."""
    code = (result.get("problem") or {}).get("code")
    refused = result.get("failure") == Failure.CREDENTIALS.value or code == "cloud/credentials"
    return refused and not is_here(control.cloud(deployment.cloud))


def is_locked(deployment: Deployment) -> bool:
    return (deployment.blocked or "").startswith(LOCKED)
