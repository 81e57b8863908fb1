"""Services, a name space that is ready: every function refuses until services run."""

from __future__ import annotations

from typing import Any, NoReturn

from compiler.problem import Problem, Problems

_HINT = "`sky.launch` runs a server as a task, without replicas and probes"


def _refused(name: str) -> Problems:
    says = f"`sky.serve.{name}`: services do not run yet"
    return Problems(Problem("plan/not-runnable-yet", says, hint=_HINT))


def up(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("up")


def update(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("update")


def down(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("down")


def status(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("status")


def terminate_replica(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("terminate_replica")


def tail_logs(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("tail_logs")
