"""A deployment's way out: its run, a running operation, then the engine; or just forgetting what never existed."""

from __future__ import annotations

import shutil
from typing import Any

from compiler.problem import Problem
from compiler.spec import StackSpec
from skywright.control import clouds, failover, ledger, operations, retention, words
from skywright.control.context import WORK, Control, log
from skywright.control.cost import spent
from skywright.control.desired import current_run
from skywright.control.nodes import fence
from skywright.control.progress import kept_folder, measure
from skywright.control.rows import Deployment, Node, Operation
from stacks.operate import Kind

AGAIN_S = 60.0
"""A removal that nobody asked for (autostop) and that was refused is tried again after so long."""

RELEASED = "released"
"""The stage of what is gone for us and lives on as somebody else's."""

Result = dict[str, Any]


async def step(control: Control, deployment: Deployment, operation: Operation | None) -> None:
    """On the way out: the run first, then a running `up`, then the engine takes everything away."""
    if operation is not None:
        if operation.kind != Kind.DESTROY.value and operation.id not in control.told_to_stop:
            control.told_to_stop.add(operation.id)
            control.operations.stop(operations.folder(control, operation))
        return
    if deployment.stage == "failed" or current_run(control, deployment.uid) is not None:
        return
    waits = clouds.is_locked(deployment) and (deployment.retry_at or 0) > control.clock.now()
    if waits and not deployment.purge:
        return
    if deployment.outgoing is not None:
        failover.clean(control, deployment)
        return
    if deployment.move is not None:
        # A second stack that stands goes first; one that was never begun is but forgotten.
        control.store.change(
            deployment, move=None, outgoing=deployment.move["spec"] if "step" in deployment.move else None
        )
        control.bell.ring(WORK, deployment.uid)
        return
    if await _never_existed(control, deployment):
        with control.store.together():
            if control.store.change(deployment, when={"wanted": "gone", "ended": None}, stage="removing"):
                gone(control, deployment)
        return
    with control.store.together():
        if control.store.change(
            deployment, when={"stage": deployment.stage, "wanted": "gone"}, stage="removing"
        ):
            operations.intend(control, deployment, Kind.DESTROY)


async def nothing_made(
    control: Control, deployment: Deployment, operation: Operation, result: Result | None = None
) -> bool:
    """Did every operation on that stack, this one by `result`, fail before it made a resource, and does the cloud
    list no node of it either?"""
    past = control.store.find(Operation, order="started", uid=deployment.uid)
    results: list[Result] = []
    for one in past:
        if one.spec["stack"] != operation.spec["stack"] or one.result is None:
            continue
        results = [] if one.cleans and one.result["ok"] else [*results, one.result]
    results = [*results, result] if result else results
    if deployment.applied is not None and operation.spec["stack"] == deployment.spec["stack"]:
        return False
    if any(found["ok"] or found["nodes"] or found.get("resources") != 0 for found in results):
        return False
    try:
        return not await clouds.inventory(control, deployment, operation.spec)
    except Exception as error:
        log.warning("%s: the cloud could not be asked what exists: %s", deployment.name, error)
        return False


def stack_made(control: Control, operation: Operation) -> bool:
    """Did the operation come as far as making its stack in the state backend?"""
    events, _ = control.operations.read(operations.folder(control, operation), 0)
    return any(event.get("name") == "init" and event.get("status") == "done" for event in events)


async def _never_existed(control: Control, deployment: Deployment) -> bool:
    past = control.store.find(Operation, order="started", uid=deployment.uid)
    if not past or any(stack_made(control, one) for one in past):
        return False
    if deployment.applied is not None or control.store.first(Node, uid=deployment.uid):
        return False
    last = {one.spec["stack"]: one for one in past}
    for one in last.values():
        if not await nothing_made(control, deployment, one):
            return False
    return True


async def sweep(control: Control, deployment: Deployment, spec: dict[str, Any]) -> None:
    """Remove what exists in the cloud beside the engine's state: a killed create may have left it.

    A purge goes on when the cloud refuses; the timeline says what it left.
    """
    left: list[str] = []
    try:
        for facts in await clouds.inventory(control, deployment, spec):
            log.warning("%s: %s exists beside the stack, removing it", deployment.name, facts.node)
            try:
                await clouds.ask_of(control, deployment, "remove", facts.node, spec=spec)
            except Exception as error:
                if not deployment.purge:
                    raise
                left.append(f"{facts.node} could not be removed: {error}")
    except Exception as error:
        if not deployment.purge:
            raise
        left.append(f"the cloud could not be asked what exists: {error}")
    for text in left:
        control.tell(deployment, "problem", text)


