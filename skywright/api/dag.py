"""Dag: tasks with an order between them, joined by `>>` inside `with Dag():`."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from skywright.api.task import Task

_CURRENT: ContextVar[tuple[Dag, ...]] = ContextVar("dags", default=())


class Dag:
    """Tasks and the edges between them. Inside `with Dag() as dag:` every new Task joins, and `a >> b` adds an edge."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.tasks: list[Task] = []
        self._edges: list[tuple[Task, Task]] = []

    @property
    def edges(self) -> tuple[tuple[Task, Task], ...]:
        """(first, then), in the order in which they were added."""
        return tuple(self._edges)

    def add(self, task: Task) -> None:
        """Add a task, once."""
        if not any(one is task for one in self.tasks):
            self.tasks.append(task)

    def remove(self, task: Task) -> None:
        """Remove a task with its edges."""
        self.tasks = [one for one in self.tasks if one is not task]
        self._edges = [edge for edge in self._edges if task is not edge[0] and task is not edge[1]]

    def add_edge(self, first: Task, then: Task) -> None:
        """`then` begins when `first` has ended. Raises Problems usage/dag-cycle."""
        if first is then or any(one is first for one in self._after(then)):
            raise Problems(Problem("usage/dag-cycle", f"{first!r} would wait for itself"))
        self.add(first)
        self.add(then)
        if not any(one[0] is first and one[1] is then for one in self._edges):
            self._edges.append((first, then))

    def is_chain(self) -> bool:
        """Has each task one before and one after it at most, in one piece?"""
        firsts, thens = [[edge[side] for edge in self._edges] for side in (0, 1)]
        single = all(sum(one is task for one in side) <= 1 for task in self.tasks for side in (firsts, thens))
        return single and len(self._edges) == max(0, len(self.tasks) - 1)

    def _after(self, task: Task) -> list[Task]:
        found: list[Task] = []
        waiting = [task]
        while waiting:
            one = waiting.pop()
            for first, then in self._edges:
                if first is one and not any(then is other for other in found):
                    found.append(then)
                    waiting.append(then)
        return found

    def __enter__(self) -> Dag:
        _CURRENT.set((*_CURRENT.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _CURRENT.set(_CURRENT.get()[:-1])

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        return f"Dag({len(self.tasks)} tasks, {len(self._edges)} edges)"


def current() -> Dag | None:
    """The Dag of the innermost `with`."""
    found = _CURRENT.get()
    return found[-1] if found else None


def needed() -> Dag:
    """The Dag that `>>` writes to. Raises Problems usage/no-dag."""
    found = current()
    if found is None:
        hint = "write `with sky.Dag() as dag:` around it"
        raise Problems(Problem("usage/no-dag", "`>>` joins tasks inside a Dag, and there is none", hint=hint))
    return found
