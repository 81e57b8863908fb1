"""What people can ask for: each call checks the wish and writes it down; the reconcilers do the rest."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control import operations
from skywright.control.context import WORK, Control
from skywright.control.desired import secrets_scope
from skywright.control.gang import end
from skywright.control.rows import Deployment, Node, Run

IDLE_S = 600.0
"""How long nodes stay after their last run when nobody says otherwise."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


def find(control: Control, name: str) -> Deployment:
    """The living deployment of that name, else the latest that was. Problems control/no-such-deployment."""
    found = control.store.first(Deployment, name=name, ended=None) or control.store.first(
        Deployment, order="-created", name=name
    )
    if found is None:
        raise Problems(_no_such(name))
    return found


def living(control: Control, name: str) -> Deployment:
    """The living deployment of that name. Problems control/no-such-deployment."""
    found = control.store.first(Deployment, name=name, ended=None)
    if found is None:
        raise Problems(_no_such(name))
    return found


def _no_such(name: str) -> Problem:
    return Problem(
        "control/no-such-deployment",
        f"there is no deployment `{name[:60]}`",
        hint="`skywright status` lists them",
    )


def launch(control: Control, order: dict[str, Any]) -> dict[str, Any]:
    """Make the deployment, or use the living one of that name, and queue the order's run on it."""
    try:
        spec = StackSpec.from_data(order["spec"])
        name = order["name"]
        _check_run(control, order["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise Problems(Problem("control/bad-request", f"the order is not complete: {error!r}")) from None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Problems(Problem("usage/bad-name", f"`{str(name)[:60]}` cannot be a deployment's name"))
    with control.store.together():
        row = control.store.first(Deployment, name=name, ended=None)
        row = _reuse(control, row, order, spec) if row else _make(control, order, spec)
        if order.get("env"):
            control.vault.put(operations.env_scope(row.uid), dict(order["env"]))
        number = _queue(control, row, order["run"])
    control.bell.ring(WORK, row.uid)
    return {"name": name, "run": number}


def _make(control: Control, order: dict[str, Any], spec: StackSpec) -> Deployment:
    plan, name = order["plan"], order["name"]
    keep, idle_s, down = _rest_of(order.get("options") or {})
    row = Deployment(
        uid=f"{name}-{secrets.token_hex(4)}",
        name=name,
        project=order["project"],
        owner=order["owner"],
        cloud=spec.cloud,
        place=plan["where"],
        market=plan["market"],
        hourly=float(plan["hourly"]),
        digest=spec.digest,
        created=control.clock.now(),
        spec=spec.to_data(),
        envelope=plan.get("envelope"),
        keep=keep,
        idle_s=idle_s,
        stop_down=down,
        retry=bool((order.get("options") or {}).get("retry_until_up")),
    )
    control.store.add(row)
    control.tell(
        row, "accepted", f"{name} accepted: {spec.nodes} × {row.place} {row.market}", hourly=row.hourly
    )
    return row


def _rest_of(options: dict[str, Any]) -> tuple[bool, float | None, bool]:
    """keep, idle_s, down of an order."""
    keep = bool(options.get("keep"))
    idle = options.get("idle_s")
    return keep, None if keep else IDLE_S if idle is None else float(idle), bool(options.get("down", True))


def _reuse(control: Control, row: Deployment, order: dict[str, Any], spec: StackSpec) -> Deployment:
    """Use the nodes of a living deployment; its spec changes when the order's differs."""
    if row.project != order["project"]:
        raise Problems(
            Problem(
                "lock/name-in-use",
                f"`{row.name}` belongs to project `{row.project}`",
                hint="choose another name with `-c NAME`",
            )
        )
    if row.wanted == "gone":
        raise Problems(
            Problem(
                "lock/being-removed",
                f"`{row.name}` is being removed",
                hint=f"try again when it is gone; `skywright down {row.name}` tries again if that failed",
            )
        )
    if (row.cloud, row.spec.get("region")) != (spec.cloud, spec.region):
        raise Problems(
            Problem(
                "control/would-move",
                f"`{row.name}` lives in {row.place} and would move to {order['plan']['where']}",
                hint=f"`skywright down {row.name}` first, or choose another name with `-c NAME`",
            )
        )
    changes: dict[str, Any] = {"problem": None, "blocked": None, "failures": 0, "retry_at": None}
    keep, idle_s, down = _rest_of(order.get("options") or {})
    changes |= {"keep": keep, "idle_s": idle_s, "stop_down": down}
    if row.stage == "failed":
        changes["stage"] = "pending"
        changes["retry"] = bool((order.get("options") or {}).get("retry_until_up"))
    if row.digest != spec.digest:
        plan = order["plan"]
        changes |= {
            "spec": spec.to_data(),
            "digest": spec.digest,
            "place": plan["where"],
            "market": plan["market"],
            "hourly": float(plan["hourly"]),
            "envelope": plan.get("envelope"),
        }
        told = f"{row.name} changes: its nodes are made to match the new task before the next run"
    else:
        told = f"{row.name} exists and fits: its nodes are used again"
    control.store.change(row, **changes)
    control.tell(row, "accepted", told, changed=row.digest != spec.digest)
    return row


def execute(control: Control, name: str, order: dict[str, Any]) -> dict[str, Any]:
    """Queue a run on a living deployment."""
    row = living(control, name)
    if row.wanted == "gone" or row.stage == "failed":
        raise Problems(
            Problem(
                "lock/being-removed" if row.wanted == "gone" else "control/not-up",
                f"`{name}` {'is being removed' if row.wanted == 'gone' else 'has no nodes'}",
                hint=f"`skywright launch -c {name} FILE` makes it again",
            )
        )
    _check_run(control, order["run"])
    if order["run"]["num_nodes"] > row.nodes_wanted:
        raise Problems(
            Problem(
                "control/too-few-nodes",
                f"`{name}` has {row.nodes_wanted} nodes, the task wants {order['run']['num_nodes']}",
                hint=f"`skywright launch -c {name} FILE` changes the deployment",
            )
        )
    with control.store.together():
        number = _queue(control, row, order["run"])
    control.bell.ring(WORK, row.uid)
    return {"run": number}


_RUN_FIELDS = ("name", "setup", "script", "envs", "files", "checkpoint", "gpus_per_node", "num_nodes")


def _check_run(control: Control, run: dict[str, Any]) -> None:
    """Nothing is accepted whose files are not here yet."""
    absent = [field for field in _RUN_FIELDS if field not in run]
    if absent:
        raise Problems(Problem("control/bad-request", f"the order's run lacks {', '.join(absent)}"))
    missing = control.blobs.missing(item["digest"] for item in run["files"])
    if missing:
        raise Problems(Problem("control/blob-missing", f"{len(missing)} archives of the order were not sent"))


def _queue(control: Control, row: Deployment, run: dict[str, Any]) -> int:
    number = control.store.highest(Run, "run", uid=row.uid) + 1
    ahead = len(control.store.find(Run, uid=row.uid, ended=None))
    body = {field: run[field] for field in _RUN_FIELDS}
    control.store.add(Run(row.uid, number, run["name"] or row.name, control.clock.now(), body=body))
    control.vault.put(secrets_scope(row.uid, number), dict(run.get("secrets") or {}))
    waits = f"; {ahead} ahead of it" if ahead else ""
    control.tell(row, "run", f"run {number} is queued{waits}", run=number, status="PENDING")
    return number


def cancel(control: Control, name: str, numbers: list[int] | None) -> list[int]:
    """Stop runs (all that have not ended when None); returns those that were stopped. Problems run/no-such-run."""
    row = living(control, name)
    unknown = [n for n in numbers or () if not control.store.first(Run, uid=row.uid, run=n)]
    if unknown:
        raise Problems(
            Problem(
                "run/no-such-run",
                f"`{name}` has no run {', '.join(map(str, unknown))}",
                hint=f"`skywright queue {name}` lists them",
            )
        )
    return stop_runs(control, row, numbers, "cancelled")


def stop_runs(control: Control, row: Deployment, numbers: list[int] | None, reason: str) -> list[int]:
    """Mark runs for stopping; those that hold no nodes end at once."""
    stopped = []
    for run in control.store.find(Run, order="run", uid=row.uid, ended=None):
        if numbers is not None and run.run not in numbers:
            continue
        stopped.append(run.run)
        with control.store.together():
            if run.attempt == 0:
                end(control, row, run, "CANCELLED", reason)
            elif run.stopping != "cancel":
                control.store.change(run, when={"ended": None}, stopping="cancel", reason=reason)
                control.tell(row, "run", f"run {run.run} is being stopped", run=run.run)
    control.bell.ring(WORK, *(node.node for node in control.store.find(Node, uid=row.uid, revoked=None)))
    return stopped


def autostop(control: Control, name: str, idle_s: float | None, down: bool) -> None:
    """Remove the deployment after `idle_s` seconds without a run; None: never."""
    row = living(control, name)
    control.store.change(row, keep=idle_s is None, idle_s=idle_s, stop_down=down)
    control.bell.ring(WORK, row.uid)


def down(control: Control, name: str, purge: bool) -> dict[str, Any]:
    """Remove a deployment; asking again tries again after a failure."""
    row = living(control, name)
    with control.store.together():
        control.store.change(
            row,
            wanted="gone",
            purge=purge or row.purge,
            leaving=row.leaving or control.clock.now(),
            stage="up" if row.stage == "failed" else row.stage,
            problem=None,
        )
        if row.wanted != "gone":
            control.tell(row, "step", f"{name} is being removed")
        stop_runs(control, row, None, "the deployment is being removed")
    control.bell.ring(WORK, row.uid)
    return {"name": name}


async def chaos(control: Control, name: str, kind: str, rank: int, notice_s: float | None) -> dict[str, Any]:
    """Break something on purpose: preempt, kill, kill-agent or kill-operation."""
    row = living(control, name)
    if kind == "kill-operation":
        return _kill_operation(control, row)
    node = control.store.first(Node, uid=row.uid, rank=rank, revoked=None)
    if node is None:
        raise Problems(
            Problem(
                "control/no-such-rank",
                f"`{name}` has no node of rank {rank} now",
                hint=f"`skywright status {name}` shows its nodes",
            )
        )
    cloud = control.cloud(row.cloud)
    if kind in ("preempt", "kill"):
        await asyncio.to_thread(cloud.preempt, node.node, (notice_s or 10.0) if kind == "preempt" else None)
    elif kind == "kill-agent":
        kill: Callable[[str], None] | None = getattr(cloud, "kill_agent", None)
        if kill is None:
            raise Problems(
                Problem("control/no-such-chaos", f"agents of cloud {row.cloud} cannot be killed from here")
            )
        await asyncio.to_thread(kill, node.node)
    else:
        raise Problems(Problem("control/no-such-chaos", f"chaos knows no `{kind[:40]}`"))
    return {"node": node.node, "kind": kind}


def _kill_operation(control: Control, row: Deployment) -> dict[str, Any]:
    from signal import SIGKILL

    from stacks import process

    operation = operations.unfinished(control, row.uid)
    who = operation and control.operations.owner(operations.folder(control, operation))
    if not who or not process.send(who, SIGKILL):
        raise Problems(Problem("control/no-operation", f"no engine operation of `{row.name}` is running now"))
    return {"operation": operation.id if operation else "", "kind": "kill-operation"}


async def orphans(control: Control, delete: bool) -> list[dict[str, Any]]:
    """Nodes that exist in a cloud and belong to no living deployment; `delete` removes them."""
    from stacks import CLOUDS

    rows = {(row.project, row.name): row for row in control.store.find(Deployment, ended=None)}
    found = []
    for name in CLOUDS:
        cloud = control.cloud(name)
        for facts in await asyncio.to_thread(cloud.inventory):
            row = rows.get((facts.project, facts.deployment))
            node = control.store.first(Node, node=facts.node)
            if row and (not node or not node.revoked):
                continue  # also one that an operation is making right now
            if row and operations.unfinished(control, row.uid):
                continue
            why = "its deployment is not known" if row is None else node.revoked if node else ""
            found.append(
                {
                    "node": facts.node,
                    "cloud": name,
                    "project": facts.project,
                    "deployment": facts.deployment,
                    "rank": facts.rank,
                    "address": facts.address,
                    "alive": facts.alive,
                    "created": facts.created,
                    "reason": why,
                    "deleted": delete,
                }
            )
            if delete:
                await asyncio.to_thread(cloud.remove, facts.node)
    return found
