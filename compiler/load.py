"""One task file into a Task: source, schema, overrides of the command line, variables, fields.

Judges the text alone: no folder of the machine is looked at, and a value still to be given is no mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import schemas
from compiler import paths, requirements, schema, source
from compiler.notes import Notes, Path
from compiler.problem import Problem, Problems, quote
from compiler.task import Requirements, Task

_DEEP = ("resources", "envs", "secrets", "file_mounts")
"""Fields whose members an override adds to; others it replaces."""

_YES = {"yes": True, "on": True, "no": False, "off": False}


def load(
    content: bytes, file: str, *, clouds: Sequence[str], overrides: Mapping[str, Any] | None = None
) -> Task:
    """The Task of a file's bytes. `clouds` are enabled; `overrides` has the shape of the file and wins.

    Raises Problems with everything that is wrong at the first stage that finds something.
    """
    read = source.parse(content, file)
    contract = schemas.load("task.v1.json")
    notes = Notes(read)
    data = _booleans(read.data)
    for fault in schema.check(data, contract):
        notes.note(fault.code, fault.message, fault.path, fault.hint, fault.key)
    over = _plain(overrides or {})
    notes.overridden = frozenset(_leaves(over))
    for fault in schema.check(over, contract):
        notes.note(fault.code, fault.message, fault.path, fault.hint, fault.key)
    _stop(notes)
    data = _overridden(data, over)
    task = _task(data, notes, clouds, file)
    _stop(notes)
    return task


def missing(task: Task, *, secrets: bool = True) -> tuple[Problem, ...]:
    """One Problem for each env (and, with `secrets`, secret) still to be given; who plans or runs a task asks first."""
    problems = []
    for name in task.needed():
        kind = "envs" if name in task.envs else "secrets"
        if kind == "secrets" and not secrets:
            continue
        flag = "--env" if kind == "envs" else "--secret"
        problems.append(
            Problem(
                "task/value-needed",
                f"{quote(name)} in `{kind}` has no value",
                task.place(kind, name, key=True),
                f"give it with `{flag} {name}=VALUE`, or `{flag} {name}` to take it from your environment",
            )
        )
    return tuple(problems)


def _stop(notes: Notes) -> None:
    if notes.problems:
        placed = sorted(
            notes.problems, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0)
        )
        raise Problems(placed)


def _booleans(data: Any) -> Any:
    """`yes`, `no`, `on` and `off` as YAML 1.1 has them, where only true or false can be meant."""
    if not isinstance(data, dict) or not isinstance(data.get("resources"), dict):
        return data
    resources = dict(data["resources"])
    for name in ("use_spot", "autostop"):
        if isinstance(resources.get(name), str):
            resources[name] = _YES.get(resources[name].lower(), resources[name])
    if isinstance(resources.get("autostop"), dict) and isinstance(resources["autostop"].get("down"), str):
        down = resources["autostop"]["down"]
        resources["autostop"] = {**resources["autostop"], "down": _YES.get(down.lower(), down)}
    return {**data, "resources": resources}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(member) for name, member in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _leaves(over: Mapping[str, Any]) -> list[Path]:
    found: list[Path] = []
    for name, value in over.items():
        if name in _DEEP and isinstance(value, dict):
            found.extend((name, member) for member in value)
        else:
            found.append((name,))
    return found


def _overridden(data: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(data)
    for name, value in over.items():
        old = dict(result.get(name) or {}) if name in _DEEP else {}
        if name == "resources" and value:
            if "infra" in value:
                old = {key: one for key, one in old.items() if key not in ("cloud", "region", "zone")}
            elif {"cloud", "region", "zone"} & set(value):
                old.pop("infra", None)
        result[name] = {**old, **value} if name in _DEEP and isinstance(value, dict) else value
    return result


def _task(data: Mapping[str, Any], notes: Notes, clouds: Sequence[str], file: str) -> Task:
    envs = _values(data, "envs", notes)
    secrets = _values(data, "secrets", notes)
    _shared(envs, secrets, notes)
    known = {name: value for name, value in envs.items() if value is not None}
    pending = frozenset(name for name, value in envs.items() if value is None)
    mounts = _mounts(data.get("file_mounts") or {}, known, pending, notes)
    workdir = data.get("workdir")
    return Task(
        name=data.get("name"),
        workdir=_workdir(workdir, known, notes) if workdir is not None else None,
        num_nodes=int(data.get("num_nodes", 1)),
        requirements=_requirements(data.get("resources") or {}, known, pending, notes, clouds),
        envs=envs,
        secrets=secrets,
        file_mounts=mounts,
        checkpoint=_checkpoint(data.get("checkpoint"), known, mounts, notes),
        setup=data.get("setup"),
        run=data.get("run"),
        file=file,
        source=notes.source,
    )


def _requirements(
    data: Mapping[str, Any],
    known: dict[str, str],
    pending: frozenset[str],
    notes: Notes,
    clouds: Sequence[str],
) -> Requirements:
    """Texts are filled in first; one that waits for a value cannot be judged yet and is left out."""
    filled = {}
    for name, value in data.items():
        if isinstance(value, str):
            if pending.intersection(paths.variables(value)):
                continue
            filled[name] = paths.fill(value, known)
        else:
            filled[name] = value
    return requirements.read(filled, notes, clouds)


def _values(data: Mapping[str, Any], field: str, notes: Notes) -> dict[str, str | None]:
    """Values as text, a number or true as it was written."""
    values: dict[str, str | None] = {}
    for name, value in (data.get(field) or {}).items():
        if value is None or isinstance(value, str):
            values[name] = value
            continue
        path = (field, name)
        written = None if notes.is_overridden(path) else notes.source.written(path)
        values[name] = written if written is not None else str(value)
    return values


def _shared(envs: dict[str, str | None], secrets: dict[str, str | None], notes: Notes) -> None:
    """A name in both is a secret, when only one of them gives a value or both give the same."""
    for name in sorted(set(envs) & set(secrets)):
        plain, hidden = envs[name], secrets[name]
        if plain is not None and hidden is not None and plain != hidden:
            notes.note(
                "task/conflicting-fields",
                f"{quote(name)} stands in `envs` and in `secrets` with different values",
                ("envs", name) if notes.is_overridden(("secrets", name)) else ("secrets", name),
                "keep it in `secrets` alone",
                True,
            )
        secrets[name] = plain if hidden is None else hidden
        del envs[name]


def _workdir(text: str, known: dict[str, str], notes: Notes) -> str:
    filled = paths.fill(text, known)
    kind = paths.scheme(filled)
    if kind:
        message = f"a workdir of `{kind}://` is not supported yet"
        notes.note("task/not-supported-yet", message, ("workdir",), "name a folder of your machine")
    return filled


def _mounts(
    data: Mapping[str, Any], known: dict[str, str], pending: frozenset[str], notes: Notes
) -> dict[str, str]:
    mounts: dict[str, str] = {}
    for written, origin in data.items():
        path: Path = ("file_mounts", written)
        if pending.intersection(paths.variables(written)):
            mounts[written] = paths.fill(origin, known)
            continue
        place = _target(paths.fill(written, known), path, "mount target", notes, key=True)
        if place is None:
            continue
        if place in mounts:
            message = f"two mounts go to {quote(place)}"
            notes.note("task/conflicting-fields", message, path, "keep one of them", True)
        mounts[place] = paths.fill(origin, known)
        kind = paths.scheme(mounts[place])
        if kind:
            message = f"mounting `{kind}://` is not supported yet"
            notes.note("task/not-supported-yet", message, path, "mount a local file or folder")
    return mounts


def _target(text: str, path: Path, what: str, notes: Notes, key: bool = False) -> str | None:
    try:
        return paths.target(text)
    except ValueError as error:
        code = "task/target-outside" if ".." in text.split("/") else "task/wrong-value"
        hint = "a target begins with `/` or `~/`, or lies in the workdir"
        notes.note(code, f"the {what} {quote(text)} cannot be used: {error}", path, hint, key)
        return None


def _checkpoint(
    text: str | None, known: dict[str, str], mounts: Mapping[str, str], notes: Notes
) -> str | None:
    if text is None:
        return None
    place = _target(paths.fill(text, known), ("checkpoint",), "checkpoint folder", notes)
    if place is None:
        return None
    for other in (*mounts, paths.WORKDIR):
        if paths.within(other, place):
            message = f"the checkpoint folder {quote(place)} would hide {quote(other)}"
            notes.note("task/conflicting-fields", message, ("checkpoint",), "give it a folder of its own")
            break
    return place
