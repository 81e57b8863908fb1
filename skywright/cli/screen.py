"""How the command line talks: colours only on a terminal, tables, amounts, problems; as text and as data."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from typing import IO, Any

from compiler.problem import Problem, Problems

PROGRAM = "skywright"
"""How the program was called: stands in commands that are ready to paste. Set once, by `program.main`."""

RED, GREEN, YELLOW, BOLD, GREY = "31", "32", "33", "1", "90"


def coloured(stream: IO[str]) -> bool:
    """Whether `stream` is a terminal that wants colours (NO_COLOR and TERM=dumb say no)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: IO[str] | None = None) -> str:
    """`text` in `colour` when the stream (default: stdout) shows colours."""
    if text and coloured(stream or sys.stdout):
        return f"\x1b[{colour}m{text}\x1b[0m"
    return text


def say(text: str = "") -> None:
    """A line for people, on stderr: stdout belongs to results and to the task's output."""
    print(text, file=sys.stderr, flush=True)


def out(text: str) -> None:
    """A line of the result, on stdout."""
    print(text, flush=True)


def data(value: Any) -> None:
    """The result as JSON on stdout."""
    import json

    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


def problems(found: Problems, *, as_data: bool) -> int:
    """Show problems (people: stderr, data: stdout) and give the exit code."""
    if as_data:
        data({"problems": [problem.to_data() for problem in found.problems]})
    else:
        text = str(Problems(_called(problem) for problem in found.problems))
        if coloured(sys.stderr):
            text = "\n".join(_coloured(line) for line in text.splitlines())
        say(text)
    return int(found.exit)


def called(text: str) -> str:
    """`text` with commands as this program was called: whoever wrote a hint does not know that."""
    return re.sub(r"(^|[`(;:] ?|[.;:,] )(?:\./)?(?:skywright|invoke) (?=[a-z]+)", rf"\g<1>{PROGRAM} ", text)


def _called(problem: Problem) -> Problem:
    """The user's own lines stay as they are."""
    from dataclasses import replace

    message = re.sub(r"`(?:skywright|invoke) (?=[a-z])", f"`{PROGRAM} ", problem.message)
    hint, left = (text and called(text) for text in (problem.hint, problem.left_behind))
    return replace(problem, message=message, hint=hint, left_behind=left)


def problem(found: Problem) -> None:
    """Show one problem without ending the command."""
    problems(Problems(found), as_data=False)


def remark(kind: str, found: Problem) -> None:
    """One line on stderr about something that stops nothing: a hint, a warning."""
    where = f"{found.place}: " if found.place else ""
    tail = f"; {called(found.hint)}" if found.hint else ""
    say(paint(f"  {kind}: {where}{found.message}{tail}", GREY, sys.stderr))


def _coloured(line: str) -> str:
    if line.startswith("error["):
        head, _, rest = line.partition(": ")
        return paint(head + ":", f"{BOLD};{RED}", sys.stderr) + " " + paint(rest, BOLD, sys.stderr)
    if line.strip() and not line.strip("^ "):
        return paint(line, RED, sys.stderr)
    return line


def printable(text: str) -> str:
    """`text` without control characters: names and messages of others may not steer the terminal."""
    return "".join(char if char >= " " and char != "\x7f" else " " for char in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines of a table in columns; those in `right` are aligned to the right, the last is never padded."""
    cells = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return lines


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print a table on stdout, its head grey on a terminal, cut to the terminal's width."""
    lines = table(head, rows, right=right)
    if sys.stdout.isatty():
        import shutil

        width = shutil.get_terminal_size().columns
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    out(paint(lines[0], GREY))
    for line in lines[1:]:
        out(line)


def span(seconds: float | None) -> str:
    """A length of time in at most two units: `12 s`, `3 min 5 s`, `3 h 10 min`, `2 d 4 h`."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def ago(at: float | None) -> str:
    """`12 s ago` for a unix time."""
    return "-" if at is None else f"{span(max(0.0, time.time() - at))} ago"


def money(amount: float | None) -> str:
    """USD: `$0`, `$0.004`, `$9.83`, `$1,481`."""
    if amount is None:
        return "-"
    if amount == 0:
        return "$0"
    if amount < 0.01:
        return f"${amount:.4f}"
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


def size(count: float | None) -> str:
    """Bytes: `812 B`, `1.2 MB`."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def plural(count: int, word: str, words: str | None = None) -> str:
    """`1 node`, `4 nodes`."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def asks() -> bool:
    """Whether somebody can be asked: stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str:
    """The answer to `question`, stripped and lowered; an end of input is an empty answer."""
    sys.stderr.write(question + " ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower()


def said_yes() -> bool:
    """Whether the environment answers every question with yes."""
    return os.environ.get("SKYWRIGHT_YES") == "1"


def confirm(question: str, *, yes: bool, without: str) -> bool:
    """Whether to go on: `--yes`, SKYWRIGHT_YES=1, or a person who says y. Nobody to ask: usage/needs-yes."""
    if yes or said_yes():
        return True
    if not asks():
        raise Problems(
            Problem(
                "usage/needs-yes",
                without,
                hint="say --yes, or set SKYWRIGHT_YES=1, to go on without being asked",
            )
        )
    return ask(f"{question} [y/N]") in ("y", "yes")
