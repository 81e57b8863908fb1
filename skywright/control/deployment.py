"""A deployment's way up: pending, provisioning, up. What the engine is asked for follows from that."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from compiler.problem import Problem, Problems
from skywright.control import (
    breaker,
    budget,
    clouds,
    delivery,
    failover,
    gang,
    leaving,
    ledger,
    loss,
    moving,
    operations,
    stopping,
    words,
)
from skywright.control.context import WORK, Control
from skywright.control.cost import share_of
from skywright.control.desired import current_run
from skywright.control.nodes import fence
from skywright.control.progress import kept_folder
from skywright.control.rows import Deployment, Node, Operation, Run
from stacks.operate import Kind


async def step(control: Control, uid: str) -> None:
    """Look at everything that is stored of one deployment and do what is next."""
    deployment = _read(control, uid)
    operation = operations.unfinished(control, uid)
    if operation:
        result = operations.step(control, deployment, operation)
        if result is not None:
            await _ended(control, deployment, operation, result)
            deployment, operation = _read(control, uid), None
    if deployment.ended is not None:
        return
    if deployment.stage in ("provisioning", "up"):
        await loss.watch(control, deployment)
        budget.watch(control, uid)
        deployment = _read(control, uid)
    if operation is None and await stopping.step(control, deployment):
        return
    if operation is None and deployment.wanted == "up":
        await _deliver(control, deployment)
    gang.step(control, deployment)
    if deployment.wanted == "stopped":
        return
    if deployment.wanted == "gone":
        await leaving.step(control, deployment, operation)
    elif operation is None and moving.is_up(deployment) and deployment.outgoing is None:
        await moving.step(control, deployment)
    elif operation is None:
        _provide(control, deployment)
    _rest(control, _read(control, uid))


async def _deliver(control: Control, deployment: Deployment) -> None:
    """What a cloud refuses here holds up the run that needs it, and nothing else."""
    try:
        await delivery.step(control, deployment)
    except Problems as problems:
        if problems.problems[0].code not in clouds.SILENT:
            raise


def _read(control: Control, uid: str) -> Deployment:
    deployment = control.store.first(Deployment, uid=uid)
    if deployment is None:
        raise LookupError(uid)
    return deployment


def missing_ranks(control: Control, deployment: Deployment) -> list[int]:
    """Ranks that no node holds."""
    held = {node.rank for node in control.store.find(Node, uid=deployment.uid, revoked=None)}
    return [rank for rank in range(deployment.nodes_wanted) if rank not in held]


def _provide(control: Control, deployment: Deployment) -> None:
    """Ask for nodes when some are missing or the wish has changed."""
    if (deployment.retry_at or 0) > control.clock.now():
        return
    if deployment.outgoing is not None:
        failover.clean(control, deployment)
        return
    if deployment.stage == "failed" or budget.holds(deployment):
        return
    if deployment.move is not None and moving.is_asked(deployment):
        operations.intend(control, deployment, Kind.UP, spec=failover.wanted(deployment))
        return
    missing = missing_ranks(control, deployment)
    changed = deployment.applied != deployment.digest
    run = current_run(control, deployment.uid)
    if changed and deployment.applied is not None and not missing and run and run.attempt and not run.ended:
        return  # the running one first
    if not changed and not missing:
        return
    if deployment.applied is not None and _too_many_losses(control, deployment, run):
        return
    if deployment.stage == "pending":
        _put_old_checkpoints_aside(control, deployment)
    ready = failover.prepare(control, deployment)
    if ready is None:
        return
    deployment = ready
    lost = [
        node.node
        for node in control.store.find(Node, uid=deployment.uid, state="lost")
        if node.rank in missing and deployment.move is None
    ]
    with control.store.together():
        stage = "provisioning" if deployment.applied is None else deployment.stage
        if control.store.change(
            deployment, when={"stage": deployment.stage, "wanted": "up"}, stage=stage, retry_at=None
        ):
            operations.intend(control, deployment, Kind.UP, lost, spec=failover.wanted(deployment))
    names = ", ".join(f"node-{rank}" for rank in missing)
    if lost and missing:
        control.tell(deployment, "step", f"a replacement for {names} is requested", ranks=missing)


def _too_many_losses(control: Control, deployment: Deployment, run: Run | None) -> bool:
    lost = control.store.find(Node, uid=deployment.uid, state="lost")
    why = breaker.reason(control, (node.gone or 0.0 for node in lost), run.progress_at if run else None)
    _block(control, deployment, why)
    return why is not None


def _block(control: Control, deployment: Deployment, why: str | None) -> None:
    if deployment.blocked != why:
        control.store.change(deployment, blocked=why)
        if why:
            control.tell(deployment, "problem", f"blocked: {why}")


async def _ended(
    control: Control, deployment: Deployment, operation: Operation, result: dict[str, Any]
) -> None:
    """Store and apply an operation's result, once."""
    destroy, bare = operation.kind == Kind.DESTROY.value, False
    if destroy and (result["ok"] or (deployment.purge and operation.purge)):
        await leaving.sweep(control, deployment, operation.spec)
    elif not destroy and not result["ok"]:
        bare = await leaving.nothing_made(control, deployment, operation, result)
    with control.store.together():
        if not control.store.change(
            operation, when={"ended": None}, ended=control.clock.now(), state="done", result=result
        ):
            return
        if operation.cleans:
            failover.cleaned(control, deployment, operation, result)
        elif destroy:
            leaving.ended(control, deployment, operation, result)
        elif result["ok"]:
            _provided(control, deployment, operation, result)
        else:
            _not_provided(control, deployment, operation, result, bare)
    if result["ok"]:
        # The folder of one that failed says why, until the deployment is gone.
        shutil.rmtree(operations.folder(control, operation), ignore_errors=True)
    control.bell.ring(WORK, deployment.uid)


