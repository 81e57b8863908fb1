"""One task file into a Task: source, schema, overrides of the command line, variables, fields.

Judges the text alone: no folder of the machine is looked at, and a value still to be given is no mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import schemas
from compiler import fields, mounts, requirements, schema, services, source
from compiler.files import KeptSecret
from compiler.filling import Filling
from compiler.normal import normal
from compiler.notes import Notes, Path
from compiler.problem import Problem, Problems, quote
from compiler.source import Source
from compiler.task import Task

_DEEP = ("resources", "envs", "secrets", "file_mounts")
"""Fields whose members an override adds to; others it replaces."""

HEADER = ("execution", "primary_tasks", "termination_delay", "inter_connection")
"""Fields of the first document of several."""


def load(
    content: bytes,
    file: str,
    *,
    clouds: Sequence[str],
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Task:
    """The Task of a file's bytes. `clouds` are enabled; `overrides` has the shape of the file and wins, `defaults`
    has it too and holds where the file says nothing.

    Raises Problems with everything that is wrong at the first stage that finds something, and
    plan/not-runnable-yet for a file of several tasks: `compiler.pipeline` reads those.
    """
    found = source.parse_all(content, file)
    if len(found) > 1:
        from compiler.pipeline import load_all, refusal

        raise Problems(refusal(load_all(content, file, clouds=clouds, overrides=overrides)))
    return load_document(found[0], clouds=clouds, overrides=overrides, defaults=defaults)


def load_document(
    read: Source,
    *,
    clouds: Sequence[str],
    overrides: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Task:
    """The Task of one document. Raises Problems as `load` does."""
    contract = schemas.load("task.v1.json")
    notes = Notes(read)
    data = normal(read.data, contract)
    faults = list(schema.check(data, contract))
    for fault in faults:
        notes.note(fault.code, fault.message, fault.path, fault.hint, fault.key)
    if faults and isinstance(data, dict):
        requirements.check_amounts(data.get("resources"), {tuple(fault.path[:2]) for fault in faults}, notes)
    over = normal(_plain(overrides or {}), contract)
    notes.overridden = frozenset(_leaves(over))
    for fault in schema.check(over, contract):
        notes.note(fault.code, fault.message, fault.path, fault.hint, fault.key)
    if isinstance(data, dict):
        for name in HEADER:
            if name in data:
                hint = (
                    "put it into a first document of its own, and the tasks into the next ones, after `---`"
                )
                message = f"`{name}` is of the header of several tasks"
                notes.note("task/misplaced-field", message, (name,), hint, True)
    stop(notes)
    data = _defaulted(data, normal(_plain(defaults or {}), contract))
    task = _task(_overridden(data, over), over, notes, clouds)
    stop(notes)
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


def stop(notes: Notes) -> None:
    """Raise Problems when there are any, in the order of the file."""
    if notes.problems:
        placed = sorted(
            notes.problems, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0)
        )
        raise Problems(placed)


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


def _defaulted(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`data` over the settings of user and project; a place that the task names drops their place."""
    result = {**defaults, **data}
    for name in _DEEP:
        if isinstance(data.get(name), dict) and isinstance(defaults.get(name), dict):
            result[name] = {**defaults[name], **data[name]}
    mine, base = data.get("resources"), defaults.get("resources")
    if not isinstance(mine, dict) or not isinstance(base, dict):
        return result
    resources = result["resources"]
    if isinstance(base.get("labels"), dict) and isinstance(mine.get("labels"), dict):
        resources["labels"] = {**base["labels"], **mine["labels"]}
    options = [mine, *(mine.get("any_of") or ()), *(mine.get("ordered") or ())]
    for group in (("infra", "cloud", "region", "zone"), ("accelerators", "gpus"), ("any_of", "ordered")):
        if any(name in one for one in options for name in group):
            result["resources"] = resources = {
                name: value for name, value in resources.items() if name in mine or name not in group
            }
    return result


