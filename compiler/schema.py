"""Plain data against schemas/task.v1*.json: every mistake becomes a Fault with a path, a sentence and a hint.

Reads the published schemas themselves and knows just the keywords that stand in them, because the general
validator costs a third of the time that `validate` may take; a property test holds the two to the same
verdicts. What people may write in two ways is made one way before, by compiler/normal.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import schemas
from compiler.problem import nearest, quote

Path = tuple[str | int, ...]

KEYWORDS = frozenset(
    (
        *(
            "type",
            "enum",
            "anyOf",
            "properties",
            "additionalProperties",
            "propertyNames",
            "required",
            "$ref",
        ),
        *(
            "minProperties",
            "maxProperties",
            "items",
            "minItems",
            "maxItems",
            "minimum",
            "maximum",
            "exclusiveMinimum",
        ),
        *("minLength", "maxLength", "pattern"),
    )
)
"""What is judged. `x-says` is ours; all else in the schema is for readers and for compiler/normal.py."""

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}
_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake. `path` leads to the value; `key` when it is the key that is wrong."""

    path: Path
    code: str
    message: str
    hint: str | None = None
    key: bool = False


def check(data: Any, schema: Mapping[str, Any]) -> list[Fault]:
    """Every mistake of `data`, in the order of the file; empty for a good one."""
    return list(_value(data, schema, ()))


def _value(value: Any, schema: Mapping[str, Any], path: Path, branch: bool = False) -> Iterable[Fault]:
    schema = schemas.plain(schema)
    if "anyOf" in schema:
        yield from _any_of(value, schema, path)
        return
    if not _fits(value, schema):
        yield _wrong_type(value, _types(schema), schema, path)
    elif isinstance(value, dict):
        yield from _object(value, schema, path)
    elif isinstance(value, list):
        yield from _array(value, schema, path)
    elif isinstance(value, str):
        yield from _text(value, schema, path)
    elif (not branch or "minimum" in schema) and schema.get("type") == "number" and not math.isfinite(value):
        # Amounts that may be texts too have readers of their own, which say more.
        yield Fault(path, "task/wrong-value", f"{_name(path)} cannot be `{value}`", _example(schema, path))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number(value, schema, path)


def _any_of(value: Any, schema: Mapping[str, Any], path: Path) -> Iterable[Fault]:
    """Nothing when a branch takes the value, else what the nearest branch says."""
    branches = [schemas.plain(branch) for branch in schema["anyOf"]]
    found = [list(_value(value, one, path, True)) for one in branches if _fits(value, one)]
    if [] in found:
        return
    if found:
        for fault in min(found, key=len):
            yield replace(fault, hint=fault.hint or _example(schema, path)) if fault.path == path else fault
        return
    wanted = [name for branch in branches for name in _types(branch)]
    yield _wrong_type(value, list(dict.fromkeys(wanted)), schema, path)


def _object(value: dict[str, Any], schema: Mapping[str, Any], path: Path) -> Iterable[Fault]:
    known, names = schema.get("properties", {}), schema.get("propertyNames")
    extra = schema.get("additionalProperties", True)
    for name, member in value.items():
        at = (*path, name)
        if names and not _pattern(names["pattern"]).search(name):
            yield Fault(at, "task/bad-name", f"{quote(name)} is not {names['x-says']}", key=True)
        if name in known:
            yield from _value(member, known[name], at)
        elif extra is False:
            yield _unknown(name, known, path)
        elif isinstance(extra, Mapping):
            yield from _value(member, extra, at)
    for name in schema.get("required", ()):
        if name not in value:
            yield Fault(path, "task/missing-field", f"{_name(path)} has no `{name}`", key=True)
    if len(value) < schema.get("minProperties", 0):
        yield Fault(path, "task/wrong-value", f"{_name(path)} is empty", _example(schema, path))
    if len(value) > schema.get("maxProperties", len(value)):
        most = schema["maxProperties"]
        yield Fault(path, "task/wrong-value", f"{_name(path)} has {len(value)} members; {most} is the most")


def _array(value: list[Any], schema: Mapping[str, Any], path: Path) -> Iterable[Fault]:
    if "items" in schema:
        for index, item in enumerate(value):
            yield from _value(item, schema["items"], (*path, index))
    if len(value) < schema.get("minItems", 0):
        yield Fault(path, "task/wrong-value", f"{_name(path)} is empty")
    if len(value) > schema.get("maxItems", len(value)):
        most = schema["maxItems"]
        yield Fault(path, "task/wrong-value", f"{_name(path)} has {len(value)} members; {most} is the most")