def _provided(control: Control, deployment: Deployment, operation: Operation, result: dict[str, Any]) -> None:
    now = control.clock.now()
    from compiler.spec import StackSpec

    if failover.is_move(deployment, operation.spec):
        moving.made(control, deployment, operation, result)
        return
    if operation.spec["stack"] != deployment.spec["stack"]:
        # Somebody wanted something else meanwhile.
        control.store.change(deployment, outgoing=operation.spec)
        return
    applied = StackSpec.from_data(operation.spec).digest
    control.store.change(
        deployment,
        applied=applied,
        before=None if applied == deployment.digest else deployment.before,
        stage="up",
        up_since=deployment.up_since or now,
        idle_since=deployment.idle_since or now,
        failures=0,
        retry_at=None,
        blocked=None,
        problem=None,
        tries=failover.close_round(deployment),
    )
    _take_nodes(control, deployment, operation, result)
    seconds = (result.get("seconds") or {}).get("total")
    took = f" in {words.duration(seconds)}" if seconds is not None else ""
    counts = ", ".join(
        f"{count} {what}" for what, count in sorted(result["changes"].items()) if what != "same"
    )
    control.tell(
        deployment,
        "step",
        f"up finished{took}" + (f" ({counts})" if counts else ""),
        type="result",
        changes=result["changes"],
        seconds=result.get("seconds"),
    )


def _take_nodes(
    control: Control, deployment: Deployment, operation: Operation, result: dict[str, Any]
) -> None:
    """What the stack exports is what there is: new nodes are known, others are fenced."""
    now, share, ids = control.clock.now(), share_of(deployment), set()
    for item in result["nodes"]:
        ids.add(item["id"])
        node = Node(item["id"], deployment.uid, item["rank"], item["address"], created=now, hourly=share)
        if control.store.add(node):
            ledger.made(control, deployment, node)
        control.presence.of(item["id"], control.clock.steady())
        before = control.store.first(
            Node, order="-gone", uid=deployment.uid, rank=item["rank"], node=tuple(operation.lost)
        )
        if before and before.node != item["id"]:
            control.tell(
                deployment,
                "replaced",
                f"{before.label} replaced ({before.node} -> {item['id']})"
                + (f" {words.duration(now - before.gone)} after its loss" if before.gone else ""),
                rank=before.rank,
                old=before.node,
                new=item["id"],
            )
    for node in control.store.find(Node, uid=deployment.uid, revoked=None):
        if node.node not in ids:
            fence(control, deployment, node, "the stack has no such node any more", state="gone")


