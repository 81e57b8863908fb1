"""Writes docs/task-yaml.md from the schemas: type, default, meaning, examples. `python -m tests.taskdoc`"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import schemas
from compiler import runnable
from compiler.change import SAYS, Meaning
from compiler.needs import WRITTEN
from stacks import CLOUDS, cloud

DOC = Path(__file__).parents[1] / "docs" / "task-yaml.md"

HEAD = """# The task file

Made by `python -m tests.taskdoc` from `schemas/task.v1*.json`, which editors can use too. Every field is optional, and
null is the same as leaving it out. A file that SkyPilot accepts is accepted here; what differs is in
[migration.md](migration.md).

*Changing it* says what a new value means for a deployment that lives. What stands behind **Not yet** is read and
checked, and refused when the task is to run (`plan/not-runnable-yet`).

A file of several documents (`---` between them) is a pipeline, whose tasks run one after the other, or with
`execution: parallel` in its first document a group, whose tasks run together.
"""


def text() -> str:
    """The document as it should be now."""
    top = schemas.load("task.v1.json")
    parts = [HEAD, "## Top level\n", *_rows(top, "")]
    sections: list[tuple[str, Mapping[str, Any]]] = [
        (f"`{name}`", schemas.plain(known))
        for name, known in top["properties"].items()
        if name != "file_mounts"
        and _members(schemas.plain(known))
        and not schemas.plain(known).get("x-internal")
    ]
    sections.insert(1, ("A bucket in `file_mounts`", schemas.resolve("task.v1.storage.json#/$defs/storage")))
    for title, known in sections:
        parts += [
            f"\n## {title}\n",
            *_section(known, title.strip("`") + "." if title.startswith("`") else ""),
        ]
    return "\n".join(parts) + "\n"


def _section(known: Mapping[str, Any], prefix: str) -> Iterator[str]:
    if known.get("description"):
        yield str(known["description"]) + "\n"
    for name, inner in _flat(known, ""):
        yield from _row(name, inner, prefix)


def _flat(known: Mapping[str, Any], before: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Members and their members, by dotted names."""
    for name, written in _members(known).items():
        inner = schemas.plain(written)
        if inner.get("x-internal"):
            continue
        yield f"{before}{name}", inner
        if name not in ("any_of", "ordered"):
            yield from _flat(inner, f"{before}{name}.")


def _members(known: Mapping[str, Any]) -> dict[str, Any]:
    """Named members of a mapping, of a form of it, or of what a list or mapping of them holds."""
    for one in [known, *map(schemas.plain, known.get("anyOf", ()))]:
        for part in (one, one.get("items"), one.get("additionalProperties")):
            if not isinstance(part, Mapping):
                continue
            for branch in [schemas.plain(part), *map(schemas.plain, schemas.plain(part).get("anyOf", ()))]:
                if (
                    branch.get("properties")
                    and branch.get("$id") != "https://skywright.dev/schemas/task.v1.json"
                ):
                    return dict(branch["properties"])
    return {}


def _rows(known: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, written in known["properties"].items():
        inner = schemas.plain(written)
        if not inner.get("x-internal"):
            yield from _row(name, inner, prefix)


def _row(name: str, known: Mapping[str, Any], prefix: str) -> Iterator[str]:
    heading = not prefix or prefix == "resources."
    default = f", default `{json.dumps(known['default'])}`" if "default" in known else ""
    says = known.get("description", "")
    says += f" Its newer name is `{known['x-old']}`." if "x-old" in known else ""
    later = "; ".join(_later(name, prefix))
    says += f" **Not yet:** {later}." if later else ""
    change = f" Changing it: {SAYS[Meaning(known['x-change'])]}." if "x-change" in known else ""
    examples = ", ".join(f"`{json.dumps(one, ensure_ascii=False)}`" for one in known.get("examples", ()))
    told = f"*{_type(known)}{default}.* {says}{change}" + (f" Examples: {examples}." if examples else "")
    if heading:
        yield f"### {prefix}{name}\n"
    yield f"{told}\n" if heading else f"- `{name}`: {told}"


def _later(name: str, prefix: str) -> list[str]:
    """What cannot run yet of a field, by the table of capabilities."""
    if prefix == "resources.":
        found = [
            _there(field, says)
            for field, says in runnable.RESOURCES.items()
            if WRITTEN.get(field, field) == name
        ]
    else:
        found = [
            _there(field, says)
            for field, (written, says) in runnable.TASK.items()
            if written == name and not prefix
        ]
    return list(dict.fromkeys(one for one in found if one))


def _there(field: str, says: str) -> str:
    """The sentence with the clouds it is true of, when it is not true of all; empty when it is of none."""
    needed = set(runnable.CAPABILITIES.get(field, ()))
    without = [name for name in CLOUDS if not needed or not needed <= cloud(name).CAPABILITIES]
    if len(without) == len(CLOUDS):
        return says
    return f"on {', '.join(f'`{name}`' for name in without)} {says}" if without else ""


def _type(known: Mapping[str, Any]) -> str:
    words = {
        "string": "text",
        "integer": "whole number",
        "object": "mapping",
        "array": "list",
        "boolean": "true or false",
    }
    if "enum" in known:
        return "one of " + ", ".join(f"`{one}`" for one in known["enum"])
    kinds: list[str] = []
    for one in [known, *map(schemas.plain, known.get("anyOf", ()))]:
        found = one.get("type", [])
        kinds += [found] if isinstance(found, str) else found
    unique = dict.fromkeys(words.get(kind, kind) for kind in kinds if kind != "null")
    span = [json.dumps(known[key]) for key in ("minimum", "maximum") if key in known]
    return " or ".join(unique) + (
        f", {' to '.join(span)}" if len(span) == 2 else f", at least {span[0]}" if span else ""
    )


if __name__ == "__main__":
    DOC.write_text(text())
