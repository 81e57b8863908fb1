"""Has the foundation of a stack made before the stack itself, waiting while another operation makes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from stacks import operate
from stacks.operate import Request

LONGEST_S = 600.0
"""Longest wait for another operation that makes the same foundation."""


def carry_out(
    begin: Callable[[Request, Path], int], request: Request, folder: Path, stopping: threading.Event
) -> dict[str, Any]:
    """The result of an operation on the foundation, carried out by `begin` in `folder`. Raises its Problems."""
    if request.kind is operate.Kind.PREVIEW and request.founded:
        return dict(request.founded)
    until = time.monotonic() + LONGEST_S
    while True:
        (folder / operate.RESULT).unlink(missing_ok=True)
        begin(request, folder)
        result = operate.result(folder) or {}
        problem = result.get("problem")
        if problem is None:
            return result
        if problem["code"] != "lock/held" or time.monotonic() > until or stopping.wait(1.0):
            raise Problems(Problem.of(problem))
