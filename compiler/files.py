"""What lies on the nodes beside scripts, as frozen values: repositories, buckets, volumes, secrets, transfers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository that becomes the workdir. `ref` is a branch, tag or commit; None its default branch."""

    url: str
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class Encryption:
    """How what is written to a bucket is encrypted; `key_id` names the key in the cloud's key service."""

    type: str = "AES256"
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """A bucket at a path of the node.

    `source` is one URI, or files of the user's machine that go into the bucket first. `mode` is MOUNT, COPY or
    MOUNT_CACHED. `store` is S3, GCS ...; None where the source tells it, or the cloud that runs the task.
    """

    name: str | None = None
    source: tuple[str, ...] = ()
    store: str | None = None
    persistent: bool = True
    mode: str = "MOUNT"
    type: str | None = None
    encryption: Encryption | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    internal: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume at a path: one that exists (`name`), or one of `size_gb` that lives as long as the nodes."""

    name: str | None = None
    size_gb: float | None = None
    sub_path: str | None = None
    type: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sync:
    """Which files of file_mounts are copied: patterns, and `incremental` or `full`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    mode: str = "incremental"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Data that is read or written: where, and gigabytes."""

    uri: str
    gb: float


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """A secret that a server keeps; with `mount_path` it goes into that file, else into a variable."""

    name: str
    mount_path: str | None = None
