"""What nodes say and what follows at once: joining, events (each taken once), and being fenced."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

from compiler.problem import Problems
from skywright.control import clouds, ledger, words
from skywright.control.context import WORK, Control, log
from skywright.control.cost import share_of
from skywright.control.logbook import PHASES as PARTS
from skywright.control.logbook import Part
from skywright.control.rows import Deployment, Node, NodeEvent, Run, RunRank
from stacks.cloud import NodeFacts

OVER = ("succeeded", "failed", "cancelled", "preempted", "unknown")
"""Phases of a rank that are the last of its attempt."""

_ORDER = ("pending", "fetching", "setup", "ready", "running")
PHASES = frozenset((*_ORDER, *OVER))


class Refused(Exception):
    """A node's call that is not answered with 200. `stop` tells the agent to end for ever."""

    def __init__(self, status: int, reason: str, stop: bool = False) -> None:
        self.status, self.reason, self.stop = status, reason, stop
        super().__init__(reason)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def join(control: Control, node: str, body: dict[str, Any]) -> str:
    """Let a node in that proves who it is, and give it a token. Raises Refused (403, 409, 503)."""
    known = control.store.first(Node, node=node)
    if known and known.revoked:
        raise Refused(409, known.revoked, stop=True)
    inventory = await _proven(control, node, known, str(body.get("proof", "")))
    facts = next((facts for facts in inventory if facts.node == node), None)
    if facts is None:
        raise Refused(403, "the cloud does not list this node")
    deployment = control.store.first(Deployment, name=facts.deployment, project=facts.project, ended=None)
    if deployment is None:
        raise Refused(409, f"there is no deployment {facts.deployment}", stop=True)
    if not _of_present_stack(deployment, facts):
        _knock(control, deployment, node)
        raise Refused(503, f"{facts.deployment} is not there yet, or not there any more")
    if facts.rank >= deployment.nodes_wanted:
        raise Refused(409, f"{facts.deployment} has no rank {facts.rank}", stop=True)
    _make_room(control, deployment, facts, inventory)
    return admit(control, deployment, facts.node, facts.rank, facts.address, body)


async def _proven(control: Control, node: str, known: Node | None, proof: str) -> Iterable[NodeFacts]:
    """What exists where the proof is good. Raises Refused 403, and 503 when a cloud gave no answer."""
    rows = control.store.find(Deployment, order="-created", ended=None)
    rows.sort(key=lambda row: known is None or row.uid != known.uid)
    silent: Problems | None = None
    asked: list[clouds.Place] = []
    wanted = [(row, spec) for row in rows for spec in (row.spec, row.move and row.move["spec"]) if spec]
    for row, spec in wanted:
        where = clouds.place(control, row, spec)
        if where in asked:
            continue
        asked.append(where)
        try:
            if await clouds.ask(control, where, "verify", node, proof):
                found: tuple[NodeFacts, ...] = await clouds.ask(control, where, "inventory", None)
                return found
        except Problems as problems:
            silent = problems
    if silent:
        raise Refused(503, silent.problems[0].message)
    raise Refused(403, "the proof does not show that this is the node")


def _of_present_stack(deployment: Deployment, facts: NodeFacts) -> bool:
    """A deployment that moves has nodes of two stacks for a while: only those of the present one count."""
    spec = deployment.spec
    return facts.stack in (None, spec["stack"]) and facts.region in (None, spec.get("region"))


def _knock(control: Control, deployment: Deployment, node: str) -> None:
    """One of a second stack is there: it is let in when its deployment has moved, and told to wait until then."""
    with control.store.together():
        row = control.store.first(Deployment, uid=deployment.uid)
        move = row.move if row else None
        if row is None or move is None or node not in [one["id"] for one in move.get("nodes", ())]:
            return
        nodes = [{**one, "there": True} if one["id"] == node else one for one in move["nodes"]]
        if nodes != move["nodes"]:
            control.store.change(row, move={**move, "nodes": nodes})
            control.bell.ring(WORK, row.uid)


