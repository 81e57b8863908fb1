"""A file of several documents into a Pipeline: tasks one after the other, or a group of tasks together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import schemas
from compiler import quantity, schema, source
from compiler.codec import decode, encode
from compiler.load import HEADER, load_document, stop
from compiler.normal import normal
from compiler.notes import Notes
from compiler.problem import Place, Problem, Problems, nearest, quote
from compiler.source import Source
from compiler.task import Task, deployment_name

_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")
DEFAULT = "default"
"""The key of `termination_delay` for tasks that have none of their own."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Tasks of one file, at least one. `parallel` is a group, whose tasks run together; else each waits for the
    one before. `primary_tasks` empty means all; `termination_delay_s` is by task's name, or `default`.
    `inter_connection` None: where the cloud offers it."""

    tasks: tuple[Task, ...]
    name: str | None = None
    parallel: bool = False
    primary_tasks: tuple[str, ...] = ()
    termination_delay_s: Mapping[str, int] = field(default_factory=dict)
    inter_connection: bool | None = None
    second: Place | None = field(default=None, compare=False, repr=False)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(first, then) by number of task: a pipeline's tasks wait for the one before, those of a group do not."""
        return () if self.parallel else tuple((one, one + 1) for one in range(len(self.tasks) - 1))

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each task, all different: its own, else the file's with its number."""
        return named(self.tasks)

    @property
    def hints(self) -> tuple[Problem, ...]:
        return tuple(hint for task in self.tasks for hint in task.hints)

    def to_data(self, redact: bool = False) -> dict[str, Any]:
        """Plain data; absent values are left out."""
        data: dict[str, Any] = encode(self)
        data["tasks"] = [task.to_data(redact) for task in self.tasks]
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Pipeline:
        """The inverse of `to_data` (without places)."""
        tasks = tuple(Task.from_data(one) for one in data["tasks"])
        return replace(decode(cls, {**data, "tasks": ()}), tasks=tasks)


def load_all(
    content: bytes,
    file: str,
    *,
    clouds: Sequence[str],
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Pipeline:
    """The tasks of a file's bytes, one or several. `overrides` and `defaults` hold for each. Raises Problems of all
    documents."""
    found = source.parse_all(content, file)
    if len(found) == 1:
        task = load_document(found[0], clouds=clouds, overrides=overrides, defaults=defaults)
        return Pipeline((task,), task.name)
    second = found[1].place(())
    header, documents = (found[0], found[1:]) if _is_header(found[0].data) else (None, found)
    problems: list[Problem] = []
    tasks: list[Task] = []
    for document in documents:
        try:
            tasks.append(load_document(document, clouds=clouds, overrides=overrides, defaults=defaults))
        except Problems as wrong:
            problems.extend(wrong.problems)
    made = Pipeline(tuple(tasks), second=second)
    if header is not None:
        try:
            made = _headed(header, tuple(tasks), second, complete=not problems)
        except Problems as wrong:
            problems = [*wrong.problems, *problems]
    if problems:
        raise Problems(problems)
    return made


def named(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Names of deployments for several tasks, all different."""
    found: list[str] = []
    for number, task in enumerate(tasks, 1):
        name = task.deployment if task.name else deployment_name(f"{task.deployment}-{number}")
        while name in found:
            name = deployment_name(f"{name}-{number}")
        found.append(name)
    return tuple(found)


def refusal(found: Pipeline) -> Problem:
    """Several tasks where one is wanted: the Problem that says so."""
    what = "a group of tasks" if found.parallel else "a pipeline"
    return Problem(
        "plan/not-runnable-yet",
        f"{what} ({len(found.tasks)} tasks in one file) is no single deployment",
        found.second,
        "`jobs launch` runs it as a managed job",
    )


def _is_header(data: Any) -> bool:
    """Only a name, or a field that tasks have not."""
    return isinstance(data, dict) and (set(data) == {"name"} or not set(HEADER).isdisjoint(data))


def _headed(header: Source, tasks: tuple[Task, ...], second: Place | None, *, complete: bool) -> Pipeline:
    contract = schemas.load("task.v1.json")
    notes = Notes(header)
    data = normal(header.data, contract)
    for fault in schema.check(data, contract):
        notes.note(fault.code, fault.message, fault.path, fault.hint, fault.key)
    for name in data:
        if name not in ("name", *HEADER) and name in contract["properties"]:
            message = f"`{name}` is of a task, and this document is the header of several"
            notes.note("task/misplaced-field", message, (name,), "put it into the next documents", True)
    stop(notes)
    parallel = data.get("execution") == "parallel"
    for name in HEADER[1:]:
        if name in data and not parallel:
            hint = "add `execution: parallel`, or leave it out"
            notes.note("task/misplaced-field", f"`{name}` is of a group of tasks", (name,), hint, True)
    if parallel and complete:
        _check_names(data, tasks, notes)
    delay = _delay(data.get("termination_delay"), notes)
    stop(notes)
    return Pipeline(
        tasks,
        data.get("name"),
        parallel,
        tuple(data.get("primary_tasks") or ()),
        delay,
        data.get("inter_connection"),
        second,
    )


def _check_names(data: Mapping[str, Any], tasks: tuple[Task, ...], notes: Notes) -> None:
    """A group and its tasks are called by their names, which are plain and differ."""
    if not data.get("name"):
        notes.note("task/missing-field", "the group has no `name`", (), "name it in its header", True)
    elif not _PLAIN.match(data["name"]):
        message = f"{quote(data['name'])} cannot be a group's name"
        notes.note("task/bad-name", message, ("name",), "letters, digits, `-` and `_`")
    names: set[str] = set()
    for task in tasks:
        if not task.name or not _PLAIN.match(task.name) or task.name in names:
            code = "task/bad-name" if task.name else "task/missing-field"
            again = task.name in names
            says = (
                f"{quote(task.name)} is the name of two tasks"
                if again and task.name
                else "a task of a group wants a name"
            )
            place = task.place("name") or (task.source.place(()) if task.source else None)
            notes.problems.append(Problem(code, says, place, "letters, digits, `-` and `_`, each name once"))
        names.add(task.name or "")
    mentioned = [
        (("primary_tasks", index), name) for index, name in enumerate(data.get("primary_tasks") or ())
    ]
    delay = data.get("termination_delay")
    if isinstance(delay, dict):
        mentioned += [(("termination_delay", name), name) for name in delay if name != DEFAULT]
    for path, name in mentioned:
        if name not in names:
            meant = nearest(name, names)
            hint = f"did you mean `{meant}`?" if meant else None
            notes.note("task/wrong-value", f"no task of the group is called {quote(name)}", path, hint)


def _delay(value: Any, notes: Notes) -> dict[str, int]:
    found = {}
    for name, text in (
        value if isinstance(value, dict) else {} if value is None else {DEFAULT: value}
    ).items():
        try:
            found[name] = quantity.seconds(text, unit="s")
        except ValueError as error:
            path = ("termination_delay", name) if isinstance(value, dict) else ("termination_delay",)
            message = f"`termination_delay` cannot be {quote(str(text))}"
            notes.note("task/wrong-value", message, path, str(error))
    return found
