"""YAML text into plain data that remembers line and column of every value; refuses what no task file needs.

Never recurses into what is unread (compiler/events.py), so depth and size are judged while reading. Plain
scalars resolve as in YAML 1.2 (`yes`, `on` and `22:30` are text); what stood in the file stays known, for
fields that want text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.events import Builder, start
from compiler.nodes import Node
from compiler.problem import Place, Problem, Problems

MAX_BYTES = 1024 * 1024

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """`data` is plain (text, numbers, bool, None, list, dict with text keys); `place` looks back."""

    file: str
    data: Any
    root: Node = field(repr=False)
    lines: Sequence[str] = field(repr=False)

    def place(self, path: Sequence[object], key: bool = False) -> Place | None:
        """Where the value at `path` stands, or its key; None when the file holds no such path.

        A value that spans lines is shown by its key. Values below `secrets` are never shown.
        """
        found = self._walk(path)
        if not found:
            return None
        name, node = found
        if name and (key or node.pairs or node.items or node.written == "" or node.width == 0):
            node = name
        text = self.lines[node.line] if node.line < len(self.lines) else ""
        if len(path) > 1 and path[0] == "secrets" and name:
            text = text[: name.column + name.width] + ": …"
        return Place(self.file, node.line + 1, node.column + 1, text, max(1, node.width))

    def written(self, path: Sequence[object]) -> str | None:
        """A scalar exactly as it stands in the file (without quotes); None for anything else."""
        found = self._walk(path)
        return found[1].written if found else None

    def _walk(self, path: Sequence[object]) -> tuple[Node | None, Node] | None:
        found: tuple[Node | None, Node] | None = (None, self.root)
        for step in path:
            found = found[1].child(step) if found else None
        return found


def parse(content: bytes, file: str) -> Source:
    """Read one YAML document. Raises Problems: one for what stops reading, or one for each repeated key."""
    found = parse_all(content, file)
    if len(found) > 1:
        second = found[1].root
        raise Problems(
            Problem(
                "task/several-documents",
                "one document is wanted here, and the file holds several",
                Place(file, second.line + 1, second.column + 1),
            )
        )
    return found[0]


def parse_all(content: bytes, file: str) -> tuple[Source, ...]:
    """Every document of a file that is not empty: at least one. Raises Problems as `parse` does."""
    if len(content) > MAX_BYTES:
        raise Problems(too_large(len(content), file))
    text = _decode(content, file)
    lines = _BREAK.split(text)
    builder = Builder(file, lines)
    roots = builder.read(text)
    if builder.problems:
        raise Problems(sorted(builder.problems, key=start))
    if not roots:
        raise Problems(
            Problem(
                "task/empty-file",
                "the file holds no task",
                Place(file, 1, 1),
                "the smallest task is one line: `run: echo hello`",
            )
        )
    return tuple(Source(file, root.data(), root, lines) for root in roots)


def too_large(size: int, file: str) -> Problem:
    """The refusal of a file of `size` bytes."""
    return Problem(
        "task/too-large",
        f"the file has {size / 1024 / 1024:.1f} MiB; a task file has at most 1 MiB",
        Place(file, 1, 1),
        "keep data and long scripts in files of the workdir",
    )


def _decode(content: bytes, file: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = content[: error.start].decode("utf-8", "replace")
        before = _BREAK.split(good)
        rest = content[error.start : error.start + 60].decode("utf-8", "replace")
        shown = _FORBIDDEN.sub("\ufffd", before[-1] + _BREAK.split(rest)[0])
        raise Problems(
            Problem(
                "task/not-utf8",
                f"byte 0x{content[error.start]:02x} is not UTF-8 text",
                Place(file, len(before), len(before[-1]) + 1, shown),
                "save the file as UTF-8",
            )
        ) from None
    bad = _FORBIDDEN.search(text)
    if bad:
        before = _BREAK.split(text[: bad.start()])
        line = _BREAK.split(before[-1] + text[bad.start() : bad.start() + 60])[0]
        name = "NUL" if bad.group() == "\0" else f"U+{ord(bad.group()):04X}"
        raise Problems(
            Problem(
                "task/control-character",
                f"the file holds the control character {name}",
                Place(file, len(before), len(before[-1]) + 1, _FORBIDDEN.sub("\ufffd", line)),
                "remove it; is this really a text file?",
            )
        )
    return text
