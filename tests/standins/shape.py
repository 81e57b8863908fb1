"""Inputs held against an SDK's types, and two sets of inputs held against each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's sign for a text that only the real creation will tell; one more for each other type."""

UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The key of a mapping that says: this is an asset, an archive, a secret."""

Wrong = tuple[str, str]


def unknown(value: Any) -> bool:
    return isinstance(value, str) and value in UNKNOWNS


def some_unknown(value: Any) -> bool:
    """Is any part of `value` not known yet?"""
    if isinstance(value, Mapping):
        return any(some_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(some_unknown(item) for item in value)
    return unknown(value)


class Shapes:
    """The types of one SDK, as schema.py keeps them."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema, self.types = schema, schema["types"]

    def object(self, kind: Mapping[str, Any], value: Mapping[str, Any], path: str = "") -> Iterator[Wrong]:
        """What is wrong with a mapping of inputs: unknown names, missing ones, types."""
        known = kind["inputs"]
        for name, item in value.items():
            if name.startswith("__") or item is None:
                continue
            where = f"{path}.{name}" if path else name
            if name in known:
                yield from self.value(known[name], item, where)
            else:
                yield where, f'Unexpected property "{name}"'
        for name in kind.get("required", ()):
            if value.get(name) is None:
                where = f"{path}.{name}" if path else name
                yield where, f'Missing required property "{name}"'

    def value(self, kind: Any, value: Any, path: str) -> Iterator[Wrong]:
        if unknown(value) or kind == "any" or value is None:
            return
        if isinstance(kind, str):
            if not _plain(kind, value):
                yield path, f"expected {kind} value, got {_said(value)}"
        elif "enum" in kind:
            if not isinstance(value, (str, float)) or value not in kind["enum"]:
                yield path, f"expected one of {kind['enum']}, got {_said(value)}"
        elif "list" in kind:
            yield from self._list(kind["list"], value, path)
        elif "map" in kind:
            yield from self._map(kind["map"], value, path)
        elif "obj" in kind:
            if isinstance(value, Mapping):
                yield from self.object(self.types[kind["obj"]], value, path)
            else:
                yield path, f"expected object value, got {_said(value)}"
        else:
            tries = [list(self.value(one, value, path)) for one in kind["union"]]
            yield from min(tries, key=len)

    def _list(self, kind: Any, value: Any, path: str) -> Iterator[Wrong]:
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.value(kind, item, f"{path}[{index}]")
        else:
            yield path, f"expected list value, got {_said(value)}"

    def _map(self, kind: Any, value: Any, path: str) -> Iterator[Wrong]:
        if isinstance(value, Mapping):
            for name, item in value.items():
                yield from self.value(kind, item, f"{path}.{name}")
        else:
            yield path, f"expected map value, got {_said(value)}"

    def seen(self, kind: Any, was: Any, now: Any) -> Any:
        """`now`, which the cloud reports, cut to what `was` asked for: only drift may differ."""
        if (
            isinstance(kind, Mapping)
            and "obj" in kind
            and isinstance(was, Mapping)
            and isinstance(now, Mapping)
        ):
            inputs = self.types[kind["obj"]]["inputs"]
            return {
                name: self.seen(inputs.get(name, "any"), item, now.get(name, item))
                for name, item in was.items()
            }
        if (
            isinstance(kind, Mapping)
            and "list" in kind
            and isinstance(was, list)
            and isinstance(now, list)
            and len(was) == len(now)
        ):
            return [self.seen(kind["list"], old, new) for old, new in zip(was, now, strict=True)]
        return now


def differences(old: Mapping[str, Any], new: Mapping[str, Any], sets: frozenset[str]) -> dict[str, str]:
    """Path (`a.b[0]`) -> `add`, `delete` or `update`. The order of lists in `sets` means nothing."""
    found: dict[str, str] = {}
    for name in sorted({*old, *new}):
        if not name.startswith("__"):
            before, after = old.get(name), new.get(name)
            if name in sets and isinstance(before, list) and isinstance(after, list):
                before, after = sorted(before, key=_canonical), sorted(after, key=_canonical)
            _differ(name, before, after, found)
    return found


def _canonical(value: Any) -> str:
    """The same text for equal mappings, whatever order their names came in."""
    return json.dumps(value, sort_keys=True)


def _differ(path: str, old: Any, new: Any, found: dict[str, str]) -> None:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping) and SIGNATURE not in {*old, *new}:
        for name in sorted({*old, *new}):
            _differ(f"{path}.{name}", old.get(name), new.get(name), found)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            _differ(f"{path}[{index}]", before, after, found)
    elif old in (None, {}, []) and new in (None, {}, []):
        return
    else:
        found[path] = "add" if old is None else "delete" if new is None else "update"


def under(path: str, rules: Sequence[str]) -> bool:
    """Is `path` one of `rules`, or inside one? Indices do not count."""
    plain = re.sub(r"\[\d+\]", "", path)
    return any(plain == rule or plain.startswith(f"{rule}.") or rule == "*" for rule in rules)


def _plain(kind: str, value: Any) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind in ("int", "float"):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (kind == "float" or value == int(value))
    if kind == "asset":
        return isinstance(value, Mapping) and SIGNATURE in value
    return isinstance(value, str)


def _said(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"