def ended(control: Control, deployment: Deployment, operation: Operation, result: Result) -> None:
    """Apply the result of a destroy. A purge ends with the deployment forgotten, whatever the engine says."""
    if result["ok"]:
        _say_left(control, deployment, result.get("left"))
        gone(control, deployment)
    elif deployment.purge and operation.purge:
        why = (result["problem"] or {}).get("message", "it failed")
        stack = StackSpec.from_data(operation.spec)
        control.tell(
            deployment,
            "problem",
            f"the engine refused: {why}; what its state holds of {stack.stack} is forgotten",
        )
        traces = control.cloud(stack.cloud).traces(stack)
        left = {"things": [], "why": why, "tags": dict(traces.tags), "commands": list(traces.commands)}
        _say_left(control, deployment, left)
        gone(control, deployment)
    elif deployment.purge:
        control.store.change(deployment, stage="up")  # asked for while this one ran: again, as a purge
    else:
        _refused(control, deployment, result)


def released(control: Control, deployment: Deployment) -> None:
    """All of it exists, and is somebody else's from now on."""
    told = f"released: stack {deployment.spec['stack']} stays as it is"
    gone(control, deployment, "its deployment was released", told, stage=RELEASED)


def _say_left(control: Control, deployment: Deployment, left: dict[str, Any] | None) -> None:
    """What a purge could not show to be gone, for whoever has to look."""
    if left is None:
        return
    things = words.few(len(left["things"]), "thing") if left["things"] else "anything of it"
    control.tell(deployment, "left", f"{things} may be left in {deployment.cloud}", left=left)


def gone(
    control: Control,
    deployment: Deployment,
    reason: str = "its deployment was removed",
    told: str = "removed",
    stage: str = "gone",
) -> None:
    """Nothing of it exists any more, or nothing that is ours."""
    now = control.clock.now()
    for node in control.store.find(Node, uid=deployment.uid, revoked=None):
        fence(control, deployment, node, reason, state="gone")
    kept = _kept(control, deployment)
    ledger.closed(control, deployment)
    control.store.change(deployment, ended=now, stage=stage, problem=None, blocked=None, kept=kept)
    text = f"{deployment.name} {told} · ${spent(control, deployment):.2f}"
    if kept:
        text += (
            f" · its checkpoints stay in {kept['path']} ({words.few(kept['files'], 'file')},"
            f" {words.size(kept['bytes'])})"
        )
    control.tell(deployment, "removed", text, kept=kept)
    retention.forget(control, deployment)
    retention.clean(control)


def _kept(control: Control, deployment: Deployment) -> dict[str, Any] | None:
    """What stays of the checkpoints; a purge leaves nothing."""
    folder = kept_folder(control, deployment)
    if folder is None or not folder.is_dir():
        return None
    if deployment.purge:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    found = measure(folder)
    return found if found["files"] else None


def _refused(control: Control, deployment: Deployment, result: Result) -> None:
    """Whole nodes live on as they were; of what is half removed only the rest can be removed."""
    problem = dict(result["problem"] or {"code": "engine/failed", "message": "the engine operation failed"})
    if clouds.refused_credentials(control, deployment, result):
        control.store.change(deployment, stage="up")
        clouds.lock(control, deployment, Problem.of(problem), clouds.LOCKED_S)
        return
    problem["left_behind"] = (
        problem.get("left_behind")
        or f"stack {deployment.spec['stack']} of `{deployment.name}`; `skywright down {deployment.name}` tries again"
    )
    now = control.clock.now()
    living = control.store.find(Node, uid=deployment.uid, revoked=None, state="up")
    touched = any(count for what, count in result["changes"].items() if what != "same")
    if deployment.applied is not None and len(living) == deployment.nodes_wanted and not touched:
        control.store.change(
            deployment,
            wanted="up",
            stage="up",
            leaving=None,
            idle_since=now,
            retry_at=now + AGAIN_S,
            problem=problem,
        )
    else:
        control.store.change(deployment, stage="failed", problem=problem)
    control.tell(deployment, "problem", str(problem["message"]), problem=problem)
