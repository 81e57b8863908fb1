"""YAML text into plain data that remembers line and column of every value; refuses what no task file needs.

Works on the parser's events and never recurses into what is unread, so depth and size are judged while
reading. Plain scalars resolve as in YAML 1.2 (`yes`, `on` and `22:30` are text); what stood in the file
stays known, for fields that want text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.nodes import Node, resolve
from compiler.problem import Place, Problem, Problems, nearest, quote

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_EXPANDED = 10_000
"""Nodes that aliases may add up to."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


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
    if len(content) > MAX_BYTES:
        size = f"{len(content) / 1024 / 1024:.1f} MiB"
        raise Problems(
            Problem(
                "task/too-large",
                f"the file has {size}; a task file has at most 1 MiB",
                Place(file, 1, 1),
                "keep data and long scripts in files of the workdir",
            )
        )
    text = _decode(content, file)
    lines = _BREAK.split(text)
    builder = _Builder(file, lines)
    root = builder.read(text)
    if builder.problems:
        raise Problems(sorted(builder.problems, key=_start))
    if root is None:
        raise Problems(
            Problem(
                "task/empty-file",
                "the file holds no task",
                Place(file, 1, 1),
                "the smallest task is one line: `run: echo hello`",
            )
        )
    return Source(file, root.data(), root, lines)


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


