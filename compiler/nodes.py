"""The tree of a YAML document: values with line and column; plain scalars by YAML 1.2's core schema."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_BASED = re.compile(r"0(?:o[0-7]{1,20}|x[0-9a-fA-F]{1,15})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(slots=True, eq=False)
class Node:
    """One value as it stands in the file. `line` and `column` count from 0; `expanded` counts aliases too."""

    line: int
    column: int
    width: int
    value: Any = None
    written: str | None = None
    items: list[Node] | None = None
    pairs: list[tuple[Node, Node]] | None = None
    merged: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    expanded: int = 1
    height: int = 1
    closed: bool = True

    def child(self, step: object) -> tuple[Node | None, Node] | None:
        """The (key, value) below this node for one step of a path."""
        if isinstance(step, str) and self.pairs is not None:
            return self.merged.get(step)
        if isinstance(step, int) and self.items is not None and 0 <= step < len(self.items):
            return None, self.items[step]
        return None

    def data(self) -> Any:
        if self.pairs is not None:
            return {name: value.data() for name, (_, value) in self.merged.items()}
        if self.items is not None:
            return [item.data() for item in self.items]
        return self.value


def resolve(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    if _BASED.match(text):
        return int(text, 0)
    if _FLOAT.match(text) and len(text) < 400:
        return float(text)
    return text
