"""`explain`: the plan of a task, or of several tasks of one file together, and its reasons."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.compile import yaml_file
from skywright.cli.planning import catalog_clouds, make_dag_plan, make_plan, not_runnable, recent_losses
from skywright.cli.taskfile import Entry, read_entries, read_entry
from stacks import CLOUDS

if TYPE_CHECKING:
    from compiler.explain import Line
    from compiler.pipeline import Pipeline

STYLES = {"chosen": screen.BOLD, "grey": screen.GREY}


def run(values: Values) -> int:
    """Explain one file. A plan that cannot run yet is one too: that is told last, and the exit code is 0."""
    word = yaml_file(values.file)
    several = read_entries(values, word, clouds=catalog_clouds())
    if several:
        return _several(values, *several)
    entry = read_entry(values, (word,), values.cluster_name, clouds=catalog_clouds())
    plan = make_plan(
        entry,
        refuse=False,
        clouds=_clouds(values, entry),
        exact=bool(values.exact),
        now=time.time(),
        by_time=values.minimize == "time",
        avoid=recent_losses(),
    )
    from compiler.explain import lines

    _tell(values, plan.to_data(), lines(entry.task, plan), not_runnable(entry, plan))
    return int(Exit.FINE)


def _several(values: Values, found: Pipeline, entries: Sequence[Entry]) -> int:
    from compiler.explain_dag import lines
    from compiler.pipeline import refusal
    from compiler.task import deployment_name

    if values.minimize == "time":
        hint = "leave it out: the places of several tasks are chosen by what all of them cost"
        raise Problems(Problem("usage/flag-value", "`--minimize time` is of one task", hint=hint))
    name = values.cluster_name or deployment_name(found.name or entries[0].task.file.rpartition("/")[2])
    made = make_dag_plan(
        entries,
        found.edges,
        name=name,
        clouds=[_clouds(values, entry) for entry in entries],
        together=found.parallel,
        exact=bool(values.exact),
        now=time.time(),
    )
    pairs = zip(entries, made.plans, strict=True)
    refused = (refusal(found), *(one for entry, plan in pairs for one in not_runnable(entry, plan)))
    _tell(values, made.to_data(), lines(made), refused)
    return int(Exit.FINE)


def _tell(values: Values, data: dict[str, Any], lines: Iterable[Line], refused: Sequence[Problem]) -> None:
    """The plan, and last whether `up` would run it."""
    if values.json:
        problems = [problem.to_data() for problem in refused]
        screen.data({**data, "runnable": not refused, "problems": problems})
        return
    for line in lines:
        screen.out(screen.paint(line.text, STYLES[line.style]) if line.style in STYLES else line.text)
    for problem in refused:
        screen.remark("cannot run yet", problem)
    if refused:
        reasons = screen.plural(len(refused), "reason")
        screen.out(f"this plan cannot run yet, for {reasons}: `{screen.PROGRAM} up` refuses it")


def _clouds(values: Values, entry: Entry) -> tuple[str, ...]:
    """All clouds of the catalog with --all-clouds, or those that the task names; none: those that run here.

    This machine costs nothing and would hide every price, so it does not compete with all clouds.
    """
    own = (one.cloud for one in entry.config.prices.machines if one.cloud not in CLOUDS)
    known = tuple(dict.fromkeys((*catalog_clouds(), *own)))
    named = [one.cloud for one in entry.task.options]
    if values.all_clouds and None in named:
        return known
    priced = tuple(dict.fromkeys(cloud for cloud in named if cloud in known))
    return (*priced, *(cloud for cloud in CLOUDS if cloud in named or None in named)) if priced else ()