class _Builder:
    """Nodes from parser events, with a stack of what is still open."""

    def __init__(self, file: str, lines: Sequence[str]) -> None:
        self.file = file
        self.lines = lines
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node] = {}
        self.open: list[Node] = []
        self.keys: list[Node | None] = []
        self.expanded = 0
        self.aliased = False
        self.root: Node | None = None

    def read(self, text: str) -> Node | None:
        import yaml

        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        events: Iterator[Any] = yaml.parse(text, Loader=loader)
        found: Node | None = None
        document = (0, 0)
        try:
            for event in events:
                kind = type(event).__name__
                if kind == "DocumentStartEvent":
                    self.root = None
                    self.anchors.clear()
                    document = (event.start_mark.line, event.start_mark.column)
                elif kind == "DocumentEndEvent":
                    found = self._document(found, document)
                elif kind not in ("StreamStartEvent", "StreamEndEvent"):
                    self._event(kind, event)
        except yaml.YAMLError as error:
            raise Problems(self._syntax(error)) from None
        return found

    def _document(self, found: Node | None, document: tuple[int, int]) -> Node | None:
        root = self.root
        if root is None or (root.written is not None and root.value is None):
            return found
        if found is not None:
            hint = "keep one task in a file and run them one after the other"
            self._stop(
                "task/not-supported-yet",
                "several documents in one file (a pipeline) are not supported yet",
                (*document, 3),
                hint,
            )
        return root

    def _event(self, kind: str, event: Any) -> None:
        mark = event.start_mark
        if kind == "ScalarEvent":
            self._add(self._scalar(event), event.anchor)
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            mapping = kind == "MappingStartEvent"
            self._tag(event, "map" if mapping else "seq")
            if len(self.open) >= MAX_DEPTH:
                self._deep((mark.line, mark.column, 1))
            node = Node(mark.line, mark.column, 1, closed=False)
            if mapping:
                node.pairs = []
            else:
                node.items = []
            if event.anchor:
                self.anchors[event.anchor] = node
            self.open.append(node)
            self.keys.append(None)
        else:
            node = self.open.pop()
            self.keys.pop()
            node.closed = True
            if node.pairs is not None:
                self._merge(node)
            self._add(node, None)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        parent.expanded += node.expanded
        parent.height = max(parent.height, node.height + 1)
        if parent.items is not None:
            parent.items.append(node)
        elif self.keys[-1] is None:
            self.keys[-1] = node
        elif parent.pairs is not None:
            parent.pairs.append((self.keys[-1], node))
            self.keys[-1] = None

    def _alias(self, event: Any) -> None:
        mark, name = event.start_mark, event.anchor
        spot = (mark.line, mark.column, len(name) + 1)
        node = self.anchors.get(name)
        if node is None:
            hint = _close(name, list(self.anchors)) or f"write `&{name}` before the value it stands for"
            self._stop("task/yaml-syntax", f"the alias {quote('*' + name)} names no anchor", spot, hint)
            return
        if not node.closed:
            self._stop(
                "task/alias-expansion", f"the alias {quote('*' + name)} stands inside its own value", spot
            )
        if len(self.open) + node.height > MAX_DEPTH:
            self._deep(spot)
        self.expanded += node.expanded
        if self.expanded > MAX_EXPANDED:
            self._stop(
                "task/alias-expansion",
                f"aliases expand to more than {MAX_EXPANDED:,} values",
                spot,
                "write the values out, or fewer of them",
            )
        copy = Node(mark.line, mark.column, spot[2], node.value, node.written, node.items, node.pairs)
        copy.merged, copy.expanded, copy.height = node.merged, node.expanded, node.height
        self._add(copy, None)

    def _scalar(self, event: Any) -> Node:
        start, end = event.start_mark, event.end_mark
        width = end.column - start.column if end.line == start.line else 0
        node = Node(start.line, start.column, width, event.value, event.value)
        if "\0" in event.value:
            self._stop(
                "task/control-character",
                "a text with the character NUL cannot be used",
                (start.line, start.column, max(1, width)),
                "remove the `\\0`",
            )
        wanted = self._tag(event, None)
        if wanted in (None, "str"):
            node.value = resolve(event.value) if event.implicit[0] and wanted is None else event.value
            return node
        node.value = resolve(event.value)
        if type(node.value) not in _TYPES[wanted or "str"]:
            message = f"{quote(event.value)} is not what its tag `!!{wanted}` says"
            self._stop("task/yaml-tag", message, (start.line, start.column, max(1, width)))
        return node

    def _tag(self, event: Any, kind: str | None) -> str | None:
        """The core type that a tag names, None without a tag."""
        tag = event.tag
        if tag is None:
            return None
        if tag == "!":
            return "str" if kind is None else kind
        name = tag[len(_CORE) :] if tag.startswith(_CORE) else None
        if (name in _TYPES and kind is None) or (name == kind and kind is not None):
            return str(name)
        shown = "!!" + name if name else tag
        mark = event.start_mark
        self._stop(
            "task/yaml-tag",
            f"the YAML tag {quote(shown)} is not for task files",
            (mark.line, mark.column, len(shown)),
            "remove the tag: a task file is plain data",
        )
        return None

    def _merge(self, node: Node) -> None:
        """Fill `merged`: own keys first, then what `<<` brings; a key written twice is a problem."""
        own: dict[str, tuple[Node, Node]] = {}
        brought: dict[str, tuple[Node, Node]] = {}
        for key, value in node.pairs or ():
            if key.value == "<<" and key.width == 2:
                for part in value.items if value.items is not None else [value]:
                    if part.pairs is None:
                        spot = (key.line, key.column, 2)
                        self._stop("task/wrong-type", "`<<` wants a mapping, or a list of mappings", spot)
                    for name, pair in part.merged.items():
                        brought.setdefault(name, pair)
                continue
            if not isinstance(key.value, str):
                self._key_not_text(key, value)
                continue
            if key.value in own:
                first = own[key.value][0].line + 1
                spot = (key.line, key.column, max(1, key.width))
                message = f"{quote(key.value)} is written twice"
                hint = f"it stands in line {first} already; keep one of them"
                self._note("task/duplicate-key", message, spot, hint)
                continue
            own[key.value] = (key, value)
        node.merged = {**own, **{name: pair for name, pair in brought.items() if name not in own}}

    def _key_not_text(self, key: Node, value: Node) -> None:
        spot = (key.line, key.column, max(1, key.width))
        if key.written is None:
            start, end = (key.line, key.column), (value.line, value.column)
            self.problems = [one for one in self.problems if not start <= _start(one) < end]
            hint = "quote `${{…}}` and `{…}` when they are meant as text" if key.pairs is not None else None
            self._note("task/key-not-text", "a list or mapping cannot be a key", spot, hint)
        else:
            hint = f'quote it: `"{key.written}"`' if key.written else "write a name before the colon"
            self._note("task/key-not-text", f"the key {quote(key.written)} is not text", spot, hint)

    def _syntax(self, error: Any) -> Problem:
        mark, says = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        if "quoted scalar" in str(getattr(error, "context", "")) and error.context_mark:
            mark, says = error.context_mark, "a quote is opened here and not closed"
        line, column = (mark.line, mark.column) if mark else (0, 0)
        text = self.lines[line] if line < len(self.lines) else ""
        indent = text[: len(text) - len(text.lstrip(" \t"))]
        if "\t" in indent and text.strip():
            return self._problem(
                "task/tab-indentation",
                "a tab is used for indentation, which YAML does not allow",
                (line, indent.index("\t"), 1),
                "indent with spaces (two are usual)",
            )
        while line > 0 and (line >= len(self.lines) or (column == 0 and not self.lines[line].strip())):
            line -= 1
            column = len(self.lines[line])
        says = says or "it cannot be read"
        message = f"not valid YAML: {says}"
        return self._problem("task/yaml-syntax", message, (line, column, 1), _advice(self.lines[line], says))

    def _deep(self, spot: tuple[int, int, int]) -> None:
        self._stop("task/too-deep", f"values are nested more than {MAX_DEPTH} deep", spot)

    def _problem(self, code: str, message: str, spot: tuple[int, int, int], hint: str | None) -> Problem:
        line, column, width = spot
        text = self.lines[line] if line < len(self.lines) else ""
        return Problem(code, message, Place(self.file, line + 1, column + 1, text, width), hint)

    def _note(self, code: str, message: str, spot: tuple[int, int, int], hint: str | None = None) -> None:
        self.problems.append(self._problem(code, message, spot, hint))

    def _stop(self, code: str, message: str, spot: tuple[int, int, int], hint: str | None = None) -> None:
        raise Problems([*self.problems, self._problem(code, message, spot, hint)])


def _start(problem: Problem) -> tuple[int, int]:
    return (problem.place.line - 1, problem.place.column - 1) if problem.place else (-1, -1)


def _advice(line: str, says: str) -> str | None:
    if "mapping values" in says:
        return "quote a text that holds `: `"
    if "cannot start any token" in says:
        return "quote a text that begins with `@`, `%` or a backquote"
    if "not closed" in says:
        return "close it; a `'` in a text of single quotes is written twice"
    if "expected key" in says or "block" in says:
        return "is the indentation the same as that of the lines around it?"
    return None


def _close(name: str, names: Sequence[str]) -> str | None:
    found = nearest(name, names)
    return f"did you mean `*{found}`?" if found else None
