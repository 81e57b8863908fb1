"""What an answer of control that is none says to people, and what no answer does."""

from __future__ import annotations

import json

from compiler.problem import Problem


def told(status: int, content: bytes) -> tuple[Problem, ...]:
    """The Problems of an answer."""
    try:
        told = json.loads(content)
        if told.get("problems"):
            return tuple(Problem.of(item) for item in told["problems"])
        reason = str(told.get("reason", ""))
    except (ValueError, AttributeError):
        reason = content[:200].decode(errors="replace")
    if status == 401:
        return (
            Problem(
                "control/not-allowed",
                "control does not know the token in this home",
                hint="end the control process of this home; the next command starts a new one",
            ),
        )
    return (Problem("control/refused", f"control answered {status}: {reason}"),)


def not_running() -> Problem:
    return Problem(
        "control/not-running",
        "control is not running: nothing was launched from this home, or it was ended",
        hint="`skywright up FILE` starts it; so does every command that needs it",
    )


def unreachable(error: Exception) -> Problem:
    return Problem(
        "control/unreachable",
        f"control could not be reached: {error or type(error).__name__}",
        hint="run the command again; `skywright status` shows what was accepted",
    )
