"""Task and its parts: what a task file means, as frozen values without the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.codec import decode, encode
from compiler.files import KeptSecret, Repository, Storage, Sync, Transfer, Volume
from compiler.needs import Autostop, Requirements
from compiler.problem import Place, Problem
from compiler.serving import Pool, Service
from compiler.source import Source

__all__ = (
    "VALID_NAME",
    "Autostop",
    "Deadline",
    "Edge",
    "Hook",
    "Networking",
    "Requirements",
    "Task",
    "deployment_name",
)

VALID_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?\Z")
"""A deployment's name."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When the task must be done: `span_s` seconds after its start, or `at`, a time of ISO 8601 with its zone."""

    span_s: float | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Networking:
    """The network that the nodes join, by names of the cloud."""

    vpc_name: str | None = None
    subnet_name: str | None = None
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """What edge devices must offer. None: not asked for."""

    bandwidth_mbps: float | None = None
    latency_ms: float | None = None
    power_w: float | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """Bash that runs on the node before one of `events` (stop, preemption, down)."""

    run: str
    events: tuple[str, ...] = ("stop", "preemption", "down")
    timeout_s: int = 3600


@dataclass(frozen=True, slots=True)
class Task:
    """One task. Paths are as written after `$NAME` was filled in: `workdir` and the sources of `file_mounts`
    (target -> local path) are of the user's machine, targets (also of `buckets` and `volumes`) and `checkpoint`
    of the node: they begin with `/` or `~/`.

    `requirements` are those of the first alternative; `alternatives` has all of them when there are several, and
    `ordered` tells whether the first that can be had wins, or the cheapest. A value of None in `envs` or `secrets`
    is still to be given. `hints` tell of old forms. `repr` shows no secret.
    """

    name: str | None = None
    workdir: str | None = None
    repository: Repository | None = None
    num_nodes: int = 1
    requirements: Requirements = field(default_factory=Requirements)
    alternatives: tuple[Requirements, ...] = ()
    ordered: bool = False
    envs: Mapping[str, str | None] = field(default_factory=dict)
    secrets: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    kept_secrets: tuple[KeptSecret, ...] = ()
    file_mounts: Mapping[str, str] = field(default_factory=dict)
    buckets: Mapping[str, Storage] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    sync: Sync | None = None
    inputs: Transfer | None = None
    outputs: Transfer | None = None
    checkpoint: str | None = None
    setup: str | None = None
    run: str | None = None
    service: Service | None = None
    pool: Pool | None = None
    scheduling_timeout_s: int | None = None
    deadline: Deadline | None = None
    duration_s: float | None = None
    budget: float | None = None
    isolation: str | None = None
    networking: Networking | None = None
    edge: Edge | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()
    event_callback: str | None = None
    api_server_access: bool = True
    internal: Mapping[str, Any] = field(default_factory=dict)
    file: str = "task.yaml"
    hints: tuple[Problem, ...] = field(default=(), compare=False, repr=False)
    source: Source | None = field(default=None, compare=False, repr=False)

    def place(self, *path: str | int, key: bool = False) -> Place | None:
        """Where the file says it: `place("resources", "cpus")`, or the nearest thing around it."""
        if self.source is None:
            return None
        for end in range(len(path), 0, -1):
            found = self.source.place(path[:end], key=key or end < len(path))
            if found:
                return found
        return None

    def needed(self) -> tuple[str, ...]:
        """Names of envs and secrets that still have no value."""
        given = {**self.envs, **self.secrets}
        return tuple(sorted(name for name, value in given.items() if value is None))

    @property
    def deployment(self) -> str:
        """The name of the deployment when the user asks for no other."""
        stem = self.file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
        return deployment_name(self.name or stem)

    @property
    def options(self) -> tuple[Requirements, ...]:
        """Every alternative; at least one."""
        return self.alternatives or (self.requirements,)

    def to_data(self, redact: bool = False) -> dict[str, Any]:
        """Plain data; absent values are left out. `redact` keeps names of secrets and drops values."""
        data = encode(self)
        data["num_nodes"], data["file"] = self.num_nodes, self.file
        if redact and self.secrets:
            data["secrets"] = dict.fromkeys(self.secrets)
        if redact:
            for one in (data.get("requirements", {}), *data.get("alternatives", ())):
                one.pop("internal", None)  # SkyPilot keeps a login in it
        if "requirements" in data:
            data["resources"] = data.pop("requirements")
        order = [*_ORDER, *sorted(set(data) - set(_ORDER))]
        return {name: data[name] for name in order if name in data}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Task:
        """The inverse of `to_data` (without places and hints)."""
        given = {_FIELDS.get(name, name): value for name, value in data.items()}
        return decode(cls, given)


_FIELDS = {"resources": "requirements"}
_ORDER = (
    "name",
    "workdir",
    "num_nodes",
    "resources",
    "envs",
    "secrets",
    "file_mounts",
    "checkpoint",
    "setup",
    "run",
    "file",
)


def deployment_name(text: str) -> str:
    """A valid name of a deployment made of any text; a valid one stays as it is, long ones are kept apart."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not name:
        name = "task"
    if not name[0].isalpha():
        name = f"t{name}"
    if len(name) > 40:
        import hashlib

        mark = hashlib.sha256(text.encode()).hexdigest()[:6]
        name = f"{name[:33].rstrip('-')}-{mark}"
    return name
