"""Collects the Problems and hints of one task file, each with the place it is about."""

from __future__ import annotations

from collections.abc import Collection

from compiler.problem import Place, Problem
from compiler.source import Source

Path = tuple[str | int, ...]


class Notes:
    """Problems so far. A path that was overridden on the command line has no place in the file."""

    def __init__(self, source: Source, overridden: Collection[Path] = ()) -> None:
        self.source = source
        self.overridden = frozenset(overridden)
        self.problems: list[Problem] = []
        self.hints: list[Problem] = []

    def note(
        self, code: str, message: str, path: Path = (), hint: str | None = None, key: bool = False
    ) -> None:
        if self.is_overridden(path):
            message += " (given on the command line)"
        found = Problem(code, message, self.place(path, key), hint)
        if found not in self.problems:
            self.problems.append(found)

    def old(self, message: str, path: Path, hint: str) -> None:
        """A form that works and has a newer one: told, never refused."""
        found = Problem("task/old-form", message, self.place(path, True), hint)
        if found not in self.hints:
            self.hints.append(found)

    def is_overridden(self, path: Path) -> bool:
        return any(path[:end] in self.overridden for end in range(1, len(path) + 1))

    def place(self, path: Path, key: bool = False) -> Place | None:
        """The value or key at `path`, or the nearest thing around it that the file holds."""
        if self.is_overridden(path):
            return None
        for end in range(len(path), 0, -1):
            found = self.source.place(path[:end], key=key or end < len(path))
            if found:
                return found
        return self.source.place(())
