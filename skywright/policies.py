"""The settings `policy`: statements of every file, the team's file that they name, and what a schema cannot check."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from stacks.rules.policy import Statement

CONTRACT = "policy.v1.json"

Wrong = tuple[tuple[str | int, ...], str]
"""Path of what is wrong, and a sentence."""


def wrong(data: Mapping[str, Any]) -> Iterator[Wrong]:
    """What no schema says of a policy that keeps to it."""
    import schemas
    from stacks.rules import RULES

    known = schemas.load(CONTRACT)["properties"]["rules"]["properties"]
    for name, said in (data.get("rules") or {}).items():
        for needed in known[name].get("required", ()) if not said else ():
            yield ("rules", name), f"`{name}` has no `{needed}`"
        for path, says in RULES[name].wrong(said or {}):
            yield ("rules", name, *path), says
        for index, one in enumerate((said or {}).get("except", ())):
            try:
                datetime.date.fromisoformat(one["until"])
            except ValueError:
                yield ("rules", name, "except", index, "until"), f"`{one['until']}` is no day of any calendar"


def with_file(path: Path, data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(file, policy) of a file of settings and of the team's file that it names, that one first.

    Raises Problems usage/bad-setting with places.
    """
    policy = data.get("policy") or {}
    if "file" not in policy:
        return [(str(path), policy)] if policy else []
    named = Path(policy["file"]).expanduser()
    team = named if named.is_absolute() else path.parent / named
    return [(str(team), _team(team, path)), (str(path), policy)]


def _team(team: Path, named_by: Path) -> dict[str, Any]:
    import schemas
    from compiler import schema, source
    from compiler.normal import normal

    try:
        content = team.read_bytes()
    except OSError as error:
        says = f"the policy file `{team}` cannot be read: {error.strerror}"
        place = source.parse(named_by.read_bytes(), str(named_by)).place(("policy", "file"))
        raise Problems(Problem("usage/bad-setting", says, place)) from None
    parsed = source.parse(content, str(team))
    contract = schemas.load(CONTRACT)
    plain = normal(parsed.data, contract)
    found = [
        Problem(
            "usage/bad-setting",
            fault.message.replace("is not a field of a task", "is not a setting of a policy"),
            parsed.place(fault.path, fault.key),
            fault.hint,
        )
        for fault in schema.check(plain, contract)
    ]
    if not found:
        more = [*wrong(plain), *([(("file",), "a policy file names no other")] if "file" in plain else [])]
        found = [Problem("usage/bad-setting", says, parsed.place(at, False)) for at, says in more]
    if found:
        raise Problems(found)
    assert isinstance(plain, dict)
    return plain


def statements(origin: str, data: Mapping[str, Any]) -> Iterator[Statement]:
    """What one file says, the short settings as the rules that they stand for."""
    from stacks.rules.policy import Statement

    if "max_hourly_cost" in data:
        yield Statement.of("hourly-ceiling", {"usd": data["max_hourly_cost"]}, origin)
    for name in data.get("require_labels", ()):
        yield Statement.of("required-tags", {"tags": {name: True}, "on": "tasks"}, origin)
    if data.get("exact"):
        yield Statement.of("larger-than-asked", {}, origin)
    for name, said in (data.get("rules") or {}).items():
        yield Statement.of(name, said or {}, origin)
