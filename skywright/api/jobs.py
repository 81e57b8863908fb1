"""Managed jobs, a name space that is ready: every function refuses until managed jobs run."""

from __future__ import annotations

from typing import Any, NoReturn

from compiler.problem import Problem, Problems

_HINT = "`sky.launch` of a task recovers from lost nodes, and `sky.queue` lists its runs"


def _refused(name: str) -> Problems:
    says = f"`sky.jobs.{name}`: managed jobs do not run yet"
    return Problems(Problem("plan/not-runnable-yet", says, hint=_HINT))


def launch(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("launch")


def queue(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("queue")


def queue_v2(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("queue_v2")


def cancel(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("cancel")


def tail_logs(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("tail_logs")


def wait(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("wait")


def download_logs(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("download_logs")


def pool_apply(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("pool_apply")


def pool_status(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("pool_status")


def pool_down(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    raise _refused("pool_down")
