"""`./invoke test --faults [--times N]`: the fault suite, and one table of what was injected and what held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skywright.cli import screen
from tests.faults.rows import ROWS, Row

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- faults: ./invoke test --faults --write -->\n"
END = "<!-- end of faults -->\n"
WORKERS = "2"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table after some times. `points` and `seconds` of one time on average; `passed` of `times`."""

    fault: str
    how: str
    points: int
    holds: str
    seconds: float
    passed: int
    times: int
    broken: tuple[str, ...] = ()
    """Tests that failed."""
    skipped: tuple[str, ...] = ()
    """Tests that this machine cannot run."""

    @property
    def ok(self) -> bool:
        return self.passed == self.times

    @property
    def says(self) -> str:
        if self.ok:
            return self.holds
        return f"NOT HELD: {', '.join(self.broken)}" if self.broken else "not run"


def run(values: Any, making: Sequence[tuple[str, list[str]]] = ()) -> int:
    """The suite so many times, its table, 1 when something did not hold. `making`: commands that come first.

    Where words choose only some of its tests, rows without any are left out, and nothing is written."""
    for _, command in making:
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    times = max(1, values.times or 1)
    rounds, whole = [], True
    for _ in range(times):
        cases, code = once(values)
        rounds.append(cases)
        whole = whole and code in (0, 1)
    lines = judge(rounds)
    narrowed = bool(values.keyword or values.rest or values.fast)
    if narrowed:
        lines = [line for line in lines if line.seconds or line.broken]
    if values.json:
        print(json.dumps({"faults": [{**asdict(line), "ok": line.ok} for line in lines], "whole": whole}))
    else:
        print("\n".join(table(lines)))
    if values.write and whole and not narrowed:
        DOC.write_text(document(DOC.read_text(), lines))
    return 0 if whole and all(line.ok for line in lines) else 1


def once(values: Any) -> tuple[list[dict[str, Any]], int]:
    """How each test of the suite went, and pytest's exit code. What pytest says goes to stderr."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cases"
        command = [sys.executable, "-m", "pytest", "-q", "-n", WORKERS, "--dist", "worksteal"]
        command += ["--faults", "--faults-file", str(file)]
        command += ["--soak"] if values.soak else []
        command += ["-m", "fault and not engine"] if values.fast else []
        command += ["-k", values.keyword] if values.keyword else []
        # Hundreds of operations import a cloud's SDK: compiled once it takes a quarter of the time.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run([*command, *values.rest], cwd=ROOT, env=env, stdout=sys.stderr)
        cases = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return cases, done.returncode


def judge(rounds: Sequence[Sequence[dict[str, Any]]]) -> list[Line]:
    """A Line per row of ROWS, in their order. A row passes a time when one of its tests ran and none failed."""
    return [
        _line(row, [[case for case in cases if row.name in case["points"]] for cases in rounds])
        for row in ROWS
    ]


def _line(row: Row, rounds: list[list[dict[str, Any]]]) -> Line:
    every = [case for cases in rounds for case in cases]
    passed = [
        bool(cases)
        and all(case["ended"] != "failed" for case in cases)
        and any(case["ended"] == "passed" for case in cases)
        for cases in rounds
    ]
    return Line(
        row.name,
        row.how,
        round(sum(case["points"][row.name] for case in every) / len(rounds)),
        row.holds,
        round(sum(case["seconds"] for case in every) / len(rounds), 1),
        sum(passed),
        len(rounds),
        _named(every, "failed"),
        _named(every, "skipped"),
    )


def _named(cases: list[dict[str, Any]], ended: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(case["test"] for case in cases if case["ended"] == ended))


def table(lines: Sequence[Line]) -> list[str]:
    """The table as text."""
    head = ("fault", "injected by", "points", "what held", "seconds", "passed")
    rows = [
        (
            line.fault,
            line.how,
            str(line.points),
            line.says,
            f"{line.seconds:.1f}",
            f"{line.passed}/{line.times}",
        )
        for line in lines
    ]
    text = screen.table(head, rows, right=(2, 4, 5))
    text += [f"not run here: {test}" for line in lines for test in line.skipped]
    held = sum(line.ok for line in lines)
    text.append(f"{held} of {len(lines)} held, {sum(line.points for line in lines)} points")
    return text


def document(now: str, lines: Sequence[Line]) -> str:
    """The document with the table as it should be."""
    head, _, rest = now.partition(BEGIN)
    rows = ["| fault | injected by | points | what holds |", "|---|---|---:|---|"]
    for line in lines:
        says = line.says if line.broken else line.holds
        rows.append(f"| {line.fault} | {line.how} | {line.points or '-'} | {says} |")
    return head + BEGIN + "\n".join(rows) + "\n" + END + rest.partition(END)[2]
