"""Breaking things on purpose: nodes through their cloud, agents and operations by a signal to exactly that process."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from compiler.problem import Problem, Problems
from skywright.control import clouds, operations
from skywright.control.context import Control
from skywright.control.desk import living
from skywright.control.rows import Deployment, Node
from stacks import process

NOTICE_S = 10.0
AGENT_S = 5.0
"""How long a killed agent may take until it is there again to be killed."""


async def strike(control: Control, name: str, kind: str, rank: int, notice_s: float | None) -> dict[str, Any]:
    """Do one thing of preempt, kill, kill-agent and kill-operation; says what was hit."""
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
    if kind == "kill-agent":
        return {"kind": kind, "node": node.node, "pid": await _kill_agent(control, row, node)}
    if kind not in ("preempt", "kill"):
        raise Problems(Problem("control/no-such-chaos", f"chaos knows no `{kind[:40]}`"))
    notice = (NOTICE_S if notice_s is None else notice_s) if kind == "preempt" else None
    await clouds.ask(control, clouds.place(control, row), "preempt", node.node, notice)
    return {"kind": kind, "node": node.node}


def _kill_operation(control: Control, row: Deployment) -> dict[str, Any]:
    operation = operations.unfinished(control, row.uid)
    who = control.operations.owner(operations.folder(control, operation)) if operation else None
    if operation is None or who is None or not process.send(who, signal.SIGKILL):
        raise Problems(
            Problem(
                "control/no-operation",
                f"no engine operation of `{row.name}` is running now",
                hint="`up`, `down` and the replacement of a node run one",
            )
        )
    return {"kind": "kill-operation", "operation": operation.id, "pid": who.pid}


async def _kill_agent(control: Control, row: Deployment, node: Node) -> int:
    """The pid that was killed. An agent that is just starting again is waited for."""
    where = clouds.place(control, row)
    for _ in range(int(AGENT_S / 0.1)):
        try:
            return int(await clouds.ask(control, where, "kill_agent", node.node))
        except Problems as refused:
            if refused.problems[0].code != "cloud/no-agent":
                raise
        await asyncio.sleep(0.1)
    return int(await clouds.ask(control, where, "kill_agent", node.node))
