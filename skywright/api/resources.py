"""Resources and Storage: what a node needs and which bucket it mounts, as the plain data of a task file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from compiler.problem import Problem, Problems, quote
from skywright.api.clouds import Cloud

Data = dict[str, Any]

DEEPEST = 50
"""Lists and mappings in each other; a file has no more."""


def plain(value: Any, field: str, depth: int = 0) -> Any:
    """`value` as a task file would hold it.

    Raises Problems task/wrong-type for what no file can hold, task/too-deep.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if depth > DEEPEST:
        raise Problems(Problem("task/too-deep", f"`{field}` holds lists in lists without an end"))
    if isinstance(value, (Resources, Storage)):
        return value.to_data()
    if isinstance(value, Cloud):
        return value.NAME
    if isinstance(value, type) and issubclass(value, Cloud):
        return value.NAME
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): plain(member, field, depth + 1) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, field, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item, field, depth + 1) for item in value), key=_key)
    kind = type(value).__name__
    hint = "setup and run are bash, as text" if callable(value) else None
    raise Problems(Problem("task/wrong-type", f"`{field}` cannot hold a {quote(kind)}", hint=hint))


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class Storage:
    """A bucket in `storage_mounts`: one that exists (`source`, a URI), or one that is made (`name`).

    `mode` is MOUNT (read and write in place), COPY (copied at launch) or MOUNT_CACHED. Members are those of a
    bucket in `file_mounts` of a task file, and checked when the task is.
    """

    def __init__(
        self,
        name: str | None = None,
        source: str | os.PathLike[str] | list[str] | None = None,
        *,
        store: str | None = None,
        stores: Iterable[str] | None = None,
        persistent: bool | None = None,
        mode: str | None = None,
        type: str | None = None,
        encryption: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        listed = [store] if store is not None else list(stores or ())
        if len(listed) > 1:
            raise Problems(Problem("task/wrong-value", "a bucket is in one store", hint="name one `store`"))
        given = {
            "name": name,
            "source": source,
            "store": getattr(listed[0], "value", listed[0]) if listed else None,
            "persistent": persistent,
            "mode": getattr(mode, "value", mode),
            "type": type,
            "encryption": encryption,
            "config": config,
        }
        self._data: Data = {key: plain(value, key) for key, value in given.items() if value is not None}

    def to_data(self) -> Data:
        """As `file_mounts` of a task file has it."""
        return dict(self._data)

    def __repr__(self) -> str:
        return _shown("Storage", self._data)


class Resources:
    """What each node needs; arguments are the fields of `resources` in a task file, None means not said.

    Memory and disks are in GB: `memory=64` exactly or larger machines marked so, `memory='64+'` at least.
    `accelerators` is 'A100:8', {'A100': 8}, a list (in this order) or a set (the cheapest); `cloud` is `sky.AWS()`
    or a name; `max_hourly_cost` is USD. Values are checked at once: raises Problems task/... . With a `$NAME` in
    them they are checked when the task is planned. A value never changes; `copy` makes another.
    """

    def __init__(
        self,
        cloud: Cloud | type[Cloud] | str | None = None,
        instance_type: str | None = None,
        cpus: str | float | None = None,
        memory: str | float | None = None,
        accelerators: str | Mapping[str, float | None] | list[Any] | set[str] | None = None,
        accelerator_args: Mapping[str, Any] | None = None,
        infra: str | None = None,
        use_spot: bool | None = None,
        job_recovery: str | Mapping[str, Any] | None = None,
        region: str | None = None,
        zone: str | None = None,
        image_id: str | Mapping[str, str] | None = None,
        disk_size: str | float | None = None,
        disk_tier: str | None = None,
        network_tier: str | None = None,
        ports: int | str | list[Any] | tuple[Any, ...] | set[Any] | None = None,
        labels: Mapping[str, str] | None = None,
        *,
        spot_recovery: str | None = None,
        exact: bool | None = None,
        local_disk: str | None = None,
        autostop: bool | int | str | Mapping[str, Any] | None = None,
        priority: int | None = None,
        priority_class: str | None = None,
        volumes: list[Mapping[str, Any]] | None = None,
        max_hourly_cost: float | None = None,
        location: str | None = None,
        quantum_backend: str | None = None,
    ) -> None:
        given: Data = dict(locals())
        del given["self"]
        if isinstance(accelerators, (set, frozenset)):
            given["accelerators"] = dict.fromkeys(sorted(map(str, accelerators)))
        self._data: Data = {name: plain(value, name) for name, value in given.items() if value is not None}
        if "$" not in _key(self._data):
            from skywright.api.compiled import compiled

            compiled({"resources": self._data})

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Resources:
        """Of `resources` in a task file (one machine, without `any_of` and `ordered`)."""
        return cls(**data)

    def to_data(self) -> Data:
        """As `resources` of a task file has it."""
        return dict(self._data)

    def copy(self, **override: Any) -> Resources:
        """The same with other values; None takes a value away."""
        return Resources(**{**self._data, **override})

    def __repr__(self) -> str:
        return _shown("Resources", self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resources) and other._data == self._data

    def __hash__(self) -> int:
        return hash(_key(self._data))


class Ordered(tuple[Resources, ...]):
    """Alternatives of which the first that can be had wins; made by `ordered`."""

    __slots__ = ()


def ordered(options: Iterable[Resources]) -> Ordered:
    """Alternatives in order: `task.set_resources(sky.ordered([first, second]))`."""
    return Ordered(options)


def resources_data(given: Any) -> Data:
    """`resources` of a task file from one Resources (or its data), several of which the cheapest wins, or `Ordered`.

    Raises Problems task/wrong-value when there is none, task/wrong-type for anything else.
    """
    if isinstance(given, (Resources, Mapping)):
        data: Data = plain(given, "resources")
        return data
    if not isinstance(given, (list, tuple, set, frozenset)):
        kind = quote(type(given).__name__)
        raise Problems(
            Problem("task/wrong-type", f"`resources` wants Resources or a list of them, not {kind}")
        )
    options: list[Data] = plain(given, "resources")
    if not options:
        raise Problems(Problem("task/wrong-value", "`resources` is an empty list of alternatives"))
    if len(options) == 1:
        return options[0]
    return {"ordered" if isinstance(given, Ordered) else "any_of": options}


def _shown(name: str, data: Data) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in data.items())})"
