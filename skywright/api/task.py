"""Task: what to run and where, built in Python, with the meaning of a task file of the same fields."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from compiler.problem import Problem, Problems
from skywright.api import dag
from skywright.api.compiled import compiled
from skywright.api.resources import Data, Ordered, Resources, Storage, plain, resources_data

if TYPE_CHECKING:
    from compiler.task import Task as CompiledTask

Given = Resources | Mapping[str, Any] | list[Resources] | set[Resources] | tuple[Resources, ...] | Ordered
Env = str | int | float | bool | None
T = TypeVar("T")


class Field(Generic[T]):
    """One field of the task's data as an attribute; None when it is not said."""

    def __init__(self, default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, task: None, owner: type) -> Field[T]: ...
    @overload
    def __get__(self, task: Task, owner: type) -> T: ...
    def __get__(self, task: Task | None, owner: type) -> Field[T] | T:
        if task is None:
            return self
        value: T = task._data.get(self.name, self.default)
        return value

    def __set__(self, task: Task, value: T) -> None:
        task._changed({self.name: value})


class Task:
    """One task. Arguments are the fields of a task file; None means not said.

    `setup` and `run` are bash. `resources` (or `set_resources`) takes Resources, a list or set of them (the
    cheapest wins) or `ordered([...])`. `file_mounts`: path on the node -> local path or URI; `storage_mounts`:
    path -> Storage or URI, mounted. `duration` and `deadline` are hours or a text with a unit, `budget` is USD.
    Raises Problems task/... as soon as a value is wrong.
    """

    name = Field[str | None](None)
    setup = Field[str | None](None)
    run = Field[str | None](None)
    workdir = Field[Any](None)
    num_nodes = Field[int](1)

    def __init__(
        self,
        name: str | None = None,
        *,
        setup: str | None = None,
        run: str | None = None,
        envs: Mapping[str, Env] | None = None,
        secrets: Mapping[str, Env] | list[str] | None = None,
        workdir: str | os.PathLike[str] | Mapping[str, str | None] | None = None,
        num_nodes: int | None = None,
        resources: Given | None = None,
        file_mounts: Mapping[str, Any] | None = None,
        storage_mounts: Mapping[str, Storage | str] | None = None,
        volumes: Mapping[str, Any] | None = None,
        sync: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        checkpoint: str | None = None,
        service: Mapping[str, Any] | None = None,
        pool: Mapping[str, Any] | None = None,
        deadline: str | float | None = None,
        duration: str | float | None = None,
        budget: float | None = None,
        isolation: str | None = None,
        networking: Mapping[str, Any] | None = None,
        edge_config: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        event_callback: str | None = None,
    ) -> None:
        given: Data = dict(locals())
        for apart in ("self", "resources", "storage_mounts"):
            del given[apart]
        self._data: Data = {}
        self._origin: tuple[bytes, str] | None = None
        if resources is not None:
            given["resources"] = resources_data(resources)
        self._changed(given)
        if storage_mounts is not None:
            self.set_storage_mounts(storage_mounts)
        found = dag.current()
        if found is not None:
            found.add(self)

    # Of files and of data.

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Task:
        """The task of a file, with its places in messages until it is changed here.

        Raises Problems task/..., and plan/not-runnable-yet for a file of several tasks.
        """
        from compiler import source
        from compiler.load import load
        from skywright.cli.taskfile import read_file
        from stacks import CLOUDS

        shown = os.fspath(path)
        content = read_file(shown)
        load(content, shown, clouds=tuple(CLOUDS))
        task = cls()
        read = source.parse(content, shown)
        task._data = {key: value for key, value in read.data.items() if value is not None}
        for kind in ("envs", "secrets"):
            values = task._data.get(kind)
            if isinstance(values, dict):
                # A number is what stands in the file, such as 010.
                task._data[kind] = {
                    name: value if value is None or isinstance(value, str) else read.written((kind, name))
                    for name, value in values.items()
                }
        task._origin = content, shown
        return task

    @classmethod
    def from_yaml_config(cls, config: Mapping[str, Any]) -> Task:
        """The task of data with a task file's shape. Raises Problems task/..."""
        task = cls()
        task._changed(dict(config))
        return task

    def to_yaml_config(self, use_user_specified_yaml: bool = False) -> Data:
        """The task as a task file would hold it, values of secrets included."""
        return copy.deepcopy(self._data)

    def compiled(self, defaults: Mapping[str, Any] | None = None) -> CompiledTask:
        """The compiler's Task of it, over `defaults` of user and project. Raises Problems task/..."""
        if self._origin is None:
            return compiled(self._data, defaults)
        from compiler.load import load
        from stacks import CLOUDS

        return load(*self._origin, clouds=tuple(CLOUDS), defaults=defaults)

    @property
    def file(self) -> Path | None:
        """The task file, of one that was not changed since it was read."""
        return Path(self._origin[1]) if self._origin else None

    # Fields.

    @property
    def envs(self) -> dict[str, Env]:
        """A copy of the variables."""
        return dict(self._data.get("envs") or {})

    @property
    def resources(self) -> Data:
        """A copy of `resources`, as a task file has it."""
        found: Data = copy.deepcopy(self._data.get("resources") or {})
        return found

    @property
    def file_mounts(self) -> dict[str, Any]:
        """A copy of all mounts, buckets too: path on the node -> local path, URI, or a bucket's data."""
        found: dict[str, Any] = copy.deepcopy(self._data.get("file_mounts") or {})
        return found

    def set_resources(self, resources: Given) -> Task:
        """Replace `resources`; a list or set means the cheapest of them. Returns the task."""
        return self._changed({"resources": resources_data(resources)})

    def set_resources_override(self, override: Mapping[str, Any]) -> Task:
        """Put single fields over `resources` and every alternative in it. Returns the task."""
        over: Any = plain(override, "resources")
        data = self.resources
        if not isinstance(over, dict):
            raise Problems(Problem("task/wrong-type", "an override of `resources` is a mapping"))
        for name in ("any_of", "ordered"):
            if name in data:
                data[name] = [{**one, **over} for one in data[name]]
        return self._changed({"resources": {**data, **over}})

    def set_file_mounts(self, file_mounts: Mapping[str, Any] | None) -> Task:
        """Replace the mounts of files and URIs (not those of `set_storage_mounts`). Returns the task."""
        return self._mounted(file_mounts, replaced=lambda value: not isinstance(value, dict))

    def update_file_mounts(self, file_mounts: Mapping[str, Any]) -> Task:
        """Add mounts. Returns the task."""
        return self._mounted(file_mounts, replaced=lambda value: False)

    def set_storage_mounts(self, storage_mounts: Mapping[str, Storage | str] | None) -> Task:
        """Replace the mounted buckets; a URI is mounted for reading and writing. Returns the task."""
        return self._mounted(_buckets(storage_mounts), replaced=lambda value: isinstance(value, dict))

    def update_storage_mounts(self, storage_mounts: Mapping[str, Storage | str]) -> Task:
        """Add mounted buckets. Returns the task."""
        return self._mounted(_buckets(storage_mounts), replaced=lambda value: False)

    def set_volumes(self, volumes: Mapping[str, Any]) -> Task:
        """Replace the volumes. Returns the task."""
        return self._changed({"volumes": volumes})

    def set_envs(self, envs: Mapping[str, Env] | None) -> Task:
        """Replace the variables. Returns the task."""
        return self._changed({"envs": envs})

    def update_envs(self, envs: Mapping[str, Env] | Iterable[tuple[str, Env]] | None) -> Task:
        """Add variables; None is a value still to be given. Returns the task."""
        more = envs.items() if isinstance(envs, Mapping) else envs or ()
        return self._changed({"envs": {**self.envs, **dict(more)}})

    def set_secrets(self, secrets: Mapping[str, Env] | list[str] | None) -> Task:
        """Replace the secrets. Returns the task."""
        return self._changed({"secrets": secrets})

    def update_secrets(self, secrets: Mapping[str, Env] | Iterable[tuple[str, Env]]) -> Task:
        """Add secrets, which no plan, state or log holds. Returns the task."""
        there = self._data.get("secrets") or {}
        if isinstance(there, list):
            there = dict.fromkeys(there)
        return self._changed({"secrets": {**there, **dict(secrets)}})

    def set_service(self, service: Mapping[str, Any] | None) -> Task:
        """Replace the service. Returns the task."""
        return self._changed({"service": service})

    def set_inputs(self, inputs: str, estimated_size_gigabytes: float) -> Task:
        """Where the data lies (a URI) and its size in GB. Returns the task."""
        return self._changed({"inputs": {inputs: estimated_size_gigabytes}})

    def set_outputs(self, outputs: str, estimated_size_gigabytes: float) -> Task:
        """Where results go (a URI) and their size in GB. Returns the task."""
        return self._changed({"outputs": {outputs: estimated_size_gigabytes}})

    def _mounted(self, mounts: Mapping[str, Any] | None, replaced: Callable[[Any], bool]) -> Task:
        kept = {path: value for path, value in self.file_mounts.items() if not replaced(value)}
        return self._changed({"file_mounts": {**kept, **(mounts or {})}})

    def _changed(self, values: Mapping[str, Any]) -> Task:
        """Take values over, None for away; the task stays as it was when they are wrong."""
        data = {**self._data, **{name: plain(value, name) for name, value in values.items()}}
        data = {name: value for name, value in data.items() if value is not None and value != {}}
        waits = "$" in str(data.get("resources"))
        # Names that resources wait for may still come with `update_envs`.
        compiled({name: value for name, value in data.items() if not (waits and name == "resources")})
        self._data, self._origin = data, None
        return self

    def __rshift__(self, then: Task) -> Task:
        """`a >> b`: b begins when a has ended. Returns b, so that chains can be written."""
        dag.needed().add_edge(self, then)
        return then

    def __repr__(self) -> str:
        run = (self.run or "").strip().splitlines()
        return f"Task({self.name or (run[0][:40] if run else 'nothing to run')!r})"


def _buckets(mounts: Mapping[str, Storage | str] | None) -> dict[str, Data]:
    found: dict[str, Data] = {}
    for path, bucket in (mounts or {}).items():
        data = {"source": bucket} if isinstance(bucket, str) else plain(bucket, "storage_mounts")
        if not isinstance(data, dict):
            says = f"`storage_mounts` wants a Storage or a URI at `{path}`"
            raise Problems(Problem("task/wrong-type", says))
        found[path] = data
    return found
