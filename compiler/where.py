"""Cloud, region and zone as a task file says them: `infra` with wildcards, or the three older fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compiler.catalog import clouds
from compiler.notes import Notes, Path
from compiler.problem import nearest, quote

OLDER = ("cloud", "region", "zone")

Where = tuple["str | None", "str | None", "str | None"]

NOWHERE: Where = (None, None, None)


def read(data: Mapping[str, Any], at: Callable[[str], Path], notes: Notes, enabled: Sequence[str]) -> Where:
    """(cloud, region, zone) of `data`, each None for any; `at` gives the path of a field."""
    infra = data.get("infra")
    if infra is None:
        said = [data.get(name) for name in OLDER]
        cloud, region, zone = (None if part == "*" else part for part in said)
        return (_cloud(cloud, at("cloud"), notes, enabled) if cloud else None), region, zone
    older = [name for name in OLDER if data.get(name) is not None]
    if older:
        listed = " and ".join(f"`{name}`" for name in older)
        notes.note(
            "task/conflicting-fields",
            f"`infra` and {listed} say the same thing",
            at(older[0]),
            "write `infra: cloud/region/zone` alone",
            True,
        )
        return NOWHERE
    parts = [part.strip() for part in str(infra).strip().strip("/").split("/")]
    if clouds.canonical(parts[0]) in ("kubernetes", "ssh") and len(parts) > 1:
        parts = [parts[0], "/".join(parts[1:])]
    if len(parts) > 3 or "" in parts:
        message = f"{quote(infra)} is not a cloud with region and zone"
        notes.note("task/wrong-value", message, at("infra"), "for example `infra: aws/us-west-2`")
        return NOWHERE
    cloud, region, zone = (None if part in ("", "*") else part for part in (*parts, "", "")[:3])
    return (_cloud(cloud, at("infra"), notes, enabled) if cloud else None), region, zone


def named(data: Mapping[str, Any]) -> str | None:
    """The cloud that `data` names, known or not; None for any."""
    text = str(data.get("infra") or data.get("cloud") or "").strip().partition("/")[0]
    return clouds.canonical(text) if text not in ("", "*") else None


def _cloud(text: str, path: Path, notes: Notes, enabled: Sequence[str]) -> str | None:
    name = clouds.canonical(text)
    if name in enabled or name in clouds.KNOWN:
        return name
    meant = nearest(name, [*enabled, *sorted(clouds.KNOWN), *clouds.ALIASES])
    here = ", ".join(f"`{one}`" for one in enabled) or "none"
    hint = f"did you mean `{meant}`?" if meant else f"enabled: {here}"
    if text.startswith("$"):
        hint = "a name in `envs` is filled in here; this one is not there"
    notes.note("task/unknown-cloud", f"there is no cloud {quote(text)}", path, hint)
    return None
