"""Events of the YAML parser into trees of Nodes: merges, aliases and tags, with depth and size judged on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from compiler.nodes import Node, resolve
from compiler.problem import Place, Problem, Problems, nearest, quote

MAX_DEPTH = 50
MAX_EXPANDED = 10_000
"""Nodes that aliases may add up to."""

_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


class Builder:
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

    def read(self, text: str) -> list[Node]:
        """The root of each document that holds something."""
        import yaml

        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        events: Iterator[Any] = yaml.parse(text, Loader=loader)
        found: list[Node] = []
        try:
            for event in events:
                kind = type(event).__name__
                if kind == "DocumentStartEvent":
                    self.root = None
                    self.anchors.clear()
                elif kind == "DocumentEndEvent":
                    root = self.root
                    if root is not None and (root.written is None or root.value is not None):
                        found.append(root)
                elif kind not in ("StreamStartEvent", "StreamEndEvent"):
                    self._event(kind, event)
        except yaml.YAMLError as error:
            raise Problems(self._syntax(error)) from None
        return found

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
            first, end = (key.line, key.column), (value.line, value.column)
            self.problems = [one for one in self.problems if not first <= start(one) < end]
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


def start(problem: Problem) -> tuple[int, int]:
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