def _not_provided(
    control: Control, deployment: Deployment, operation: Operation, result: dict[str, Any], bare: bool
) -> None:
    """`bare`: nothing was made at all."""
    problem = dict(result["problem"] or {"code": "engine/failed", "message": "the engine operation failed"})
    stack = operation.spec["stack"]
    made = leaving.stack_made(control, operation)
    if bare:
        problem["left_behind"] = (
            f"only the empty stack {stack}; `skywright down {deployment.name}` removes it"
            if made
            else "nothing"
        )
    elif not problem.get("left_behind"):
        problem["left_behind"] = (
            f"what was made before that in stack {stack}; `skywright down {deployment.name}` removes it"
        )
    if deployment.wanted == "gone":
        if operation.spec["stack"] != deployment.spec["stack"] and not (bare and not made):
            control.store.change(deployment, outgoing=operation.spec, move=None)
        return
    if moving.is_asked(deployment) and failover.is_move(deployment, operation.spec):
        moving.refused(control, deployment, problem, not (bare and not made))
        return
    if clouds.refused_credentials(control, deployment, result):
        clouds.lock(control, deployment, Problem.of(problem), clouds.LOCKED_S)
        return
    full = result.get("failure") in failover.FULL and deployment.before is None
    if full or failover.is_move(deployment, operation.spec):
        failover.note(control, deployment, operation, result, problem, bare and not made)
        return
    if _goes_on(deployment, result):
        failover.try_later(control, deployment, problem)
        return
    if deployment.applied is None:
        control.store.change(deployment, stage="failed", problem=problem, failures=deployment.failures + 1)
        first, why = 1, "its nodes could not be made"
    else:
        first, why = _change_back(control, deployment, problem, result), "its nodes could not be changed"
    control.tell(deployment, "problem", str(problem["message"]), problem=problem)
    for run in control.store.find(Run, order="run", uid=deployment.uid, ended=None):
        if run.run >= first:
            gang.end(control, deployment, run, "CANCELLED", why)


def _goes_on(deployment: Deployment, result: dict[str, Any]) -> bool:
    """Is it tried again? Nodes that were there are always wanted back; new ones only as long as a person said so."""
    if deployment.applied is not None and deployment.before is None:
        return True
    return deployment.retry and result.get("failure") in failover.FULL


def _change_back(
    control: Control, deployment: Deployment, problem: dict[str, Any], result: dict[str, Any]
) -> int:
    """A change of living nodes was refused: want again what they were; the first run that needed the change.

    When the engine had begun, another `up` brings the stack back to that.
    """
    before = dict(deployment.before or {})
    first = int(before.pop("first_run", 1))
    operations.put_env_back(control, deployment.uid)
    begun = any(count for what, count in result["changes"].items() if what != "same")
    control.store.change(
        deployment,
        **before,
        before=None,
        applied="" if begun else deployment.applied,
        problem=problem,
        blocked=None,
        failures=0,
        retry_at=None,
    )
    return first


def _put_old_checkpoints_aside(control: Control, deployment: Deployment) -> None:
    """A new life of a name starts with an empty checkpoint folder; the old one stays beside it."""
    folder = kept_folder(control, deployment)
    if folder is None or not folder.is_dir():
        return
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(control.clock.now()))
    aside = folder.with_name(f"{folder.name}.{stamp}")
    if not any(folder.iterdir()):
        return
    os.rename(folder, aside)
    control.tell(deployment, "node", f"checkpoints of an earlier {deployment.name} were moved to {aside}")


def _rest(control: Control, deployment: Deployment) -> None:
    """Remove a deployment that has had nothing to do for its time."""
    if deployment.wanted != "up" or deployment.stage != "up":
        return
    since, patience = budget.waiting_since(control, deployment), budget.patience(control, deployment)
    if since is None and current_run(control, deployment.uid) is None:
        since, patience = deployment.idle_since, None if deployment.keep else deployment.idle_s
    if since is None or patience is None:
        return
    if deployment.move is not None:
        return
    idle = control.clock.now() - since
    if idle < patience or (deployment.retry_at or 0) > control.clock.now():
        return
    stops = not deployment.stop_down and stopping.can_stop(control, deployment)
    wanted, doing = ("stopped", "stopping") if stops else ("gone", "removing")
    if control.store.change(deployment, when={"wanted": "up"}, wanted=wanted, leaving=control.clock.now()):
        control.tell(deployment, "step", f"idle for {words.duration(idle)}: {doing} it", autostop=True)
        control.bell.ring(WORK)
