"""Buckets of a task as nodes are told of them, who may read and write them, and which of them cannot be had yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from compiler import paths
from compiler.files import Storage
from compiler.task import Task

REACHED = ("S3", "GCS", "AZURE")
"""Stores that nodes reach."""

OWN = {"aws": "S3", "gcp": "GCS"}
"""Cloud -> the store that its nodes reach as what they are; for others credentials come with the run."""

SECRETS = "SKYWRIGHT_BUCKETS_"
"""How the secret begins that holds credentials for a store (runtime/rclone.py has the same word)."""

_PRESETS: dict[str, dict[str, Any]] = {
    "MODEL_CHECKPOINT_RO": {"vfs_read_chunk_streams": 16, "vfs_read_chunk_size": "32M"},
    "MODEL_CHECKPOINT_RW": {"vfs_read_chunk_streams": 16, "vfs_read_chunk_size": "32M", "transfers": 8},
    "DATASET_RO": {"vfs_read_chunk_streams": 0, "vfs_read_chunk_size": "8M"},
    "DATASET_RW": {"vfs_read_chunk_streams": 0, "vfs_read_chunk_size": "8M", "transfers": 16},
}


def why_not(storage: Storage) -> tuple[str, str] | None:
    """A sentence and a hint for what cannot be had yet, whatever the cloud; None for a bucket that can."""
    store = storage.store or ""
    if store == "VOLUME":
        return "volumes are not attached yet", "mount a bucket"
    if not storage.source or not all(map(paths.scheme, storage.source)):
        what = (
            "buckets are not made yet"
            if not storage.source
            else "files of yours are not put into buckets yet"
        )
        return what, "make the bucket with the cloud's own tools, and name it: `source: s3://NAME/PATH`"
    if len(storage.source) > 1:
        return "several sources do not become one mount yet", "mount each at a path of its own"
    if store not in REACHED:
        return f"buckets of {store} are not reached yet", f"reached are {', '.join(REACHED)}"
    name, _, account = _parts(storage.source[0])
    if not name:
        return "the URI names no bucket", "write `s3://NAME/PATH`"
    if store == "AZURE" and not account:
        return (
            "the URI does not say which storage account the container is in",
            "write `https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH`",
        )
    if store != "S3" and storage.encryption and storage.encryption.key_id:
        return (
            f"a key for what is written to {store} is not passed on yet",
            "make it the bucket's default key",
        )
    return None


def rows(task: Task) -> list[dict[str, Any]]:
    """What the agent is told, by `buckets` of schemas/desired.v1.json; in the order of their targets."""
    found = [_row(target, one) for target, one in sorted(task.buckets.items()) if why_not(one) is None]
    chosen = {"include": list(task.sync.include), "exclude": list(task.sync.exclude)} if task.sync else {}
    for row in found:
        if row["mode"] == "COPY":
            row.update({name: given for name, given in chosen.items() if given})
            if task.sync and task.sync.mode == "full":
                row["options"] = {"ignore_times": "true"}
    return found


def secret_names(task: Task, cloud: str) -> tuple[str, ...]:
    """Secrets that nodes of a cloud need for the task's buckets."""
    stores = {row["store"] for row in rows(task)}
    return tuple(sorted(SECRETS + store for store in stores if OWN.get(cloud) != store))


def needed(secrets: Mapping[str, str], cloud: str) -> dict[str, str]:
    """Without credentials for a store that nodes of the cloud reach as what they are."""
    own = SECRETS + OWN.get(cloud, "")
    return {name: value for name, value in secrets.items() if name != own}


def granted(told: Iterable[Mapping[str, Any]], cloud: str) -> dict[str, dict[str, str]]:
    """URI -> what nodes may do there: `access` is read or write, `key` encrypts; of the cloud's own store alone."""
    found: dict[str, dict[str, str]] = {}
    for row in told:
        if OWN.get(cloud) != row["store"]:
            continue
        uri = f"{'s3' if row['store'] == 'S3' else 'gs'}://{row['bucket']}/{row['path']}".rstrip("/")
        writes = row["mode"] != "COPY" and not row["read_only"]
        before = found.get(uri, {})
        access = "write" if writes or before.get("access") == "write" else "read"
        key = {"key": row["key"]} if row.get("key") else {}
        found[uri] = {**before, **key, "access": access}
    return dict(sorted(found.items()))


def merged(
    before: Mapping[str, Mapping[str, str]] | None, more: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]] | None:
    """What may be done by either of two grants; None for nothing."""
    found = {uri: dict(may) for uri, may in (before or {}).items()}
    for uri, may in more.items():
        had = found.get(uri, {})
        found[uri] = {**had, **may, **({"access": "write"} if had.get("access") == "write" else {})}
    return dict(sorted(found.items())) or None


def _row(target: str, one: Storage) -> dict[str, Any]:
    uri = one.source[0]
    name, path, account = _parts(uri)
    config = one.config.get("mount_cached" if one.mode == "MOUNT_CACHED" else "mount") or {}
    options = {**_PRESETS.get(one.type or "", {}), **config}
    read_only = bool(options.pop("read_only", (one.type or "").endswith("_RO")))
    options.pop("hf_mount_args", None)
    row: dict[str, Any] = {
        "target": target,
        "uri": uri,
        "store": one.store,
        "bucket": name,
        "path": path,
        "mode": one.mode,
        "read_only": read_only,
        "options": dict(sorted(options.items())),
    }
    if account:
        row["account"] = account
    if one.encryption and one.store == "S3":
        row["encryption"] = one.encryption.type
        row.update({"key": one.encryption.key_id} if one.encryption.key_id else {})
    return row


def _parts(uri: str) -> tuple[str, str, str]:
    """Bucket (or container), path in it, account."""
    if paths.scheme(uri) in ("http", "https"):
        host, _, path = re.sub("[?#].*", "", uri.partition("://")[2]).partition("/")
        name, _, path = path.strip("/").partition("/")
        return name, path.strip("/"), host.rpartition("@")[2].partition(":")[0].lower().partition(".")[0]
    name, _, path = uri.partition("://")[2].strip("/").partition("/")
    return name, path.strip("/"), ""
