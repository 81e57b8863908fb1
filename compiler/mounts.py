"""`file_mounts`, `volumes` and `checkpoint`, checked by the schema already, into local mounts, buckets and volumes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from compiler import paths, quantity
from compiler.files import Encryption, Storage, Volume
from compiler.filling import Filling
from compiler.notes import Notes, Path
from compiler.problem import nearest, quote

STORES = {
    "s3": "S3",
    "gs": "GCS",
    "azblob": "AZURE",
    "az": "AZURE",
    "r2": "R2",
    "cos": "IBM",
    "oci": "OCI",
    "nebius": "NEBIUS",
    "cw": "COREWEAVE",
    "vastdata": "VASTDATA",
    "hf": "HF",
}
"""What a bucket's URI begins with -> whose it is."""

CHECKPOINT = "CHECKPOINT_DIR"

_SYSTEM = re.compile(
    r"/(?:bin|boot|etc|home|lib|lib32|lib64|opt|root|run|sbin|tmp|usr|usr/(?:bin|lib|local|sbin|share)|var"
    r"|var/(?:lib|log|run|tmp))\Z"
)
"""Folders of a node that are never given to one task."""

_EXPORTED = re.compile(
    r"""(?m)^[ \t]*(?:export[ \t]+)CHECKPOINT_DIR=(["']?)([~/][^\s"';&|$`]*)\1[ \t]*(?:[;&#].*)?$"""
)
_INTERNAL = ("_is_sky_managed", "_bucket_sub_path", "_force_delete")


def store_of(uri: str) -> str | None:
    """S3, GCS ... of a bucket's URI (Azure's own addresses too); None for anything else."""
    kind = paths.scheme(uri)
    if kind in ("https", "http") and ".blob.core.windows.net" in uri.split("/")[2]:
        return "AZURE"
    return STORES.get(kind or "")


def read(
    data: Mapping[str, Any], filling: Filling, notes: Notes
) -> tuple[dict[str, str], dict[str, Storage]]:
    """(target -> local path, target -> bucket). Targets are made plain; one that waits for a value is not judged."""
    local: dict[str, str] = {}
    buckets: dict[str, Storage] = {}
    for written, value in data.items():
        path: Path = ("file_mounts", written)
        place: str | None = filling.fill(written)
        origin = filling.fill(value)
        if not filling.waits(written):
            place = target(str(place), path, "mount target", notes, key=True)
        if place is None:
            continue
        if place in local or place in buckets:
            message = f"two mounts go to {quote(place)}"
            notes.note("task/conflicting-fields", message, path, "keep one of them", True)
        if isinstance(origin, Mapping):
            judged = not filling.waits(value)
            buckets[place] = _storage(origin, path, notes if judged else Notes(notes.source))
        elif paths.scheme(origin):
            _check_uri(origin, path, notes)
            buckets[place] = Storage(source=(origin,), store=store_of(origin), mode="COPY")
        else:
            local[place] = origin
    return local, buckets


def target(text: str, path: Path, what: str, notes: Notes, key: bool = False) -> str | None:
    """A path on the node made plain, None (and a note) for one that cannot be used."""
    try:
        return paths.target(text)
    except ValueError as error:
        code = "task/target-outside" if ".." in text.split("/") else "task/wrong-value"
        hint = "a target begins with `/` or `~/`, or lies in the workdir"
        notes.note(code, f"the {what} {quote(text)} cannot be used: {error}", path, hint, key)
        return None


def _check_uri(uri: str, path: Path, notes: Notes) -> None:
    kind = paths.scheme(uri)
    if kind is None or store_of(uri):
        return
    meant = nearest(kind, STORES)
    hint = f"did you mean `{meant}://`?" if meant else "buckets begin with " + ", ".join(STORES)
    notes.note("task/wrong-value", f"`{kind}://` is no kind of bucket", path, hint)


def _storage(data: Mapping[str, Any], path: Path, notes: Notes) -> Storage:
    name, source, mode = data.get("name"), data.get("source"), data.get("mode") or "MOUNT"
    sources = tuple(source) if isinstance(source, list) else (source,) if source else ()
    store = data.get("store")
    for one in sources:
        _check_uri(one, (*path, "source"), notes)
        if store_of(one) and store and store != store_of(one):
            message = f"the source is of {store_of(one)}, and the store is {store}"
            notes.note("task/conflicting-fields", message, (*path, "store"), "leave `store` out")
    if store != "VOLUME":
        _check_named(name, sources, mode, path, notes)
    _check_mode(data, mode, path, notes)
    encryption = data.get("encryption")
    return Storage(
        name=name,
        source=sources,
        store=store or (store_of(sources[0]) if len(sources) == 1 else None),
        persistent=data.get("persistent", True),
        mode=mode,
        type=data.get("type"),
        encryption=_encryption(encryption) if encryption is not None else None,
        config=data.get("config") or {},
        internal={key: data[key] for key in _INTERNAL if key in data},
    )