def _text(value: str, schema: Mapping[str, Any], path: Path) -> Iterable[Fault]:
    if len(value) < schema.get("minLength", 0):
        yield Fault(path, "task/wrong-value", f"{_name(path)} is an empty text", _example(schema, path))
    elif len(value) > schema.get("maxLength", len(value)):
        most = schema["maxLength"]
        yield Fault(
            path, "task/wrong-value", f"{_name(path)} has {len(value)} characters; {most} is the most"
        )
    elif "enum" in schema and value not in schema["enum"]:
        yield _choice(value, schema["enum"], path)
    elif "pattern" in schema and not _pattern(schema["pattern"]).search(value):
        yield Fault(
            path,
            "task/bad-name",
            f"{quote(value)} is not {schema['x-says']}",
            _better(value, schema["pattern"]),
        )


def _number(value: float, schema: Mapping[str, Any], path: Path) -> Iterable[Fault]:
    least, above, most = (
        schema.get("minimum"),
        schema.get("exclusiveMinimum"),
        schema.get("maximum"),
    )
    rule = None
    if least is not None and value < least:
        rule = f"at least {least}"
    elif above is not None and value <= above:
        rule = f"more than {above}"
    elif most is not None and value > most:
        rule = f"at most {most:,}"
    if rule:
        message = f"{_name(path)} must be {rule}, not {value:g}"
        yield Fault(path, "task/wrong-value", message, _example(schema, path))


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    names = _types(schema)
    return not names or any(is_of(value, name) for name in names)


def is_of(value: Any, name: str) -> bool:
    """Is `value` of a JSON type? Whole numbers such as 2.0 are integers, true is none."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _TYPES[name])


def _types(schema: Mapping[str, Any]) -> list[str]:
    found = schema.get("type", [])
    return [found] if isinstance(found, str) else list(found)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _wrong_type(value: Any, wanted: list[str], schema: Mapping[str, Any], path: Path) -> Fault:
    words = [_WORDS[name] for name in wanted if name in _WORDS]
    if "number" in wanted and "integer" in wanted:
        words.remove(_WORDS["integer"])
    listed = ", ".join(words[:-1]) + (" or " if len(words) > 1 else "") + words[-1] if words else "nothing"
    return Fault(
        path,
        "task/wrong-type",
        f"{_name(path)} wants {listed}, not {_told(value, path)}",
        _retype(value, wanted, path) or _example(schema, path),
    )


def _told(value: Any, path: Path) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        kind = _WORDS["object" if isinstance(value, dict) else "array"]
        return f"an empty {kind[2:]}" if not value else kind
    if path[:1] == ("secrets",):
        return "this"
    if isinstance(value, str):
        return f"the text {quote(value if len(value) < 40 else value[:40] + '…')}"
    return f"the number {value:g}"


def _retype(value: Any, wanted: list[str], path: Path) -> str | None:
    if path[:1] == ("secrets",):
        return None
    if isinstance(value, (bool, int, float)) and "string" in wanted:
        return f'quote it when a text is meant: `"{str(value).lower()}"`'
    if (
        isinstance(value, str)
        and {"number", "integer"} & set(wanted)
        and re.fullmatch(r"\s*\d{1,6}\s*", value)
    ):
        return f"write it without quotes: `{value.strip()}`"
    if isinstance(value, str) and wanted == ["boolean"]:
        return "write `true` or `false`"
    return None


def _choice(value: str, choices: list[str], path: Path) -> Fault:
    listed = ", ".join(f"`{one}`" for one in choices)
    return Fault(
        path, "task/wrong-value", f"{_name(path)} cannot be {quote(value)}", f"it can be one of {listed}"
    )


def _unknown(name: str, known: Mapping[str, Any], path: Path) -> Fault:
    owner = _name(path) if path else "a task"
    meant = nearest(name, [one for one in known if not known[one].get("x-internal")])
    hint = f"did you mean `{meant}`?" if meant else None
    resources = schemas.plain(known["resources"])["properties"] if "resources" in known else {}
    if name in resources:
        hint = f"`{name}` is a field of `resources`: write it below that, indented"
    return Fault((*path, name), "task/unknown-field", f"{quote(name)} is not a field of {owner}", hint, True)


def _name(path: Path) -> str:
    if path and isinstance(path[-1], int):
        return f"member {path[-1] + 1} of {_name(path[:-1])}"
    return quote(str(path[-1])) if path else "the task"


def _example(schema: Mapping[str, Any], path: Path) -> str | None:
    examples = [one for one in schema.get("examples", ()) if not isinstance(one, (dict, list))]
    if not examples or not path or isinstance(path[-1], int):
        return None if path else "a task file is a mapping such as `run: echo hello`"
    return f"for example `{path[-1]}: {examples[0]}`"


def _better(value: str, pattern: str) -> str | None:
    name = re.sub(r"[^A-Za-z0-9]+", "-", value).strip("-")
    return f"for example `{name}`" if _pattern(pattern).search(name) else None