def _make_room(
    control: Control, deployment: Deployment, facts: NodeFacts, inventory: Iterable[NodeFacts]
) -> None:
    """A rank has one node: an earlier one must be known to be gone before its successor comes in."""
    living = {item.node for item in inventory if item.alive}
    for other in control.store.find(Node, uid=deployment.uid, rank=facts.rank, revoked=None):
        if other.node == facts.node:
            continue
        if other.node in living:
            raise Refused(503, f"rank {facts.rank} is still held by {other.node}")
        fence(control, deployment, other, f"replaced by {facts.node}")


def admit(
    control: Control, deployment: Deployment, name: str, rank: int, address: str, body: dict[str, Any]
) -> str:
    """Take in a node that has shown who it is: a token for it. Raises Refused for one that was replaced."""
    token = secrets.token_urlsafe(32)
    now = control.clock.now()
    with control.store.together():
        price = share_of(deployment)
        first = control.store.add(Node(name, deployment.uid, rank, address, created=now, hourly=price))
        node = control.store.first(Node, node=name)
        if node is None or node.revoked:
            raise Refused(409, node.revoked or "" if node else "", stop=True)
        if first:
            ledger.made(control, deployment, node)
        again = node.joined is not None
        control.store.change(
            node,
            token_hash=hashed(token),
            boot_id=str(body.get("boot_id", "")),
            joined=node.joined or now,
            last_seen=now,
            address=address,
            state="up" if node.state == "starting" else node.state,
        )
    if not again:
        control.tell(
            deployment,
            "node",
            f"{node.label} is up ({node.node}, {address})",
            rank=node.rank,
            node=node.node,
            first=first,
        )
    control.presence.heard(node.node, control.clock.steady(), now)
    control.bell.ring(WORK, deployment.uid)
    return token


def take_events(control: Control, node: Node, events: list[dict[str, Any]]) -> int:
    """Store what is new, act on it, and return the highest number such that it and all before it are stored."""
    acked = node.acked
    deployment = control.store.first(Deployment, uid=node.uid)
    if deployment is None:
        return acked
    for event in sorted(events, key=lambda event: int(event["seq"])):
        seq = int(event["seq"])
        if seq <= acked:
            continue
        if seq != acked + 1:
            break  # a hole: the agent sends what is missing first
        with control.store.together():
            control.store.add(NodeEvent(node.node, seq, control.clock.now(), event))
            _ACT.get(event["kind"], _ignore)(control, deployment, node, event)
            control.store.change(node, when={"acked": acked}, acked=seq)
        acked = seq
        control.bell.ring(WORK, deployment.uid)
    return acked


def _ignore(control: Control, deployment: Deployment, node: Node, event: dict[str, Any]) -> None:
    log.warning("%s: %s said %r, which this program does not know", deployment.name, node.node, event["kind"])


def _boot(control: Control, deployment: Deployment, node: Node, event: dict[str, Any]) -> None:
    if event.get("reboot"):
        control.tell(
            deployment, "node", f"{node.label} has restarted", rank=node.rank, node=node.node, reboot=True
        )


def _phase(control: Control, deployment: Deployment, node: Node, event: dict[str, Any]) -> None:
    """A rank's phase only goes forward; what an earlier attempt says is stored and changes nothing else."""
    seat = control.store.first(
        RunRank, uid=node.uid, run=event.get("run"), attempt=event.get("attempt"), node=node.node
    )
    phase = event["phase"]
    if (
        seat is None
        or seat.phase in OVER
        or (phase in _ORDER and _ORDER.index(phase) < _ORDER.index(seat.phase))
    ):
        return
    sizes = event.get("log_bytes") or {}
    control.store.change(
        seat,
        when={"phase": seat.phase},
        phase=phase,
        exit_code=event.get("exit_code"),
        signal=event.get("signal"),
        oom=bool(event.get("oom")),
        message=event.get("message"),
        log_setup=sizes.get("setup", seat.log_setup),
        log_run=sizes.get("run", seat.log_run),
        changed=control.clock.now(),
    )
    if phase in OVER:
        for part in PARTS:
            control.logbook.settle(seat.uid, seat.run, Part(seat.attempt, seat.rank, part))
    control.tell(
        deployment,
        "phase",
        _phase_sentence(node, event),
        run=seat.run,
        attempt=seat.attempt,
        rank=seat.rank,
        phase=phase,
        exit_code=event.get("exit_code"),
        signal=event.get("signal"),
        oom=bool(event.get("oom")),
    )


