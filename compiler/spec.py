"""StackSpec and Foundation: one Pulumi stack as versioned, deterministic data; equal inputs give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from compiler.offer import Accelerator, Market

VERSION = 1


def canonical(data: object) -> bytes:
    """JSON with sorted keys and no spaces: the bytes that digests are made of."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(data: object) -> str:
    """SHA-256 of `canonical(data)`, in hex."""
    import hashlib  # late: it costs more to import than most commands have use for

    return hashlib.sha256(canonical(data)).hexdigest()


@dataclass(frozen=True, slots=True)
class Given:
    """Names of what the team owns: looked up, never made, changed or removed by us.

    `account` is the AWS account, Google project or Azure subscription. `network` and `subnet` are names or ids;
    `role` is what nodes act as (instance profile, service account, managed identity), `permissions_boundary` an AWS
    policy that bounds the role which is made where none is given, `key` the key for disks and
    buckets, `ssh_key` a key pair; `group` an Azure resource group, `bastion` a Bastion of Azure (`GROUP/NAME`);
    `context`, `namespace`, `queue` (of Kueue), `storage_class` and `checkpoint_gb` (the size of the volume for a
    checkpoint folder) are Kubernetes'.
    """

    account: str | None = None
    network: str | None = None
    subnet: str | None = None
    security_groups: tuple[str, ...] = ()
    role: str | None = None
    permissions_boundary: str | None = None
    key: str | None = None
    ssh_key: str | None = None
    group: str | None = None
    context: str | None = None
    bastion: str | None = None
    namespace: str | None = None
    queue: str | None = None
    storage_class: str | None = None
    checkpoint_gb: float | None = None

    def to_data(self) -> dict[str, Any]:
        data = {one.name: getattr(self, one.name) for one in fields(self)}
        data["security_groups"] = list(self.security_groups)
        return {name: value for name, value in data.items() if value not in (None, [])}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Given:
        return cls(**{**data, "security_groups": tuple(data.get("security_groups", ()))})


@dataclass(frozen=True, slots=True)
class Foundation:
    """The network that deployments of one cloud and region share, as a stack of its own.

    `name` is that of the network: task stacks look it up, as they do a network that is given.
    """

    project: str
    stack: str
    cloud: str
    region: str | None
    name: str
    given: Given = field(default_factory=Given)

    @classmethod
    def of(cls, project: str, cloud: str, region: str | None, given: Given | None = None) -> Foundation:
        stack = "-".join(part for part in ("foundation", cloud, region) if part)
        return cls(project, stack, cloud, region, f"skywright-{project}", given or Given())

    def to_data(self) -> dict[str, Any]:
        data = {
            "version": VERSION,
            "project": self.project,
            "stack": self.stack,
            "cloud": self.cloud,
            "region": self.region,
            "name": self.name,
            "given": self.given.to_data(),
        }
        return {key: value for key, value in data.items() if value not in (None, {}, [])}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Foundation:
        """The inverse of `to_data`. Raises ValueError for another version."""
        _check(data)
        names = ("project", "stack", "cloud", "name")
        given = Given.from_data(data.get("given", {}))
        return cls(**{name: data[name] for name in names}, region=data.get("region"), given=given)

    @property
    def digest(self) -> str:
        return digest(self.to_data())


