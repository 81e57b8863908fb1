"""The published contracts as JSON, shared by every part. `load(name)` reads one, `resolve` follows references."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import Any


@cache
def load(name: str) -> dict[str, Any]:
    """One schema, such as `task.v1.json`, as plain data that nobody may change. Raises FileNotFoundError."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded


@cache
def resolve(reference: str) -> dict[str, Any]:
    """What `task.v1.storage.json#/$defs/sync` stands for. Raises KeyError and FileNotFoundError."""
    name, _, path = reference.partition("#")
    found = load(name)
    for step in path.split("/")[1:]:
        found = found[step]
    return found


def plain(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, or what it refers to; words that stand beside a reference win."""
    if "$ref" not in schema:
        return schema
    found = resolve(schema["$ref"])
    return found if len(schema) == 1 else {**found, **schema}