def _phase_sentence(node: Node, event: dict[str, Any]) -> str:
    phase = event["phase"]
    said = {
        "pending": "has its orders",
        "fetching": "fetches files",
        "setup": "runs setup",
        "ready": "is ready to run",
        "running": "runs the task",
        "succeeded": "has finished",
        "cancelled": "has stopped the task",
        "preempted": "has stopped the task before it is taken away",
        "unknown": "lost track of the task (the machine restarted or its record is gone)",
    }.get(phase, f"says {phase}")
    return f"{node.label} {ending(event) if phase == 'failed' else said + uploaded(event)}"


def uploaded(event: dict[str, Any]) -> str:
    """What became of files in caches of buckets and the checkpoint folder, where it took long or some are missing."""
    found = event.get("uploads") or {}
    left, waited = int(found.get("files_left") or 0), float(found.get("waited_s") or 0)
    if left:
        return f"; {words.few(left, 'file')} did not reach their bucket"
    return f"; uploads took {words.duration(waited)} more" if waited >= 1 else ""


def ending(facts: dict[str, Any]) -> str:
    """How a failed part ended: `failed in setup with exit code 3`, `failed: out of memory`, `failed by signal 9`."""
    part, _, more = str(facts.get("message") or "").partition(": ")
    where = {"setup": " in setup", "fetch": " while fetching files"}.get(part, "")
    more = more if where else str(facts.get("message") or "")
    more = f" ({more})" if more else ""
    if facts.get("oom"):
        return f"failed{where}: out of memory{more}"
    if facts.get("signal"):
        return f"failed{where} by signal {facts['signal']}{more}"
    if facts.get("exit_code") is not None:
        return f"failed{where} with exit code {facts['exit_code']}{more}"
    return f"failed{where}{more}"


def _notice(control: Control, deployment: Deployment, node: Node, event: dict[str, Any]) -> None:
    seconds = float(event.get("deadline_s", 0))
    if control.store.change(
        node, when={"state": "up"}, state="noticed", notice_until=control.clock.now() + seconds
    ):
        control.tell(
            deployment,
            "notice",
            f"{node.label} will be taken away in {words.duration(seconds)}"
            f" ({deployment.cloud} notice); the task was told to save",
            rank=node.rank,
            node=node.node,
            deadline_s=seconds,
            source=event.get("source"),
        )


def _drained(control: Control, deployment: Deployment, node: Node, event: dict[str, Any]) -> None:
    if control.store.change(node, when={"revoked": None}, state="drained"):
        control.tell(
            deployment,
            "node",
            f"{node.label} has saved and sent its logs",
            rank=node.rank,
            node=node.node,
        )


_ACT = {"boot": _boot, "phase": _phase, "notice": _notice, "drained": _drained}


def fence(control: Control, deployment: Deployment, node: Node, reason: str, state: str = "lost") -> bool:
    """Keep a node out for ever, before anything takes its place. False when it was out already.

    One that is `moved` goes on existing, and costing, until its stack is gone.
    """
    now = control.clock.now()
    with control.store.together():
        done = control.store.change(
            node,
            when={"revoked": None},
            revoked=reason,
            state=state,
            gone=None if state == "moved" else now,
            token_hash=None,
            last_seen=control.presence.last(node.node) or node.last_seen,
        )
        if done and state != "moved":
            ledger.gone(control, node, now)
    if done:
        control.presence.forget(node.node)
        control.bell.ring(node.node, WORK)
    return done


def run_of(control: Control, node: Node) -> tuple[Run, RunRank] | None:
    """The unfinished run that the node has a seat in."""
    run = control.store.first(Run, order="run", uid=node.uid, ended=None)
    seat = run and control.store.first(RunRank, uid=run.uid, run=run.run, attempt=run.attempt, node=node.node)
    return (run, seat) if run and seat else None