@dataclass(frozen=True, slots=True)
class StackSpec:
    """What one stack must contain. Nothing that recovery changes: no attempt, no instance id, no address.

    `project` and `stack` are Pulumi's names; `deployment`, `task` and `owner` are the user's. `cpus` and
    `memory_gb` are per node and None when the shape decides. `agent` is the content hash of the agent's folder.
    `image` is the machine image by the id that the cloud's API takes, `container` a container image that the job
    runs in. `ports` are single (`8080`) or ranges (`8000-8010`), opened to everybody. `network` is the name of our
    foundation's network, None where `given` names one or the cloud has none. `encrypted_with` is a key of the user's
    for disks. `deadman_s` is how long a node goes on without control; `most_s` its longest life. `priority_class` is
    a name that a cluster knows. `bake` is that of a stack that makes an image: its `name`, the `stage` it is in
    (machine, image, kept) and the `node` it is made of. `buckets` are those of the cloud's own store that nodes may
    reach: URI -> `access` (read or write) and the `key` that encrypts. Keeps to schemas/spec.v1.json.
    """

    project: str
    stack: str
    deployment: str
    cloud: str
    instance_type: str
    market: Market
    nodes: int
    agent: str
    region: str | None = None
    zone: str | None = None
    accelerator: Accelerator | None = None
    cpus: float | None = None
    memory_gb: float | None = None
    disk_gb: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    task: str | None = None
    owner: str | None = None
    image: str | None = None
    container: str | None = None
    ports: tuple[str, ...] = ()
    disk_tier: str | None = None
    network_tier: str | None = None
    network: str | None = None
    encrypted_with: str | None = None
    checkpoint: str | None = None
    deadman_s: float | None = None
    most_s: float | None = None
    priority_class: str | None = None
    bake: Mapping[str, str] | None = None
    buckets: Mapping[str, Mapping[str, str]] | None = None
    given: Given = field(default_factory=Given)

    @property
    def foundation(self) -> Foundation | None:
        """The network this stack needs of us, or None."""
        if self.network is None:
            return None
        made = Foundation.of(self.project, self.cloud, self.region, Given(account=self.given.account))
        return replace(made, name=self.network)

    @property
    def ranks(self) -> range:
        return range(self.nodes)

    def to_data(self) -> dict[str, Any]:
        """Plain data; absent values are left out."""
        data: dict[str, Any] = {
            "version": VERSION,
            "project": self.project,
            "stack": self.stack,
            "deployment": self.deployment,
            "cloud": self.cloud,
            "region": self.region,
            "zone": self.zone,
            "instance_type": self.instance_type,
            "market": self.market.value,
            "nodes": self.nodes,
            "agent": self.agent,
            "accelerator": {"name": self.accelerator.name, "count": self.accelerator.count}
            if self.accelerator
            else None,
            "cpus": self.cpus,
            "memory_gb": self.memory_gb,
            "disk_gb": self.disk_gb,
            "labels": dict(sorted(self.labels.items())),
            "secrets": list(self.secrets),
            "given": self.given.to_data(),
            **{name: _plain(getattr(self, name)) for name in PLAIN},
        }
        return {key: value for key, value in data.items() if value not in (None, {}, [])}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> StackSpec:
        """The inverse of `to_data`. Raises ValueError for another version."""
        _check(data)
        accelerator = data.get("accelerator")
        return cls(
            project=data["project"],
            stack=data["stack"],
            deployment=data["deployment"],
            cloud=data["cloud"],
            instance_type=data["instance_type"],
            market=Market(data["market"]),
            nodes=data["nodes"],
            agent=data["agent"],
            region=data.get("region"),
            zone=data.get("zone"),
            accelerator=Accelerator(accelerator["name"], accelerator["count"]) if accelerator else None,
            cpus=data.get("cpus"),
            memory_gb=data.get("memory_gb"),
            disk_gb=data.get("disk_gb"),
            labels=data.get("labels", {}),
            secrets=tuple(data.get("secrets", ())),
            given=Given.from_data(data.get("given", {})),
            **{name: _frozen(data[name]) for name in PLAIN if name in data},
        )

    @property
    def digest(self) -> str:
        return digest(self.to_data())


PLAIN = (
    "task", "owner", "image", "container", "ports", "disk_tier", "network_tier", "network", "encrypted_with",
    "checkpoint", "deadman_s", "most_s", "priority_class", "bake", "buckets",
)  # fmt: skip
"""Fields of a StackSpec that are written as they are."""


def _check(data: Mapping[str, Any]) -> None:
    if data.get("version") != VERSION:
        raise ValueError(f"spec version {data.get('version')!r}, this program writes {VERSION}")


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value
