"""Recorded values as Python expressions: arguments by their classes, references, files and secrets."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.problem import Problem, Problems
from stacks.eject import typed
from stacks.eject.printing import Call, Entries, Items, Node, Plain, literal
from stacks.eject.recording import FILE, SECRET, Row

LONG = 400
"""Characters from which a text is a file beside the program."""

SHORT = 6
"""Shorter outputs are too common to be told by: `true`, `0`, `web`."""


@dataclass(slots=True)
class Beside:
    """What the program needs beside itself: `files` by their path in the project, `config` values encrypted."""

    files: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """Path in the project -> the file here that is copied there."""
    config: dict[str, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    by_content: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, content: bytes, ending: str) -> str:
        """The name of a file with that content: one that is there already, or `name`."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self.by_content:
            self.by_content[digest] = f"{name}{ending}"
            self.files[f"files/{name}{ending}"] = content
        return self.by_content[digest]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the values of one resource. `known` are the resources it may refer to: variable, row and class."""

    name: str
    known: Mapping[str, tuple[str, Row, typed.Made]]
    beside: Beside

    def value(self, value: Any, hint: Any, path: str, near: Sequence[str]) -> Node:
        """`near` are the URNs of the resources that the value may come from."""
        found = typed.shape(hint)
        if isinstance(value, Mapping):
            if SECRET in value:
                return self._secret(value[SECRET], path)
            if FILE in value:
                return self._asset(value[FILE])
            return self._object(value, found, path, near)
        if isinstance(value, list):
            parts = [self.value(one, found.items, f"{path}.{n}", near) for n, one in enumerate(value)]
            return Items(tuple(parts))
        if isinstance(value, str):
            return self._reference(value, path, near) or self._text(value, path)
        return literal(value)

    def _object(self, value: Mapping[str, Any], found: typed.Shape, path: str, near: Sequence[str]) -> Node:
        made = typed.fitting(found.objects, list(value))
        if made is None:
            parts = [
                (name, self.value(value[name], found.entries, f"{path}.{name}", near))
                for name in sorted(value)
            ]
            return Entries(tuple(parts))
        names = typed.fields(made)
        given = [
            (names[wire][0], self.value(value[wire], names[wire][1], f"{path}.{names[wire][0]}", near))
            for wire in names
            if wire in value
        ]
        return Call(typed.written(made), tuple(given))

    def _reference(self, text: str, path: str, near: Sequence[str]) -> Node | None:
        """`vpc.id`, where one of the resources that this comes from has that text."""
        if len(text) < SHORT:
            return None
        last = path.rpartition(".")[2]
        for urn in near:
            if urn not in self.known:
                continue
            variable, row, made = self.known[urn]
            outputs = [found for found, said in row["outputs"].items() if said == text]
            best = _best(outputs, last, by_id=row["id"] == text)
            if best is not None:
                head, _, rest = best.partition(".")
                names = [variable, made.output(head), *([rest] if rest else [])]
                return Plain(".".join(names))
        return None

    def _text(self, text: str, path: str) -> Node:
        if len(text) <= LONG:
            return literal(text)
        name = f"{self.name}.{path}"
        decoded = _decoded(text)
        if decoded is not None:
            self.beside.helpers.add("encoded")
            stored = self.beside.add(name, decoded, _ending(decoded, path))
            return Call("encoded", (), (literal(stored),))
        self.beside.helpers.add("text")
        return Call(
            "text", (), (literal(self.beside.add(name, text.encode(), _ending(text.encode(), path))),)
        )

    def _asset(self, source: str) -> Node:
        name = f"files/{self.name}"
        self.beside.sources[name] = source
        return Call("pulumi.FileAsset", (), (literal(name),))

    def _secret(self, ciphertext: str | None, path: str) -> Node:
        if not ciphertext:
            raise Problems(
                Problem(
                    "eject/secret-unknown",
                    f"`{path}` of `{self.name}` is a secret whose value the state does not hold",
                    hint="repeat the `up` of the deployment, then eject again",
                )
            )
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{self.name}-{path}")
        self.beside.config[name] = ciphertext
        self.beside.helpers.add("config")
        return Call("config.require_secret_object", (), (literal(name),))


def variables(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """A Python name for each resource name, all different and none of `taken`."""
    used = set(taken)
    found = []
    for name in names:
        plain = re.sub(r"\W+", "_", name.lower()).strip("_") or "resource"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        number, made = 1, plain
        while made in used or keyword.iskeyword(made):
            number += 1
            made = f"{plain}_{number}"
        used.add(made)
        found.append(made)
    return found


def _best(outputs: Sequence[str], like: str, *, by_id: bool) -> str | None:
    """Of the outputs that have a text: the one of the argument's own name, else name, id or the shortest."""
    for preferred in (like, "name"):
        if preferred in outputs:
            return preferred
    if by_id:
        return "id"
    return min(outputs, key=lambda one: (one.count("."), len(one), one), default=None)


def _decoded(text: str) -> bytes | None:
    """What a text in base64 stands for, when encoding that again gives the same text."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == text else None


ENDINGS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda content: content.startswith(b"#!"), ".sh"),
    (lambda content: content.startswith(b"\xfd7zXZ"), ".xz"),
    (lambda content: _is_json(content), ".json"),
)


def _ending(content: bytes, path: str) -> str:
    if re.search(r"\.[a-z]{2,4}\Z", path):
        return ""  # a file's name already
    return next((ending for fits, ending in ENDINGS if fits(content)), "")


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True
