"""Task files that cover the language: every field's examples, each way of being wrong, and files written by hand.

Made from the schemas, so a new field is covered by being described. `cases()` is the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import schemas
from tests.oracle import hand

Steps = tuple[str | int, ...]

AROUND: dict[Steps, Any] = {
    ("service",): {"readiness_probe": "/"},
    ("service", "readiness_probe"): {"path": "/"},
    ("service", "replica_policy"): {"min_replicas": 1, "max_replicas": 5, "target_qps_per_replica": 10},
    ("service", "autoscaling"): {"min_replicas": 1, "max_replicas": 5, "target_qps_per_replica": 10},
    ("service", "tls"): {"keyfile": "k", "certfile": "c"},
    ("pool",): {"max_workers": 10},
    ("service", "pool"): {"max_workers": 10},
    ("file_mounts", "/data"): {"name": "my-bucket"},
    ("volumes", "/data"): {},
    ("resources", "volumes", 0): {"path": "/mnt", "name": "n"},
    ("config", "hooks", 0): {"run": "true"},
    ("config", "gcp", "managed_instance_group"): {"run_duration": 60},
    ("workdir",): {"url": "https://host/repo"},
    ("config", "kubernetes", "enable_docker"): {"mode": "ALL"},
}
"""What stands around a field that cannot stand alone."""

KEYS = {"file_mounts": "/data", "volumes": "/data", "managed_secrets": "NAME"}
HEADER = ("execution", "primary_tasks", "termination_delay", "inter_connection")


@dataclass(frozen=True, slots=True)
class Field:
    """A place in the format and what the schema says of it."""

    path: Steps
    schema: Mapping[str, Any]

    @property
    def name(self) -> str:
        return ".".join(str(step) for step in self.path)


@dataclass(frozen=True, slots=True)
class Case:
    """A file, its name, and the kind: good, wrong-type, out-of-range, misspelt or hand."""

    name: str
    kind: str
    text: str
    path: Steps = ()


def all_fields() -> Iterator[Field]:
    """Every field of the format, outer ones first."""
    yield from _below(schemas.load("task.v1.json"), ())


def _below(schema: Mapping[str, Any], path: Steps) -> Iterator[Field]:
    for name, written in schema.get("properties", {}).items():
        known = schemas.plain(written)
        if known.get("x-internal") or (path and path[-1] in ("any_of", "ordered")):
            continue
        here = (*path, name)
        yield Field(here, known)
        for branch in [known, *map(schemas.plain, known.get("anyOf", ()))]:
            yield from _inside(branch, here)


def _inside(schema: Mapping[str, Any], path: Steps) -> Iterator[Field]:
    if path[-1] in ("any_of", "ordered"):
        return
    yield from _below(schema, path)
    extra, items = schema.get("additionalProperties"), schema.get("items")
    if isinstance(extra, Mapping) and path[-1] in KEYS:
        for branch in map(schemas.plain, extra.get("anyOf", [extra])):
            yield from _below(branch, (*path, KEYS[str(path[-1])]))
    if isinstance(items, Mapping):
        for branch in map(schemas.plain, items.get("anyOf", [items])):
            yield from _below(branch, (*path, 0))


def document(path: Steps, value: Any) -> dict[str, Any]:
    """The smallest task that says `value` at `path`."""
    data: dict[str, Any] = {}
    inner: Any = data
    for depth, step in enumerate(path[:-1]):
        following: Any = json.loads(json.dumps(AROUND.get(path[: depth + 1], {})))
        if isinstance(path[depth + 1], int):
            following = []
        if isinstance(inner, list):
            inner.append(following)
        else:
            inner[step] = following
        inner = following
    if isinstance(inner, list):
        inner.append(value)
    else:
        _alone(path, inner)
        inner[path[-1]] = value
    return data


def _alone(path: Steps, inner: dict[str, Any]) -> None:
    """Take away what would contradict the field that is shown."""
    if path[:-1] == ("file_mounts", "/data") and path[-1] == "source":
        inner.clear()
        inner["name"] = "my-bucket"
    if path[:-1] == ("volumes", "/data") and path[-1] not in ("name", "size"):
        inner["name"] = "my-volume"


def text(path: Steps, value: Any) -> str:
    """As a file: JSON is YAML."""
    data = document(path, value)
    if path[0] == "file_mounts" and len(path) > 2:
        _bucket(data["file_mounts"]["/data"], path)
    if path[-1] == "target_qps_per_replica" and isinstance(value, dict):
        data["service"]["load_balancing_policy"] = "instance_aware_least_load"
    if path[-1] == "load_balancing_policy" and value == "instance_aware_least_load":
        policy = {"min_replicas": 1, "max_replicas": 2, "target_qps_per_replica": {"H100:1": 20}}
        data["service"]["replica_policy"] = policy
    if path[0] in HEADER:
        group = {"execution": "parallel", **({} if path[0] == "execution" else {"name": "group"})}
        header = {"name": "group", **group, **data}
        tasks = ({"name": name, "run": "true"} for name in ("trainer", "cache"))
        return "\n---\n".join(json.dumps(one) for one in (header, *tasks)) + "\n"
    return "".join(f"{json.dumps(key)}: {json.dumps(member)}\n" for key, member in data.items())


def _bucket(data: dict[str, Any], path: Steps) -> None:
    """The mode that a detail belongs to, and a source for one that copies."""
    if path[-1] == "mode":
        data["source"] = "s3://my-bucket"
    if path[2] == "type" or "mount_cached" in path:
        data["mode"] = "MOUNT_CACHED"


def cases() -> list[Case]:
    """All of them, by name."""
    found: dict[str, Case] = {}
    for field in all_fields():
        for index, example in enumerate(_good(field.schema)):
            case = Case(f"{field.name}/good-{index}", "good", text(field.path, example), field.path)
            found.setdefault(case.name, case)
        for kind, value in wrong(field.schema):
            case = Case(f"{field.name}/{kind}", kind, text(field.path, value), field.path)
            found.setdefault(case.name, case)
        path = (*field.path[:-1], misspelt(str(field.path[-1])))
        example = next(iter(_good(field.schema)), "x")
        if field.path[0] not in HEADER:
            case = Case(f"{field.name}/misspelt", "misspelt", text(path, example), path)
            found.setdefault(case.name, case)
    for name, content in hand.files().items():
        found[f"hand/{name}"] = Case(f"hand/{name}", "hand", content)
    return list(found.values())


def _good(schema: Mapping[str, Any]) -> Iterator[Any]:
    yield from schema.get("examples", ())
    if schema.get("type") == "boolean":
        yield from (True, False)
    yield from schema.get("enum", ())


def misspelt(name: str) -> str:
    """Two letters of a name changed for each other."""
    return f"{name[:-2]}{name[-1]}{name[-2]}" if len(name) > 2 and name[-1] != name[-2] else f"{name}z"


def wrong(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A value of a type that the field does not take, and one out of its range where it has one."""
    kinds = _kinds(schema)
    for kind, value in (
        ("boolean", True),
        ("array", [[1]]),
        ("object", {"a": {"b": 1}}),
        ("string", "words"),
    ):
        if kind not in kinds:
            yield "wrong-type", value
            break
    branches = [schema, *map(schemas.plain, schema.get("anyOf", ()))]
    low = [one["minimum"] - 1 for one in branches if "minimum" in one]
    low += [one["exclusiveMinimum"] for one in branches if "exclusiveMinimum" in one]
    high = [one["maximum"] + 1 for one in branches if "maximum" in one]
    if low and ("integer" in kinds or "number" in kinds):
        yield "out-of-range", min(low)
    elif high:
        yield "out-of-range", max(high)
    elif any("enum" in one for one in branches):
        yield "out-of-range", "nothing-of-that"
    elif any(one.get("minLength") for one in branches) and "string" in kinds:
        yield "out-of-range", ""
    else:
        yield from (("out-of-range", value) for value in list(_beyond(branches))[:1])


def _beyond(branches: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """What a pattern does not take, and what a limit of the members or of their number refuses."""
    for one in branches:
        if "pattern" in one:
            yield "%%"
        members, values = one.get("items"), one.get("additionalProperties")
        if "maxItems" in one:
            yield [*one["examples"][0]] * (one["maxItems"] + 1)
        elif "minItems" in one:
            yield []
        elif isinstance(members, Mapping):
            yield from ([value] for kind, value in wrong(schemas.plain(members)) if kind == "out-of-range")
        if "propertyNames" in one:
            yield {"%%": "x"}
        elif isinstance(values, Mapping):
            yield from (
                {"/data": value} for kind, value in wrong(schemas.plain(values)) if kind == "out-of-range"
            )


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for one in [schema, *map(schemas.plain, schema.get("anyOf", ()))]:
        kinds = one.get("type", [])
        found |= {kinds} if isinstance(kinds, str) else set(kinds)
    return found