def _check_mode(data: Mapping[str, Any], mode: str, path: Path, notes: Notes) -> None:
    """Details are of one mode."""
    config = data.get("config") or {}
    for at, value, wanted in (
        ((*path, "type"), data.get("type"), "MOUNT_CACHED"),
        ((*path, "config", "mount_cached"), config.get("mount_cached"), "MOUNT_CACHED"),
        ((*path, "config", "mount"), config.get("mount"), "MOUNT"),
    ):
        if value is not None and mode != wanted:
            message = f"`{at[-1]}` is of `mode: {wanted}`, and the mode is {mode}"
            notes.note(
                "task/conflicting-fields", message, at, f"write `mode: {wanted}`, or leave it out", True
            )


def _check_named(name: str | None, sources: tuple[str, ...], mode: str, path: Path, notes: Notes) -> None:
    if name and paths.scheme(name):
        message = f"the bucket's name {quote(name)} is a URI"
        notes.note("task/wrong-value", message, (*path, "name"), f"write `source: {name}`")
    elif not sources and not name:
        hint = "`source` for one that exists, `name` for one that is made"
        notes.note("task/missing-field", "the bucket has neither `source` nor `name`", path, hint, True)
    elif not sources and mode == "COPY":
        message = "nothing can be copied from a bucket that is made first"
        notes.note("task/missing-field", message, path, "add `source`, or take `mode: MOUNT`", True)
    elif sources and not name and not any(map(paths.scheme, sources)):
        message = "the bucket for local files has no `name`"
        notes.note("task/missing-field", message, path, "name the bucket that they go into", True)


def _encryption(data: Mapping[str, Any]) -> Encryption:
    return Encryption(data.get("type") or "AES256", data.get("key_id"))


def volumes(data: Mapping[str, Any], filling: Filling, notes: Notes) -> dict[str, Volume]:
    """Target -> volume."""
    found: dict[str, Volume] = {}
    for written, given in data.items():
        path: Path = ("volumes", written)
        if filling.waits(written) or filling.waits(given):
            continue
        value = filling.fill(given)
        place = target(filling.fill(written), path, "mount target", notes, key=True)
        if place is None:
            continue
        if not isinstance(value, Mapping):
            found[place] = Volume(name=value)
            continue
        size = value.get("size")
        if (size is None) == (value.get("name") is None):
            hint = "`name` for a volume that exists, `size` for one that lives as long as the nodes"
            message = "a volume has a `name` or a `size`, and not both"
            notes.note(
                "task/missing-field" if size is None else "task/conflicting-fields", message, path, hint, True
            )
            continue
        try:
            gigabytes = None if size is None else quantity.size(size, plus_allowed=False).value
        except ValueError as error:
            message = f"`size` cannot be {quote(str(size))}"
            notes.note("task/wrong-value", message, (*path, "size"), str(error))
            continue
        found[place] = Volume(
            name=value.get("name"),
            size_gb=gigabytes,
            sub_path=value.get("sub_path"),
            type=value.get("type"),
            labels=value.get("labels") or {},
            config=value.get("config") or {},
        )
    return found


def checkpoint(
    text: str | None, envs: Mapping[str, str | None], setup: str | None, mounts: Collection[str], notes: Notes
) -> str | None:
    """The folder that is kept: the field's, else the CHECKPOINT_DIR of envs or of an export in setup."""
    if text is None:
        return _by_convention(envs.get(CHECKPOINT) or _exported(setup), mounts)
    if "://" in text:
        message = f"the checkpoint folder cannot be {quote(text)}: it is a folder of the node"
        notes.note(
            "task/wrong-value",
            message,
            ("checkpoint",),
            "mount the bucket by `file_mounts`, and name its folder",
        )
        return None
    place = target(text, ("checkpoint",), "checkpoint folder", notes)
    hidden = _hidden(place, mounts) if place else None
    if place and _SYSTEM.match(place):
        message = f"the checkpoint folder cannot be {quote(place)}: it would hide what the system has there"
        notes.note("task/wrong-value", message, ("checkpoint",), "name a folder below it, or in `~/`")
    elif hidden:
        message = f"the checkpoint folder {quote(place or '')} would hide {quote(hidden)}"
        notes.note("task/conflicting-fields", message, ("checkpoint",), "give it a folder of its own")
    return place


def _exported(setup: str | None) -> str | None:
    found = _EXPORTED.search(setup or "")
    return found[2] if found else None


def _by_convention(text: str | None, mounts: Collection[str]) -> str | None:
    """One that cannot be kept is no mistake: nobody asked for it by name."""
    if not text or not text.startswith(("/", "~/")) or paths.variables(text):
        return None
    try:
        place = paths.target(text)
    except ValueError:
        return None
    return None if _SYSTEM.match(place) or _hidden(place, mounts) else place


def _hidden(place: str, mounts: Collection[str]) -> str | None:
    return next((other for other in (*mounts, paths.WORKDIR) if paths.within(other, place)), None)
