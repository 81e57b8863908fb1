"""Plain data of a task file into the one way of writing that the schema has.

Null is the same as leaving a field out; `yes`, `no`, `on` and `off` are true and false where only these can be
meant; words of a closed list are taken in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import schemas
from compiler.schema import is_of

_YES = {"yes": True, "on": True, "no": False, "off": False}


def normal(data: Any, schema: Mapping[str, Any]) -> Any:
    """`data` made plain as far as its schema knows it; what is wrong stays as it is."""
    schema = _branch(data, schemas.plain(schema))
    if isinstance(data, str):
        return _text(data, schema)
    if isinstance(data, dict):
        known, extra = schema.get("properties", {}), schema.get("additionalProperties")
        result = {}
        for name, value in data.items():
            one = known.get(name, extra)
            if not isinstance(one, Mapping):
                result[name] = value
            elif value is not None or takes_null(one):
                result[name] = normal(value, one)
        return result
    if isinstance(data, list) and "items" in schema:
        return [normal(item, schema["items"]) for item in data]
    return data


def takes_null(schema: Mapping[str, Any]) -> bool:
    """May null stand there as a value of its own?"""
    schema = schemas.plain(schema)
    if "anyOf" in schema:
        return any(takes_null(branch) for branch in schema["anyOf"])
    return "null" in schema.get("type", ())


def _branch(data: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The branch of `anyOf` that is about data of this kind."""
    if "anyOf" not in schema:
        return schema
    if schema.get("x-yes") and isinstance(data, str) and data.lower() in _YES:
        return {"type": "boolean"}
    for branch in map(schemas.plain, schema["anyOf"]):
        kinds = branch.get("type", ())
        if any(is_of(data, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
            return branch
    return {}


def _text(text: str, schema: Mapping[str, Any]) -> Any:
    if schema.get("type") == "boolean":
        return _YES.get(text.lower(), text)
    if schema.get("x-fold"):
        folded = text.strip().lower()
        return next((word for word in schema["enum"] if word.lower() == folded), text)
    return text
