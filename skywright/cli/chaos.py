"""`chaos`: takes things away on purpose."""

from __future__ import annotations

import os
import signal
from typing import Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect

KINDS = ("preempt", "kill", "kill-agent", "kill-operation", "kill-control")


def run(values: Values) -> int:
    """Do one thing to a deployment, or kill control."""
    if values.kind not in KINDS:
        raise Problems(
            Problem(
                "usage/unknown-chaos", f"chaos knows no `{values.kind}`", hint=f"one of {', '.join(KINDS)}"
            )
        )
    if values.notice is not None and values.kind != "preempt":
        raise Problems(Problem("usage/flag-value", f"`--notice` belongs to preempt, not to {values.kind}"))
    if values.kind == "kill-control":
        done = _kill_control()
    elif not values.name:
        hint = f"chaos {values.kind} NAME"
        raise Problems(Problem("usage/missing-word", f"`chaos {values.kind}` needs a deployment", hint=hint))
    else:
        done = connect().chaos(values.name, values.kind, values.rank or 0, values.notice)
    if values.json:
        screen.data(done)
    else:
        what = done.get("node") or done.get("operation") or f"pid {done.get('pid')}"
        screen.say(f"{values.kind}: {what}")
    return int(Exit.FINE)


def _kill_control() -> dict[str, Any]:
    from stacks import home, process

    found = home.read_json(home.home() / "control" / "control.json")
    if not found:
        raise Problems(Problem("control/not-running", "control is not running"))
    # The triple of pid, start and boot id: a pid alone may belong to somebody else by now.
    who = process.Identity.from_data(found)
    if not process.send(who, signal.SIGKILL):
        raise Problems(Problem("control/not-running", "control is not running"))
    return {"kind": "kill-control", "pid": int(found["pid"]), "by": os.getpid()}
