"""`preview` and `up --dryrun`: what the engine would do to stacks, and what that costs; creates nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.problem import Problem, Problems
from skywright.cli import outside, reviewing, screen
from skywright.cli.arguments import Values
from skywright.cli.taskfile import Entry, is_file, read_entries, read_entry

if TYPE_CHECKING:
    from compiler.plan import Plan
    from skywright.cli.living import Living
    from skywright.review.report import Report

COLOURS = {
    "bold": screen.BOLD,
    "grey": screen.GREY,
    "create": screen.GREEN,
    "update": screen.YELLOW,
    "replace": f"{screen.BOLD};35",
    "delete": screen.RED,
    "bad": f"{screen.BOLD};{screen.RED}",
    "warn": screen.YELLOW,
}


def run(values: Values) -> int:
    """Preview a command, a task file, or all tasks of several files."""
    from skywright.cli.launch import connect, never_used, ready_engine

    shape = _shape(values)
    if values.given.get("out"):
        from skywright.cli.approving import write

        return write(values, shape)
    files = reviewing.task_files(values.entry)
    if files is None and is_file(values.entry) and read_entries(values, values.entry[0]):
        files = (values.entry[0],)
    if files is None:
        entry = read_entry(values, values.entry, values.cluster_name)
        one = reviewing.ask(values, entry, None if never_used() else connect())
        ready_engine(quiet=shape == "json")
        return tell(reviewing.of_one(values, one), shape, values.given.get("planned"))
    if values.cluster_name:
        says = "`--cluster-name` is of one task, and there are several"
        raise Problems(Problem("usage/flag-value", says, hint="name them in their files: `name: NAME`"))
    ready_engine(quiet=shape == "json")
    return tell(reviewing.of_files(values, files), shape, values.given.get("planned"))


def show(values: Values, entry: Entry, plan: Plan, living: Living | None = None) -> int:
    """Preview what is planned already."""
    from skywright.cli.launch import ready_engine

    ready_engine(quiet=bool(values.json))
    return tell(reviewing.of_one(values, reviewing.asked(entry, plan, living)), _shape(values))


def say(values: Values, entry: Entry, plan: Plan, living: Living | None) -> Report:
    """For who is about to be asked: what changes, and what that costs, without the offers that were told before."""
    from skywright.cli.launch import ready_engine
    from skywright.review import terminal

    ready_engine(quiet=bool(values.json))
    report = reviewing.of_one(values, reviewing.asked(entry, plan, living))
    for text, style in terminal.lines(report, offers=False):
        screen.out(screen.paint(text, COLOURS.get(style, "")) if style else text)
    return report


def tell(report: Report, shape: str, planned: str | None = None) -> int:
    """Print a report as `terminal`, `markdown` or `json`; the exit code is that of the worst in it. `planned` is the
    file that gets the planned resources as JSON; `-` is stdout, which then has nothing else."""
    if planned is not None:
        outside.write(planned, outside.of_report(report))
    if planned == "-":
        return int(report.exit)
    if shape == "json":
        screen.data(report.to_data())
    elif shape == "markdown":
        from skywright.review.markdown import markdown

        screen.out(markdown(report).rstrip("\n"))
    else:
        from skywright.review import terminal

        for text, style in terminal.lines(report):
            screen.out(screen.paint(text, COLOURS.get(style, "")) if style else text)
    return int(report.exit)


def _shape(values: Values) -> str:
    if values.json:
        return "json"
    if values.given.get("markdown"):
        return "markdown"
    return values.given.get("format") or "terminal"
