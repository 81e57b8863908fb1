"""Task and its parts: what a task file means, as frozen values without the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.offer import Accelerator
from compiler.problem import Place
from compiler.quantity import Quantity
from compiler.source import Source

VALID_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?\Z")
"""A deployment's name."""


@dataclass(frozen=True, slots=True)
class Autostop:
    """When idle nodes are given back. None means never; `down` removes them, else they are stopped."""

    idle_s: int | None
    down: bool = False


@dataclass(frozen=True, slots=True)
class Requirements:
    """What each node needs. None means: not asked for."""

    cloud: str | None = None
    region: str | None = None
    zone: str | None = None
    accelerator: Accelerator | None = None
    cpus: Quantity | None = None
    memory_gb: Quantity | None = None
    disk_gb: float | None = None
    use_spot: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    autostop: Autostop | None = None

    def to_data(self) -> dict[str, Any]:
        """Plain data; absent values are left out."""
        data: dict[str, Any] = {
            "cloud": self.cloud,
            "region": self.region,
            "zone": self.zone,
            "accelerator": [self.accelerator.name, self.accelerator.count] if self.accelerator else None,
            "cpus": [self.cpus.value, self.cpus.at_least] if self.cpus else None,
            "memory_gb": [self.memory_gb.value, self.memory_gb.at_least] if self.memory_gb else None,
            "disk_gb": self.disk_gb,
            "use_spot": self.use_spot or None,
            "labels": dict(self.labels) or None,
            "autostop": [self.autostop.idle_s, self.autostop.down] if self.autostop else None,
        }
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Requirements:
        accelerator, autostop = data.get("accelerator"), data.get("autostop")
        cpus, memory = data.get("cpus"), data.get("memory_gb")
        return cls(
            cloud=data.get("cloud"),
            region=data.get("region"),
            zone=data.get("zone"),
            accelerator=Accelerator(*accelerator) if accelerator else None,
            cpus=Quantity(*cpus) if cpus else None,
            memory_gb=Quantity(*memory) if memory else None,
            disk_gb=data.get("disk_gb"),
            use_spot=data.get("use_spot", False),
            labels=data.get("labels", {}),
            autostop=Autostop(*autostop) if autostop else None,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One task. Paths are as written after `$NAME` was filled in: `workdir` and the sources of `file_mounts`
    (target -> source) are of the user's machine, the targets and `checkpoint` of the node: they begin with
    `/` or `~/`.

    A value of None in `envs` or `secrets` is still to be given. `repr` shows no secret.
    """

    name: str | None = None
    workdir: str | None = None
    num_nodes: int = 1
    requirements: Requirements = field(default_factory=Requirements)
    envs: Mapping[str, str | None] = field(default_factory=dict)
    secrets: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    file_mounts: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    setup: str | None = None
    run: str | None = None
    file: str = "task.yaml"
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

    def to_data(self, redact: bool = False) -> dict[str, Any]:
        """Plain data; absent values are left out. `redact` keeps names of secrets and drops values."""
        secrets: dict[str, str | None] = dict(self.secrets)
        data: dict[str, Any] = {
            "name": self.name,
            "workdir": self.workdir,
            "num_nodes": self.num_nodes,
            "resources": self.requirements.to_data() or None,
            "envs": dict(self.envs) or None,
            "secrets": (dict.fromkeys(secrets) if redact else secrets) or None,
            "file_mounts": dict(self.file_mounts) or None,
            "checkpoint": self.checkpoint,
            "setup": self.setup,
            "run": self.run,
            "file": self.file,
        }
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Task:
        """The inverse of `to_data` (without places)."""
        return cls(
            name=data.get("name"),
            workdir=data.get("workdir"),
            num_nodes=data["num_nodes"],
            requirements=Requirements.from_data(data.get("resources", {})),
            envs=data.get("envs", {}),
            secrets=data.get("secrets", {}),
            file_mounts=data.get("file_mounts", {}),
            checkpoint=data.get("checkpoint"),
            setup=data.get("setup"),
            run=data.get("run"),
            file=data["file"],
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
