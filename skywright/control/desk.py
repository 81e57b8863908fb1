"""What people can ask for: each call checks the wish and writes it down; the reconcilers do the rest."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from compiler import buckets
from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control import clouds, delivery, failover, leaving, ledger, operations, words
from skywright.control.context import WORK, Control
from skywright.control.desired import secrets_scope
from skywright.control.gang import end
from skywright.control.orders import Order, RunOrder
from skywright.control.rows import Deployment, Node, Operation, Run
from stacks.operate import PLACES


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


def launch(control: Control, order: Order) -> dict[str, Any]:
    """Make the deployment, or use the living one of that name, and queue the order's run on it."""
    if before := _ordered_before(control, order.run):
        return {"name": order.name, "run": before.run}
    _files_are_here(control, order.run)
    with control.store.together():
        if before := _ordered_before(control, order.run):  # by another replica, meanwhile
            return {"name": order.name, "run": before.run}
        row = control.store.first(Deployment, name=order.name, ended=None)
        if row:
            row = _reuse(control, row, order)
        else:
            row = _make(control, order)
            operations.take_env(control, row.uid, order.env)
        number = _queue(control, row, order.run, order.estimate)
    control.bell.ring(WORK, row.uid)
    return {"name": order.name, "run": number}


def _make(control: Control, order: Order) -> Deployment:
    row = Deployment(
        uid=f"{order.name}-{secrets.token_hex(4)}",
        name=order.name,
        project=order.project,
        owner=order.owner,
        cloud=order.spec.cloud,
        place=order.place,
        market=order.market,
        hourly=order.hourly,
        digest=order.spec.digest,
        created=control.clock.now(),
        spec=order.spec.to_data(),
        task=order.task,
        envelope=order.envelope,
        keep=order.keep,
        idle_s=order.idle_s,
        stop_down=order.down,
        retry=order.retry,
        choices=order.choices,
        policy=order.policy,
        rates=order.rates,
        budget=order.budget,
    )
    control.store.add(row)
    ledger.opened(control, row, order.run.body["name"] or row.name)
    control.tell(
        row,
        "accepted",
        f"{row.name} accepted: {words.few(order.spec.nodes, 'node')} on {row.place}, {row.market}",
        hourly=row.hourly,
    )
    return row


def _reuse(control: Control, row: Deployment, order: Order) -> Deployment:
    """Use the nodes of a living deployment; its spec changes when the order's differs."""
    nothing = _has_nothing(control, row)
    _may_reuse(row, order, nothing)
    changes: dict[str, Any] = {
        "problem": None,
        "blocked": None,
        "failures": 0,
        "retry_at": None,
        "task": order.task,
        "policy": order.policy,
        "budget": order.budget,
        "keep": order.keep,
        "idle_s": order.idle_s,
        "stop_down": order.down,
        "retry": order.retry,
        "tries": failover.close_round(row),
        "wanted": "up",
        "leaving": None,
    }
    if row.stage == "failed":
        changes["stage"] = "pending"
    differs = row.digest != order.spec.digest
    if differs:
        if row.applied == row.digest:
            changes["before"] = _as_it_is(control, row)
            operations.keep_env(control, row.uid)
        if nothing and row.spec["stack"] != order.spec.stack and row.stage != "pending":
            changes["outgoing"] = row.outgoing or row.spec
        changes |= {
            "cloud": order.spec.cloud,
            "choices": order.choices,
            "move": None,
            "spec": order.spec.to_data(),
            "digest": order.spec.digest,
            "place": order.place,
            "market": order.market,
            "hourly": order.hourly,
            "rates": order.rates,
            "envelope": order.envelope,
        }
        told = f"{row.name} changes: its nodes are made to match the new task before the run begins"
    elif row.stage == "failed":
        told = f"{row.name} is tried again"
    else:
        told = f"{row.name} exists and fits: its nodes are used again"
    if differs or row.applied is None:
        operations.take_env(control, row.uid, order.env, afresh=_locked_out(control, row))
    else:
        _take_env(control, row, order.env)
    control.store.change(row, **changes)
    control.tell(row, "accepted", told, changed=differs)
    return row


