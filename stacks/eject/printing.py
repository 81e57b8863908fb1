"""Python expressions as text that people read: on one line where it fits, else one part per line."""

from __future__ import annotations

import json
from dataclasses import dataclass

WIDTH = 110


@dataclass(frozen=True, slots=True)
class Plain:
    """Text as it stands: a name, a number, `vpc.id`."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """`name(first, key=value)`; `first` has no name."""

    name: str
    parts: tuple[tuple[str, Node], ...]
    first: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """`{"key": value}`."""

    parts: tuple[tuple[str, Node], ...]


Node = Plain | Call | Items | Entries


def literal(value: object) -> Plain:
    """A constant; texts in double quotes, unless they have some themselves."""
    if isinstance(value, str) and not ('"' in value and "'" not in value):
        return Plain(json.dumps(value, ensure_ascii=False))
    return Plain(repr(value))


def written(node: Node, indent: int = 0, taken: int = 0) -> str:
    """The text of an expression that begins `taken` columns into its line and whose own lines start at `indent`."""
    flat = _flat(node)
    if indent + taken + len(flat) <= WIDTH or isinstance(node, Plain):
        return flat
    opening, closing, parts = _parts(node)
    inner = indent + 4
    lines = [opening]
    for name, part in parts:
        lines.append(" " * inner + name + written(part, inner, len(name)) + ",")
    lines.append(" " * indent + closing)
    return "\n".join(lines)


def _flat(node: Node) -> str:
    if isinstance(node, Plain):
        return node.text
    opening, closing, parts = _parts(node)
    return opening + ", ".join(name + _flat(part) for name, part in parts) + closing


def _parts(node: Call | Items | Entries) -> tuple[str, str, list[tuple[str, Node]]]:
    if isinstance(node, Call):
        given: list[tuple[str, Node]] = [("", one) for one in node.first]
        return f"{node.name}(", ")", given + [(f"{name}=", part) for name, part in node.parts]
    if isinstance(node, Items):
        return "[", "]", [("", part) for part in node.parts]
    return "{", "}", [(f"{json.dumps(name, ensure_ascii=False)}: ", part) for name, part in node.parts]
