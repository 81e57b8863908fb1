"""`jobs queue`, `jobs status` and `jobs cancel`: which managed jobs there are, how they are, and their end."""

from __future__ import annotations

import time
from typing import Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect, never_used


def run(values: Values) -> int:
    """All three verbs."""
    if values.verb == "jobs-queue":
        return _queue(values)
    if values.verb == "jobs-status":
        found = connect().job(number(values.id))
        screen.data(found) if values.json else _one(found)
        return int(Exit.FINE)
    return _cancel(values)


def number(word: str) -> int:
    """A job's number as typed. Raises Problems usage/bad-run."""
    if not word.isdecimal() or int(word) < 1:
        raise Problems(Problem("usage/bad-run", f"`{screen.printable(word)}` is not the number of a job"))
    return int(word)


def _queue(values: Values) -> int:
    found = [] if never_used() else connect().jobs(all_of_them=bool(values.all))
    if values.skip_finished:
        found = [job for job in found if job["ended"] is None]
    if values.json:
        screen.data({"jobs": found})
        return int(Exit.FINE)
    if not found:
        screen.out("no managed jobs")
        return int(Exit.FINE)
    rows = [
        [
            str(job["id"]),
            job["name"],
            job["status"] + _at(job),
            screen.ago(job["submitted"]),
            screen.span(_ran(job)),
            str(job["recoveries"]),
            str(job["priority"]),
            next((stage["where"] for stage in reversed(job["stages"]) if stage["where"]), None) or "-",
        ]
        for job in found
    ]
    head = ["ID", "NAME", "STATUS", "SUBMITTED", "RAN", "RECOVERIES", "PRIORITY", "WHERE"]
    screen.show_table(head, rows, right=(0, 5, 6))
    return int(Exit.FINE)


def _at(job: dict[str, Any]) -> str:
    """Of a job with several tasks: how many are done."""
    if len(job["stages"]) == 1:
        return ""
    done = sum(stage["status"] == "SUCCEEDED" for stage in job["stages"])
    return f" ({done}/{len(job['stages'])} done)"


def _ran(job: dict[str, Any]) -> float | None:
    """Seconds since its first task ran."""
    began = min((one["running_since"] for one in job["stages"] if one["running_since"]), default=None)
    return None if began is None else (job["ended"] or time.time()) - began


def _one(job: dict[str, Any]) -> None:
    screen.out(f"{screen.paint(job['name'], screen.BOLD)}  job {job['id']}, {job['status']}")
    screen.out(f"  queued   {screen.ago(job['submitted'])}, priority {job['priority']}, by {job['owner']}")
    screen.out(f"  cost     {screen.money(job['spent'])}")
    for stage in job["stages"]:
        code = f", exit {stage['exit_code']}" if stage["exit_code"] is not None else ""
        where = f"  {stage['deployment']} on {stage['where']}" if stage["where"] else ""
        again = f", {stage['recoveries']} recovered" if stage["recoveries"] else ""
        screen.out(f"  {stage['stage']} {stage['name']}  {stage['status']}{code}{again}{where}")
        for says in (stage["reason"], stage["blocked"]):
            if says and stage["status"] != "SUCCEEDED":
                screen.out(f"      {screen.printable(says)}")


def _cancel(values: Values) -> int:
    if bool(values.ids) + (values.name is not None) + bool(values.all) != 1:
        says = "`jobs cancel` wants numbers of jobs, or `-n NAME`, or `--all`"
        raise Problems(Problem("usage/missing-word", says))
    numbers = [number(word) for word in values.ids] if values.ids else None
    stopped = connect().cancel_jobs(numbers, values.name)
    if values.json:
        screen.data({"jobs": stopped})
    elif stopped:
        screen.say(f"cancelling job {', '.join(map(str, stopped))}")
    else:
        screen.say("nothing to cancel")
    return int(Exit.FINE)
