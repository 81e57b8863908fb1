"""What is planned as one JSON document, and the programs outside of ours that judge it (`policy.command`)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from skywright.cli import screen

if TYPE_CHECKING:
    from skywright.review.report import Report

VERSION = 1
"""Of the document: docs/policy.md."""

LONGEST_S = 300.0
"""So long a program may judge."""

SHOWN = 2000
"""Characters of what it says that are told."""


def of_result(spec: StackSpec, result: Mapping[str, Any]) -> dict[str, Any]:
    """A preview operation's result as outside programs read it; secret inputs are masked by the engine."""
    founded = (result.get("foundation") or {}).get("planned", ())
    return {"version": VERSION, "stacks": [_stack(spec, result["planned"], founded)]}


def of_report(report: Report) -> dict[str, Any]:
    """All stacks of a report that could be previewed, in the same shape."""
    founded = {row.stack: row.planned for row in report.rows if row.is_foundation}
    stacks = [
        _stack(row.spec, row.planned, founded.get(row.foundation or "", ()))
        for row in report.rows
        if row.spec is not None and not isinstance(row.spec, Foundation)
    ]
    return {"version": VERSION, "stacks": stacks}


def _stack(
    spec: StackSpec, planned: Sequence[Mapping[str, Any]], founded: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "stack": spec.stack,
        "deployment": spec.deployment,
        "task": spec.task,
        "cloud": spec.cloud,
        "region": spec.region,
        "zone": spec.zone,
        "instance_type": spec.instance_type,
        "market": spec.market.value,
        "nodes": spec.nodes,
        "labels": dict(spec.labels),
        "resources": list(planned),
        "foundation": list(founded),
    }


def write(path: str, planned: Mapping[str, Any]) -> None:
    """The document, to a file or (`-`) to stdout. Raises Problems machine/cannot-write."""
    text = json.dumps(planned, indent=1, ensure_ascii=False) + "\n"
    if path == "-":
        screen.out(text.rstrip("\n"))
        return
    try:
        Path(path).expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        says = f"`{path}` cannot be written: {error.strerror}"
        raise Problems(Problem("machine/cannot-write", says)) from None


def foreign() -> bool:
    """Whether the caller says that task files and settings are of somebody whose programs are not to be run here: a
    job about a pull request. What they are judged by is data then."""
    return os.environ.get("SKYWRIGHT_FOREIGN") == "1"


def judge(commands: Sequence[Sequence[str]], planned: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Findings (as data) of the programs that refuse. Raises Problems policy/command-failed where one cannot run."""
    found = []
    for command in commands:
        if foreign():
            says = f"`{command[0]}` is not run for a pull request; `up` asks it"
            found.append(_finding("unjudged", planned, says, None))
            continue
        done = _run(command, json.dumps(planned))
        if done.returncode == 0:
            continue
        says = (done.stdout.strip() or done.stderr.strip() or f"exit code {done.returncode}")[:SHOWN]
        hint = "`skywright preview --planned FILE` writes what it was given"
        found.append(_finding("deny", planned, f"`{command[0]}` refuses: {says}", hint))
    return found


def _finding(level: str, planned: Mapping[str, Any], says: str, hint: str | None) -> dict[str, Any]:
    return {
        "rule": "command",
        "code": "policy/command",
        "stack": planned["stacks"][0]["stack"],
        "resource": None,
        "message": says,
        "level": level,
        "hint": hint,
        "exception": None,
        "origin": "",
    }


def _run(command: Sequence[str], given: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            list(command),
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = error.strerror if isinstance(error, OSError) else f"no answer within {LONGEST_S:.0f} s"
        says = f"the program of `policy.command` cannot judge: `{command[0]}`: {why}"
        hint = "what cannot be judged is not made: repair it, or take it out of the policy"
        raise Problems(Problem("policy/command-failed", says, hint=hint)) from None
