"""An engine operation whose parent is the command itself: for what belongs to no deployment."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from compiler.spec import Foundation, StackSpec
    from stacks.operate import Kind

POLL_S = 0.05


def carry_out(
    kind: Kind,
    spec: StackSpec | Foundation,
    env: dict[str, str],
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
    stopped: threading.Event | None = None,
    *,
    record: bool = False,
    policy: Mapping[str, Any] | None = None,
    founded: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Run it to its end; its result. `tell` is given its events; `record` has a preview tell what the program
    registers, `policy` judges it (stacks/rules/policy.py, as data), `founded` spares it the foundation's own preview.
    Raises the operation's Problems.

    Who is interrupted, or sets `stopped`, lets it end what it is at.
    """
    from stacks import operate
    from stacks.home import home

    name = f"{kind.value}-{secrets.token_hex(6)}"
    folder = home() / "previews" / name
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    offset = 0
    try:
        request = operate.Request(
            name, kind, spec, env=env, record=record, policy=policy or {}, founded=founded or {}
        )
        operate.start(request, folder)
        while operate.running(folder):
            offset = _tell(operate, folder, offset, tell)
            if stopped and stopped.is_set():
                operate.stop(folder)
            time.sleep(POLL_S)
        _tell(operate, folder, offset, tell)
        result = operate.result(folder)
        if result is None:
            output = (folder / "output.txt").read_text(errors="replace")
            raise RuntimeError(f"the operation ended without a result:\n{output[-4000:]}")
    finally:
        operate.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
    if not result["ok"]:
        raise Problems(Problem.of(result["problem"]))
    return result


def _tell(operate: Any, folder: Any, offset: int, tell: Callable[[dict[str, Any]], None]) -> int:
    events, following = operate.read(folder, offset)
    for event in events:
        tell(event)
    return int(following)
