"""Whether the folders and files that a task takes from this machine are here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compiler.problem import Place, Problem, Problems

if TYPE_CHECKING:
    from compiler.task import Task


def check_local(task: Task) -> None:
    """Whether the folders and files that the task takes from this machine are here.

    Raises Problems task/no-such-workdir, task/no-such-source, with their places in the file.
    """
    found: list[Problem] = []
    if task.workdir is not None:
        path = Path(task.workdir).expanduser()
        place = task.place("workdir")
        if not path.exists():
            found.append(_absent("task/no-such-workdir", "workdir", task.workdir, task, place))
        elif not path.is_dir():
            found.append(
                Problem("task/no-such-workdir", f"the workdir `{task.workdir}` is not a folder", place)
            )
    for target, source in task.file_mounts.items():
        if not Path(source).expanduser().exists():
            place = task.place("file_mounts", target)
            found.append(_absent("task/no-such-source", f"source of `{target}`", source, task, place))
    if found:
        raise Problems(found)


def _absent(code: str, what: str, written: str, task: Task, place: Place | None) -> Problem:
    path = Path(written).expanduser()
    beside = Path(task.file).expanduser().parent / path
    hint = None
    if not path.is_absolute():
        hint = f"relative paths begin where you are, {Path.cwd()}"
        if beside.exists():
            hint += f";\nit is beside the task file: cd {beside.parent}"
    return Problem(code, f"the {what}, `{written}`, does not exist", place, hint)