def _as_it_is(control: Control, row: Deployment) -> dict[str, Any]:
    """What is put back when the change is refused, and the first run that needs the change."""
    names = (
        "spec",
        "digest",
        "cloud",
        "place",
        "market",
        "hourly",
        "envelope",
        "choices",
        "task",
        "policy",
        "rates",
    )
    first_run = control.store.highest(Run, "run", uid=row.uid) + 1
    return {**{name: getattr(row, name) for name in names}, "first_run": first_run}


def _has_nothing(control: Control, row: Deployment) -> bool:
    """Was it never up, and is nothing of it being made? Then it may be anywhere."""
    return row.applied is None and operations.unfinished(control, row.uid) is None


def _may_reuse(row: Deployment, order: Order, nothing: bool) -> None:
    if row.project != order.project:
        raise Problems(
            Problem(
                "lock/name-in-use",
                f"`{row.name}` belongs to project `{row.project}`",
                hint="choose another name with `-c NAME`",
            )
        )
    if row.wanted == "gone":
        raise Problems(being_removed(row))
    if row.move is not None and "step" in row.move and row.digest != order.spec.digest:
        says = f"`{row.name}` is moving to {row.move['where']}"
        raise Problems(Problem("lock/busy", says, hint="try again when it has moved"))
    if not nothing and (row.cloud, row.spec.get("region")) != (order.spec.cloud, order.spec.region):
        raise Problems(
            Problem(
                "control/would-move",
                f"`{row.name}` lives in {row.place} and would move to {order.place}",
                hint=f"`skywright down {row.name}` first, or choose another name with `-c NAME`",
            )
        )


def being_removed(row: Deployment) -> Problem:
    return Problem(
        "lock/being-removed",
        f"`{row.name}` is being removed",
        hint=f"try again when it is gone; if removing failed, `skywright down {row.name}` tries again",
    )


def execute(control: Control, name: str, order: RunOrder) -> dict[str, Any]:
    """Queue a run on a living deployment."""
    if before := _ordered_before(control, order):
        return {"run": before.run}
    row = living(control, name)
    again = f"`skywright launch -c {name} FILE`"
    if row.wanted == "gone":
        raise Problems(being_removed(row))
    if row.stage == "failed":
        raise Problems(Problem("control/not-up", f"`{name}` has no nodes", hint=f"{again} makes them"))
    if row.wanted == "stopped":
        hint = f"`skywright start {name}`"
        raise Problems(Problem("control/not-up", f"`{name}` is stopped", hint=hint))
    if order.body["num_nodes"] > row.nodes_wanted:
        raise Problems(
            Problem(
                "control/too-few-nodes",
                f"`{name}` has {words.few(row.nodes_wanted, 'node')}, the task wants {order.body['num_nodes']}",
                hint=f"{again} changes the deployment",
            )
        )
    _files_are_here(control, order)
    with control.store.together():
        control.store.change(row, problem=None)
        operations.take_env(control, row.uid, _places(order.env))
        _make_containers(control, row, order)
        _let_reach(control, row, order)
        number = _queue(control, row, order)
    control.bell.ring(WORK, row.uid)
    return {"run": number}


def _make_containers(control: Control, row: Deployment, order: RunOrder) -> None:
    """Secrets that the stack has no container for yet: its spec gets their names, and the run waits for that."""
    if clouds.is_here(control.cloud(row.cloud)) or set(order.secrets) <= set(row.spec.get("secrets", ())):
        return
    spec = delivery.with_names(row.spec, order.secrets)
    control.store.change(row, spec=spec, digest=StackSpec.from_data(spec).digest)
    names = ", ".join(sorted(set(order.secrets) - set(row.spec.get("secrets", ()))))
    control.tell(row, "step", f"containers for {names} are made before the run begins")


def _let_reach(control: Control, row: Deployment, order: RunOrder) -> None:
    """Buckets that the stack does not let its nodes reach yet: its spec gets them, and the run waits for that."""
    asked = buckets.granted(order.body["buckets"], row.cloud)
    reached = buckets.merged(row.spec.get("buckets"), asked)
    if reached != (row.spec.get("buckets") or None):
        spec = {**row.spec, "buckets": reached}
        control.store.change(row, spec=spec, digest=StackSpec.from_data(spec).digest)
        control.tell(row, "step", f"rights to {', '.join(asked)} are given before the run begins")


