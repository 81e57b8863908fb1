"""What a node says and is given, whatever carries it: the calls of docs/link.md without their carrier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skywright.control import nodes, progress
from skywright.control.context import WORK, Control
from skywright.control.logbook import PHASES, Part
from skywright.control.presence import Contact
from skywright.control.rows import Node, Run, RunRank

KEEP_S = 15.0
"""When a node was heard is stored so often; presence knows it exactly."""


class Nonsense(Exception):
    """What was said keeps to no form."""


class NoSuchLog(Exception):
    """The node has no such log."""


def events_of(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events in what a node said. Raises Nonsense."""
    try:
        return [_event(item) for item in said.get("events") or ()]
    except (KeyError, TypeError, ValueError) as error:
        raise Nonsense(f"not an event: {error!r}") from None


def _event(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item["kind"], str) or int(item["seq"]) < 1:
        raise ValueError("not an event")
    if item["kind"] == "phase" and item["phase"] not in nodes.PHASES:
        raise ValueError("not a phase")
    return item


def hear(control: Control, node: Node, observed: Any, age_s: float = 0.0) -> Contact:
    """The node said `age_s` seconds ago how it is."""
    now = control.clock.now() - age_s
    contact = control.presence.heard(node.node, control.clock.steady() - age_s, now)
    if now - (node.last_seen or 0.0) > KEEP_S:
        control.store.change(node, last_seen=now)
    if isinstance(observed, dict):
        contact.observed = observed
        _observe(control, node, observed)
    return contact


def _observe(control: Control, node: Node, observed: dict[str, Any]) -> None:
    """Fold what the task reports of itself into its run, if it is still that run."""
    report = observed.get("progress")
    found = nodes.run_of(control, node)
    if not isinstance(report, dict) or not report or found is None:
        return
    run, seat = found
    if (observed.get("run"), observed.get("attempt")) == (run.run, run.attempt):
        progress.take(control, run, seat.rank, report)


def log_size(control: Control, node: Node, run: int, attempt: int, phase: str) -> int:
    """Bytes that control has of a log of this node. Raises NoSuchLog."""
    seat = _seat(control, node, run, attempt, phase)
    return control.logbook.size(node.uid, run, Part(attempt, seat.rank, phase))


def append_log(
    control: Control, node: Node, run: int, attempt: int, phase: str, offset: int, content: bytes
) -> tuple[bool, int]:
    """Log bytes of this node at `offset`: (accepted, next offset). Raises NoSuchLog."""
    seat = _seat(control, node, run, attempt, phase)
    part = Part(seat.attempt, seat.rank, phase)
    accepted, following = control.logbook.append(node.uid, seat.run, part, offset, content)
    control.bell.ring(node.uid)
    if seat.phase in nodes.OVER:
        control.bell.ring(WORK)
    return accepted, following


def _seat(control: Control, node: Node, run: int, attempt: int, phase: str) -> RunRank:
    seat = control.store.first(RunRank, uid=node.uid, run=run, attempt=attempt, node=node.node)
    if seat is None or phase not in PHASES:
        raise NoSuchLog("this node has no such log")
    return seat


def archive(control: Control, node: Node, digest: str) -> Path | None:
    """An archive that a run of the node's own deployment refers to; None for any other."""
    runs = control.store.find(Run, uid=node.uid, ended=None)
    path = control.blobs.path(digest)
    wanted = any(item["digest"] == digest for run in runs for item in run.body["files"])
    return path if wanted and path.is_file() else None
