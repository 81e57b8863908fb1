"""What is wrong with a user's input or with what was asked, as values: Problem, Place, Problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

SHOWN = 10
"""Problems printed at once; the rest is counted."""


class Exit(IntEnum):
    """Exit codes of every command (100 to 103 mean what they mean to SkyPilot's users)."""

    FINE = 0
    BUG = 1
    TASK = 2
    NO_OFFER = 3
    REFUSED = 4
    LOCKED = 5
    POLICY = 6
    EXPECTATION = 7
    RUN_FAILED = 100
    NOT_FINISHED = 101
    NO_SUCH_RUN = 102
    CANCELLED = 103
    INTERRUPTED = 130


STAGE_EXIT = {
    "task": Exit.TASK,
    "usage": Exit.TASK,
    "plan": Exit.NO_OFFER,
    "engine": Exit.REFUSED,
    "cloud": Exit.REFUSED,
    "eject": Exit.REFUSED,
    "control": Exit.REFUSED,
    "host": Exit.REFUSED,
    "machine": Exit.REFUSED,
    "lock": Exit.LOCKED,
    "policy": Exit.POLICY,
    "approval": Exit.POLICY,
    "expectation": Exit.EXPECTATION,
    "run": Exit.NO_SUCH_RUN,
}
"""The part of a code before its slash decides the exit code."""


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in the user's file. Counts from 1; `text` is the whole line, `width` columns are marked."""

    file: str
    line: int
    column: int
    text: str = ""
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `code` is stable and has an entry in docs/errors.md."""

    code: str
    message: str
    place: Place | None = None
    hint: str | None = None
    left_behind: str | None = None

    @property
    def exit(self) -> Exit:
        return STAGE_EXIT[self.code.partition("/")[0]]

    def to_data(self) -> dict[str, object]:
        """As `--json` prints it."""
        place = self.place
        return {
            "code": self.code,
            "message": self.message,
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
            "hint": self.hint,
            "left_behind": self.left_behind,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Problem:
        """A Problem that came over a wire, as `to_data` wrote it; of its place without the line's text."""
        place = None
        if data.get("file") and data.get("line"):
            place = Place(data["file"], data["line"], data.get("column") or 1)
        return cls(data["code"], data["message"], place, data.get("hint"), data.get("left_behind"))

    def with_left_behind(self, text: str) -> Problem:
        return replace(self, left_behind=text)

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.place:
            lines.append(_place_lines(self.place))
        if self.hint:
            first, *rest = self.hint.splitlines()
            lines.append(f"  hint: {first}")
            lines.extend(f"        {line}" for line in rest)
        if self.left_behind:
            lines.append(f"  left behind: {self.left_behind}")
        return "\n".join(lines)


def _place_lines(place: Place) -> str:
    where = f"  {place}"
    if not place.text:
        return where
    shown = place.text.replace("\t", " ")
    if len(shown) > 100:
        start = max(0, place.column - 40)
        shown, column = shown[start : start + 100], place.column - start
    else:
        column = place.column
    indent = len(shown) - len(shown.lstrip())
    marked = shown[column - 1 : column - 1 + max(1, place.width)]
    before = _columns(where) + 4 + _columns(shown[indent : column - 1])
    caret = " " * before + "^" * max(1, _columns(marked.rstrip()))
    return f"{where}    {shown.strip()}\n{caret}"


def _columns(text: str) -> int:
    """How wide a terminal shows it: most signs of Chinese, Japanese and Korean take two columns."""
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def quote(text: str) -> str:
    """A piece of the user's input in backticks: one line, no control characters, cut when long."""
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:80])
    return f"`{shown}{'…' if len(text) > 80 else ''}`"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """What was probably meant by `word`, whatever its case; None when nothing is near."""
    import difflib

    by_lower = {known.lower(): known for known in words}
    found = difflib.get_close_matches(word[:80].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


class Problems(Exception):
    """Everything wrong that one stage found; the only exception a user is meant to meet."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(self.problems)

    @property
    def exit(self) -> Exit:
        return self.problems[0].exit

    def __str__(self) -> str:
        parts = [str(problem) for problem in self.problems[:SHOWN]]
        more = len(self.problems) - SHOWN
        if more > 0:
            parts.append(f"and {more} more")
        return "\n".join(parts)
