"""Nodes that are stopped and started again: their disks stay, their ids and ranks too; runs wait for them.

`wanted` is `stopped` or `up`. Stages: `up` -> `stopping` -> `stopped` -> `starting` -> `up`, each stored before the
cloud is asked, and every question may be asked again.
"""

from __future__ import annotations

from compiler.offer import Capability
from compiler.problem import Problem, Problems
from skywright.control import clouds, ledger, words
from skywright.control.context import WORK, Control
from skywright.control.desired import current_run
from skywright.control.rows import Deployment, Node

RESTING = frozenset({"stopping", "stopped", "starting"})
"""Stages in which nodes are silent for a reason."""


def can_stop(control: Control, deployment: Deployment) -> bool:
    return Capability.STOP in control.cloud(deployment.cloud).CAPABILITIES


def refuse_unless_able(control: Control, deployment: Deployment) -> None:
    """Raises Problems cloud/cannot-stop, control/not-up, lock/busy."""
    if not can_stop(control, deployment):
        raise Problems(
            Problem(
                "cloud/cannot-stop",
                f"nodes of `{deployment.name}` on {deployment.cloud} cannot be stopped",
                hint=f"`skywright down {deployment.name}` removes them; a checkpoint folder is kept",
            )
        )
    if deployment.move is not None:
        says = f"`{deployment.name}` is moving to {deployment.move['where']}"
        raise Problems(Problem("lock/busy", says, hint="try again when it has moved"))
    if deployment.applied is None or deployment.stage not in ("up", *RESTING):
        raise Problems(
            Problem("control/not-up", f"`{deployment.name}` has no nodes", hint="there is nothing to stop")
        )


async def step(control: Control, deployment: Deployment) -> bool:
    """Bring stopping or starting forward. True: there is nothing else to do for the deployment now."""
    if deployment.wanted == "gone" or (deployment.wanted == "up" and deployment.stage not in RESTING):
        return False
    if (deployment.retry_at or 0) > control.clock.now():
        return True
    try:
        if deployment.wanted == "stopped":
            return await _stop(control, deployment)
        return await _start(control, deployment)
    except Problems as problems:
        _refused(control, deployment, problems.problems[0])
    return True


async def _stop(control: Control, deployment: Deployment) -> bool:
    if deployment.stage == "stopped":
        return True
    if current_run(control, deployment.uid) is not None:
        return False  # it ends first
    nodes = _nodes(control, deployment)
    now = control.clock.now()
    if deployment.stage != "stopping":
        with control.store.together():
            control.store.change(deployment, stage="stopping", retry_at=None)
            for node in nodes:
                control.store.change(node, state="stopped", stopped=now)
        control.bell.ring(*(node.node for node in nodes))
    await clouds.ask_of(control, deployment, "stop", tuple(node.node for node in nodes))
    with control.store.together():
        control.store.change(deployment, stage="stopped", problem=None, blocked=None, failures=0)
        for node in nodes:
            ledger.stopped(control, node)
        says = f"{deployment.name} is stopped: {words.few(len(nodes), 'node')}, whose disks stay"
        control.tell(deployment, "stopped", f"{says}; `skywright start {deployment.name}` goes on")
    return True


async def _start(control: Control, deployment: Deployment) -> bool:
    nodes = _nodes(control, deployment)
    if deployment.stage != "starting":
        control.store.change(deployment, stage="starting", retry_at=None)
    await clouds.ask_of(control, deployment, "start", tuple(node.node for node in nodes))
    now = control.clock.now()
    with control.store.together():
        for node in nodes:
            paused = (node.paused_s or 0.0) + (now - node.stopped if node.stopped else 0.0)
            control.store.change(
                node, state="starting", joined=None, token_hash=None, stopped=None, paused_s=paused
            )
            ledger.started(control, node)
            control.presence.forget(node.node)
            control.presence.of(node.node, control.clock.steady())
        control.store.change(
            deployment, stage="up", problem=None, blocked=None, failures=0, retry_at=None, idle_since=now
        )
        control.tell(deployment, "step", f"{deployment.name} is started again")
    control.bell.ring(WORK)
    return True


def _refused(control: Control, deployment: Deployment, problem: Problem) -> None:
    """Nodes that cannot be stopped go on as they were, or are removed when it was their time."""
    from skywright.control.failover import try_later

    if problem.code in clouds.SILENT:
        return  # told already, and asked again
    if problem.code != "cloud/cannot-stop" or deployment.wanted != "stopped":
        try_later(control, deployment, problem.to_data())
        return
    with control.store.together():
        for node in _nodes(control, deployment):
            control.store.change(node, state="up" if node.joined else "starting", stopped=None)
        if deployment.leaving is not None:  # nobody asked: it was idle for its time
            control.store.change(deployment, wanted="gone", stage="up")
        else:
            control.store.change(deployment, wanted="up", stage="up", problem=problem.to_data())
        control.refusals.pop(deployment.uid, None)
        control.tell(deployment, "problem", problem.message, problem=problem.to_data())


def _nodes(control: Control, deployment: Deployment) -> list[Node]:
    return control.store.find(Node, order="rank", uid=deployment.uid, revoked=None)