def _overridden(data: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`data` under the flags; those of resources reach every alternative, see compiler/requirements.py."""
    result = dict(data)
    for name, value in over.items():
        if name == "resources":
            continue
        old = result.get(name)
        deep = name in _DEEP and isinstance(value, dict) and isinstance(old, dict)
        result[name] = {**old, **value} if deep and isinstance(old, dict) else value
    return result


def _task(data: Mapping[str, Any], over: Mapping[str, Any], notes: Notes, clouds: Sequence[str]) -> Task:
    envs = _values(data, "envs", notes)
    secrets, kept = _secrets(data, notes)
    _shared(envs, secrets, notes)
    fields.check_login(envs, secrets, notes)
    filling = Filling(envs)
    wanted = filling.settled(data.get("resources") or {})
    options, ordered = requirements.read(wanted, filling.settled(over.get("resources") or {}), notes, clouds)
    local, buckets = mounts.read(data.get("file_mounts") or {}, filling, notes)
    workdir, repository = fields.workdir(data.get("workdir"), filling, notes)
    config, hooks = fields.config(data, notes)
    place = data.get("checkpoint")
    kept_folder = None if place is None or filling.waits(place) else filling.fill(place)
    serving = data.get("service")
    pool = data.get("pool") if data.get("pool") is not None else (serving or {}).get("pool")
    if serving is not None and data.get("pool") is not None:
        message = "a task is a service or a pool, not both"
        notes.note("task/conflicting-fields", message, ("pool",), "keep one of them", True)
    return Task(
        name=data.get("name"),
        workdir=workdir,
        repository=repository,
        num_nodes=int(data.get("num_nodes", 1)),
        requirements=options[0],
        alternatives=options if len(options) > 1 else (),
        ordered=ordered,
        envs=envs,
        secrets=secrets,
        kept_secrets=(*kept, *fields.kept_secrets(data.get("managed_secrets") or (), notes)),
        file_mounts=local,
        buckets=buckets,
        volumes=mounts.volumes(data.get("volumes") or {}, filling, notes),
        sync=fields.sync(data.get("sync")),
        inputs=fields.transfer(data.get("inputs"), filling),
        outputs=fields.transfer(data.get("outputs"), filling),
        checkpoint=mounts.checkpoint(kept_folder, envs, data.get("setup"), {**local, **buckets}, notes)
        if place is None or kept_folder is not None
        else None,
        setup=data.get("setup"),
        run=data.get("run"),
        service=services.service(filling.fill(serving), notes)
        if serving is not None and pool is None
        else None,
        pool=services.pool(pool, ("pool",), notes) if pool is not None else None,
        scheduling_timeout_s=fields.scheduling_timeout(data.get("job") or {}, notes),
        deadline=fields.deadline(filling.fill(data.get("deadline")), notes),
        duration_s=fields.duration(filling.fill(data.get("duration")), notes),
        budget=data.get("budget"),
        isolation=data.get("isolation"),
        networking=fields.networking(data.get("networking")),
        edge=fields.edge(data.get("edge_config"), notes),
        config=config,
        hooks=hooks,
        event_callback=data.get("event_callback"),
        api_server_access=data.get("api_server_access", True),
        internal={name: data[name] for name in fields.INTERNAL if name in data},
        file=notes.source.file,
        hints=tuple(notes.hints),
        source=notes.source,
    )


def _secrets(data: Mapping[str, Any], notes: Notes) -> tuple[dict[str, str | None], tuple[KeptSecret, ...]]:
    """Values by name, and those that are kept elsewhere: `secrets:NAME`, as members of a list or as keys."""
    given = data.get("secrets")
    if isinstance(given, list):
        return {}, tuple(KeptSecret(name.removeprefix("secrets:")) for name in given)
    kept = []
    for name in given or ():
        if name.startswith("secrets:"):
            kept.append(KeptSecret(name.removeprefix("secrets:")))
            if (given or {})[name] is not None:
                hint = "leave the value out, or write the name without `secrets:`"
                message = f"{quote(name)} is kept elsewhere and has no value here"
                notes.note("task/conflicting-fields", message, ("secrets", name), hint, True)
    values = _values(data, "secrets", notes)
    return {name: value for name, value in values.items() if not name.startswith("secrets:")}, tuple(kept)


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
