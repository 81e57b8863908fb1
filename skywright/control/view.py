"""What people see of a deployment and its runs: dictionaries folded from the store, never stored themselves."""

from __future__ import annotations

from typing import Any

from skywright.control import budget, cost, stopping
from skywright.control.context import Control
from skywright.control.progress import kept_folder, measure, shown
from skywright.control.rows import Deployment, Event, Node, Operation, Run, RunRank


def deployment(control: Control, row: Deployment, *, measured: bool = False) -> dict[str, Any]:
    """The Deployment-dict of the client. `measured`: also walk the kept folder of a living one."""
    now = control.clock.now()
    nodes = control.store.find(Node, order="rank", uid=row.uid, revoked=None)
    turn = control.store.first(Run, order="run", uid=row.uid, ended=None)
    newest = turn or control.store.first(Run, order="-ended -run", uid=row.uid)
    last = control.store.first(Event, order="-seq", uid=row.uid)
    idle = row.idle_since is not None and turn is None and row.ended is None and row.stage == "up"
    down = row.stop_down or not stopping.can_stop(control, row)
    figures = cost.of(control, row)
    blocked = row.blocked or budget.reason(row) or (control.full if row.ended is None else None)
    return {
        "name": row.name,
        "project": row.project,
        "state": state(row, nodes, turn, blocked),
        "wanted": row.wanted,
        "where": row.place,
        "market": row.market,
        "clouds": sorted({row.cloud, *(one["spec"]["cloud"] for one in row.choices)}),
        "tries": [_try(one) for one in row.tries],
        "moving_to": row.move["where"] if row.move else None,
        "moving": row.move.get("step", "make") if row.move else None,
        "choices": [_choice(one) for one in row.choices],
        "leaving": row.outgoing["stack"] if row.outgoing else None,
        "nodes": [_node(control, node) for node in nodes],
        "nodes_wanted": row.nodes_wanted,
        "spec": row.spec,
        "task": row.task,
        "rates": row.rates,
        "hourly": 0.0 if row.stage == "stopped" else row.hourly,
        "spent": figures.spent,
        "figures": figures.to_data(),
        "budget": budget.told(row),
        "created": row.created,
        "up_s": (row.ended or now) - row.up_since if row.up_since else 0.0,
        "idle_s": now - row.idle_since if idle and row.idle_since is not None else None,
        "autostop": None if row.keep or row.idle_s is None else {"idle_s": row.idle_s, "down": down},
        "blocked": blocked,
        "last_event": {"at": last.at, "text": last.text} if last else None,
        "problem": row.problem,
        "run": run(control, newest) if newest else None,
        "kept": _kept(control, row) if measured and row.ended is None else row.kept,
        "stores": stores(control, row.uid),
    }


def stores(control: Control, uid: str) -> list[dict[str, Any]]:
    """Where its stacks put objects, the newest first: a checkpoint may lie in each, also when it has moved since."""
    ended = control.store.find(Operation, order="-started", uid=uid, state="done")
    found = [one.result["store"] for one in ended if one.result and one.result.get("store")]
    return [one for number, one in enumerate(found) if one not in found[:number]]


def state(row: Deployment, nodes: list[Node], turn: Run | None, blocked: str | None) -> str:
    """One word for how it is; `blocked` says why nothing goes on."""
    if row.ended is not None:
        return "gone"
    if row.stage == "failed":
        return "failed"
    if row.wanted == "gone":
        return "removing"
    if blocked:
        return "blocked"
    if row.wanted == "stopped" or row.stage in stopping.RESTING:
        return {"stopped": "stopped", "starting": "provisioning"}.get(row.stage, "stopping")
    if row.stage == "pending":
        return "pending"
    if row.stage == "provisioning":
        return "provisioning"
    if sum(node.state == "up" for node in nodes) < row.nodes_wanted:
        booting = (turn is None or turn.attempt == 0) and any(node.joined is None for node in nodes)
        return "provisioning" if booting else "degraded"
    if turn is None:
        return "idle"
    return {"SETTING_UP": "setup", "RUNNING": "running", "RECOVERING": "degraded"}.get(
        turn.status, "provisioning"
    )


def _choice(row: dict[str, Any]) -> dict[str, Any]:
    """An approved placement: where it is, and what it costs."""
    place = {name: row["spec"].get(name) for name in ("cloud", "region", "zone", "instance_type")}
    return {**{name: row[name] for name in ("where", "market", "hourly")}, **place}


def _try(row: dict[str, Any]) -> dict[str, Any]:
    """A placement that refused: where, when and why."""
    problem = row["problem"]
    return {
        **{name: row[name] for name in ("where", "market", "at", "failure")},
        "code": problem["code"],
        "reason": problem["message"],
    }


def _node(control: Control, node: Node) -> dict[str, Any]:
    observed = control.presence.observed(node.node)
    silent = node.state == "up" and control.presence.silent(node.node, control.clock.steady())
    return {
        "rank": node.rank,
        "node": node.node,
        "address": node.address,
        "state": "silent" if silent else {"up": "live"}.get(node.state, node.state),
        "last_seen": node.last_seen,
        "memory_bytes": observed.get("memory_bytes"),
    }


def _kept(control: Control, row: Deployment) -> dict[str, Any] | None:
    folder = kept_folder(control, row)
    if folder is None or not folder.is_dir():
        return None
    found = measure(folder)
    return found if found["files"] else None


def run(control: Control, row: Run) -> dict[str, Any]:
    """The Run-dict of the client."""
    seats = control.store.find(RunRank, order="rank", uid=row.uid, run=row.run, attempt=row.attempt)
    return {
        "run": row.run,
        "name": row.name,
        "status": row.status,
        "attempt": row.attempt,
        "recoveries": row.recoveries,
        "submitted": row.submitted,
        "started": row.started,
        "ended": row.ended,
        "exit_code": row.exit_code,
        "reason": row.reason,
        "failed_rank": row.failed_rank,
        "ranks": [
            {
                "rank": seat.rank,
                "phase": seat.phase,
                "exit_code": seat.exit_code,
                "signal": seat.signal,
                "oom": seat.oom,
            }
            for seat in seats
        ],
        "progress": shown(row.progress),
        "preemptions": row.preemptions,
        "lost_work_s": row.lost_work_s,
    }


def event(row: Event) -> dict[str, Any]:
    return {"seq": row.seq, "at": row.at, "kind": row.kind, "text": row.text, "data": row.data}