def _ordered_before(control: Control, order: RunOrder) -> Run | None:
    """The run that an earlier try of the same call made: its answer was lost on the way."""
    return control.store.first(Run, call=order.call) if order.call else None


def _files_are_here(control: Control, order: RunOrder) -> None:
    missing = control.blobs.missing(order.digests)
    if missing:
        raise Problems(
            Problem(
                "control/blob-missing",
                f"{words.few(len(missing), 'archive')} of the order did not arrive",
                hint="run the command again",
            )
        )


def _queue(control: Control, row: Deployment, order: RunOrder, estimate: dict[str, Any] | None = None) -> int:
    number = control.store.highest(Run, "run", uid=row.uid) + 1
    ahead = len(control.store.find(Run, uid=row.uid, ended=None))
    name = order.body["name"] or row.name
    run = Run(row.uid, number, name, control.clock.now(), body=order.body, call=order.call)
    control.store.add(run)
    ledger.ordered(control, run, estimate)
    control.vault.put(secrets_scope(row.uid, number), order.secrets)
    waits = f", {ahead} ahead of it" if ahead else ""
    control.tell(row, "run", f"run {number} is queued{waits}", run=number, status="PENDING")
    return number


def cancel(control: Control, name: str, numbers: list[int] | None) -> list[int]:
    """Stop runs; returns those that were stopped. Problems run/no-such-run.

    None: all that have not ended. An empty list: the one that has the nodes, the newest waiting one when none has.
    """
    row = living(control, name)
    if numbers == []:
        waiting = control.store.find(Run, order="-run", uid=row.uid, ended=None)
        numbers = [run.run for run in waiting if run.attempt] or [run.run for run in waiting[:1]]
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


def down(control: Control, name: str, purge: bool, env: Mapping[str, str]) -> dict[str, Any]:
    """Remove a deployment; asking again tries again after a failure, with `env` of who asks now."""
    row = living(control, name)
    with control.store.together():
        _take_env(control, row, env)
        control.store.change(
            row,
            wanted="gone",
            purge=purge or row.purge,
            leaving=row.leaving or control.clock.now(),
            stage="up" if row.stage == "failed" else row.stage,
            problem=None,
            retry_at=None if purge else row.retry_at,
        )
        if row.wanted != "gone":
            control.tell(row, "step", f"{name} is being removed")
        stop_runs(control, row, None, "the deployment is being removed")
    control.bell.ring(WORK, row.uid)
    return {"name": name}


def release(control: Control, name: str) -> dict[str, Any]:
    """Forget a deployment whose stack somebody else looks after from now on. Problems lock/busy."""
    row = living(control, name)
    idle = row.wanted != "gone" and row.move is None and row.outgoing is None
    if not idle or operations.unfinished(control, row.uid):
        hint = "try again when that has ended"
        raise Problems(Problem("lock/busy", f"an operation of `{name}` is under way", hint=hint))
    if run := control.store.first(Run, uid=row.uid, ended=None):
        hint = f"wait for its end, or `skywright cancel {name}`"
        raise Problems(Problem("lock/busy", f"run {run.run} of `{name}` has not ended", hint=hint))
    with control.store.together():
        control.store.change(row, wanted="gone")
        leaving.released(control, row)
    control.bell.ring(WORK, row.uid)
    return {"name": name}


def _locked_out(control: Control, row: Deployment) -> bool:
    """Did the passphrase not fit that the next operation would use? A refused change has put back the one before."""
    last = control.store.first(Operation, order="-ended", uid=row.uid)
    if last is None or last.result is None or last.spec != row.spec:
        return False
    code = (last.result["problem"] or {}).get("code")
    return code in ("engine/wrong-passphrase", "engine/no-secrets-provider")


def _take_env(control: Control, row: Deployment, env: Mapping[str, str]) -> None:
    """What opens a living deployment's state stays, unless it did not fit."""
    if _locked_out(control, row):
        operations.take_env(control, row.uid, env, afresh=True)
    else:
        operations.take_env(control, row.uid, _places(env))


def _places(env: Mapping[str, str]) -> dict[str, str]:
    return {name: env[name] for name in PLACES if name in env}
