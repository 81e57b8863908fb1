"""`jobs launch`: each task of a file planned as `up` plans it, then all handed to control as one managed job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import policy, screen, settings
from skywright.cli.arguments import Values
from skywright.cli.launch import connect, ready_engine, show_plan
from skywright.cli.order import make_order, send_files
from skywright.cli.planning import make_dag_plan, make_plan, make_spec, not_runnable, recent_losses
from skywright.cli.sources import check_local
from skywright.cli.taskfile import Entry, is_file, read_entries, read_entry

if TYPE_CHECKING:
    from compiler.pipeline import Pipeline
    from compiler.plan import Plan
    from skywright.control.client import Client

LASTING = ("keep", "idle_minutes_to_autostop", "down", "retry_until_up", "no_setup")
"""Flags of `up` that say how long nodes stay: a job's own go when it is over."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that is ready to be ordered. `group` is None unless its tasks run together."""

    name: str
    entries: tuple[Entry, ...]
    plans: tuple[Plan, ...]
    priority: int = 0
    group: Pipeline | None = None

    @property
    def free(self) -> bool:
        return all(plan.chosen.free for plan in self.plans)


def run(values: Values) -> int:
    """Queue the job and follow it."""
    values = replace(values, given={**dict.fromkeys(LASTING), **values.given})
    count = 1 if values.num_jobs is None else values.num_jobs
    if count < 1:
        raise Problems(Problem("usage/flag-value", f"`--num-jobs` wants 1 or more, not {count}"))
    lasts = longest(values.max_duration)
    planned = read(values)
    if not values.json:
        for entry, plan in zip(planned.entries, planned.plans, strict=True):
            show_plan(entry, plan)
            policy.warn(entry, plan)
    if values.dryrun:
        if values.json:
            screen.data({"name": planned.name, "plans": [plan.to_data() for plan in planned.plans]})
        return int(Exit.FINE)
    if not (planned.free or _agreed(values, planned, count)):
        return int(Exit.POLICY)
    ready_engine(quiet=bool(values.json))
    client = connect()
    numbers = submit(client, planned, values, count=count, max_s=lasts)
    if values.detach or count > 1:
        return _accepted(values, planned, numbers)
    from skywright.cli.joblogs import follow

    return follow(numbers[0], as_data=bool(values.json))


def longest(text: str | None) -> float | None:
    """A time as typed, in seconds. Raises Problems usage/flag-value."""
    from compiler import quantity

    if text is None:
        return None
    try:
        return float(quantity.seconds(text))
    except ValueError as error:
        says = f"`--max-duration {screen.printable(text)}` is no time"
        raise Problems(Problem("usage/flag-value", says, hint=str(error))) from None


def read(values: Values) -> Planned:
    """The job of what was typed, with a plan for each of its tasks. Raises Problems of all of them."""
    if is_file(values.entry):
        unnamed = replace(values, given={**values.given, "name": None})
        if several := read_entries(unnamed, values.entry[0]):
            return of_several(*several, name=values.name)
    entry = read_entry(values, values.entry, None)
    return of_one(entry)


def of_one(entry: Entry, name: str | None = None) -> Planned:
    """A job of one task. Raises Problems task/..., plan/..., policy/..."""
    priority, entry = _without_priority(entry)
    check_local(entry.task)
    plan = make_plan(entry, now=time.time(), avoid=recent_losses())
    return Planned(name or entry.task.name or entry.name, (entry,), (plan,), priority)


def of_several(found: Pipeline, entries: Sequence[Entry], name: str | None = None) -> Planned:
    """A pipeline or a group, whose places are chosen for all its tasks together. Raises Problems of all of them."""
    from compiler.load import missing

    pairs = [_without_priority(entry) for entry in entries]
    entries = tuple(entry for _, entry in pairs)
    named = name or found.name or entries[0].name
    wrong: list[Problem] = []
    for entry in entries:
        try:
            check_local(entry.task)
        except Problems as problems:
            wrong.extend(problems.problems)
        wrong.extend(missing(entry.task))
    if found.inter_connection and found.parallel:
        says = "`inter_connection`: tasks of a group do not find each other by their names yet"
        wrong.append(Problem("plan/not-runnable-yet", says, found.second))
    if wrong:
        raise Problems(wrong)
    made = make_dag_plan(
        entries,
        found.edges,
        name=named,
        clouds=[()] * len(entries),
        together=found.parallel,
        now=time.time(),
    )
    refused = [
        one for entry, plan in zip(entries, made.plans, strict=True) for one in not_runnable(entry, plan)
    ]
    if refused:
        raise Problems(refused)
    return Planned(named, entries, made.plans, pairs[0][0], found if found.parallel else None)


def _without_priority(entry: Entry) -> tuple[int, Entry]:
    """The task's place in the queue, which is the job's and not that of its nodes."""
    task = entry.task
    bare = replace(
        task,
        requirements=replace(task.requirements, priority=None),
        alternatives=tuple(replace(one, priority=None) for one in task.alternatives),
    )
    return task.requirements.priority or 0, replace(entry, task=bare)


def submit(
    client: Client, planned: Planned, values: Values, *, count: int = 1, max_s: float | None = None
) -> list[int]:
    """Send the files of all tasks, then order the job; its number, or those of all `count` of them."""
    stages = []
    for entry, plan in zip(planned.entries, planned.plans, strict=True):
        policy.gate(entry, plan)
        spec = make_spec(entry, plan.chosen, settings.project())
        files = send_files(entry.task, client, screen.say)
        order = make_order(entry, plan, spec, values, files)
        if planned.group:
            place = (spec.cloud, spec.region)
            order["choices"] = [
                one for one in order["choices"] if (one["spec"]["cloud"], one["spec"].get("region")) == place
            ]
        name = entry.name if len(planned.entries) > 1 else planned.name
        stages.append(
            {"name": name if not planned.group else entry.task.name, "order": order, "max_s": max_s}
        )
    asked: dict[str, Any] = {
        "name": planned.name,
        "priority": planned.priority,
        "count": count,
        "stages": stages,
    }
    if group := planned.group:
        asked |= {
            "together": True,
            "primaries": list(group.primary_tasks),
            "delays": dict(group.termination_delay_s),
        }
    return client.submit_jobs(asked)


def _agreed(values: Values, planned: Planned, count: int) -> bool:
    if values.yes:
        return True
    hourly = sum(plan.chosen.hourly for plan in planned.plans)
    each = f"{screen.money(hourly)}/h" + (" each" if count > 1 else "")
    what = f"{screen.plural(count, 'job')} `{planned.name}` would cost up to {each}"
    agreed = screen.confirm("Go ahead?", yes=False, without=what)
    if not agreed:
        screen.say("nothing was queued")
    return agreed


def _accepted(values: Values, planned: Planned, numbers: Sequence[int]) -> int:
    if values.json:
        screen.data({"name": planned.name, "jobs": list(numbers)})
        return int(Exit.FINE)
    listed = f"job {numbers[0]}" if len(numbers) == 1 else f"jobs {numbers[0]} to {numbers[-1]}"
    screen.say(f"{planned.name}: {listed} queued")
    screen.say(f"  follow: {screen.PROGRAM} jobs logs {numbers[0]}   all: {screen.PROGRAM} jobs queue")
    return int(Exit.FINE)
