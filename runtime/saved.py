"""A checkpoint in the deployment's bucket: one manifest for all ranks, which each of them changes, over parts.

The format is docs/move.md's: `checkpoint/manifest.json` over `checkpoint/parts/SHA256`. A rank writes what it changed
on top of what is there, and only if nobody wrote in between: else it reads again. The manifest has two members that
control needs not: `by` (task and attempt of who wrote last) and `old` (parts that nothing names any more, since when).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import time
from typing import Any, Callable, Mapping, NamedTuple, Optional

from runtime.calls import FAILED, Refused
from runtime.store import Store

PART = 32 << 20
"""Bytes that are held in memory at once; as control has it."""
MANIFEST, PARTS = "checkpoint/manifest.json", "checkpoint/parts"
OLD_S, TRIES = 120.0, 50
"""For how long a part stays that nothing names; tries to write the manifest."""
BUSY = (429, 503)
"""What a store answers when one object is written too often."""

Entry = dict[str, Any]


class Held(NamedTuple):
    """What the bucket has: entries by path."""

    files: dict[str, Entry]
    by: dict[str, Any]
    old: dict[str, float]
    mark: str


def read(store: Store) -> Held:
    """Raises as a Store does, and ValueError, KeyError or TypeError for what is no manifest."""
    found = store.get(MANIFEST)
    if found is None or found.content is None:
        return Held({}, {}, {}, "")
    data = json.loads(found.content)
    if data["version"] != 1:
        raise ValueError(f"its manifest has version {data['version']}")
    for row in data["files"]:
        if not {"", ".", ".."}.isdisjoint(row["path"].split("/")):
            raise ValueError(f"{row['path']!r} is not a file of it")
    files = {str(row["path"]): row for row in data["files"]}
    return Held(files, data.get("by", {}), data.get("old", {}), found.mark)


def _parts(files: Mapping[str, Entry]) -> set[str]:
    return {name for entry in files.values() for name in entry.get("parts", ())}


def upload(store: Store, path: str, full: str, check: Callable[[], None]) -> Optional[Entry]:
    """Bring the parts of the file `full` that are not there; its entry, or None when it is gone. `check()` is called
    before each of them, and may raise."""
    try:
        if os.path.islink(full):
            return {"path": path, "link": os.readlink(full)}
        parts, size = [], 0
        with open(full, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            while content := file.read(PART):
                check()
                name = hashlib.sha256(content).hexdigest()
                if store.size(f"{PARTS}/{name}") != len(content):
                    store.put(f"{PARTS}/{name}", content)
                parts.append(name)
                size += len(content)
                del content  # never two of them at once in memory
    except FileNotFoundError:
        return None
    return {"path": path, "mode": mode, "bytes": size, "parts": parts}


def download(store: Store, entry: Entry, path: str, heard: Callable[[], None]) -> None:
    """The file of an entry, onto a name that is free; `heard()` is called for each piece, and may raise. Raises
    OSError for what is not what the manifest says."""
    if "link" in entry:
        os.symlink(entry["link"], path)
        return
    with open(path, "wb") as file:
        for name in entry["parts"]:
            digest = hashlib.sha256()

            def take(piece: bytes, digest: Any = digest) -> None:
                heard()
                digest.update(piece)
                file.write(piece)

            if store.get(f"{PARTS}/{name}", into=take) is None or digest.hexdigest() != name:
                raise OSError(f"a part of {entry['path']} is missing or damaged")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(path, int(entry["mode"]) & 0o777)


def commit(
    store: Store,
    mine: Mapping[str, Any],
    entries: Mapping[str, Entry],
    gone: Mapping[str, Entry],
    check: Callable[[], None],
) -> None:
    """Put what this node changed and removed into the manifest that is there; nothing of an attempt that is not the
    newest. `mine`: task and attempt; `gone`: entries as this node knew them. Raises as a Store does."""
    for number in range(TRIES):
        check()
        held = read(store)
        if held.by.get("task") == mine["task"] and held.by["attempt"] > mine["attempt"]:
            return  # what is here is of no use any more
        files = {**held.files, **entries}
        for path, entry in gone.items():
            if files.get(path) == entry:
                del files[path]
        if files == held.files:
            return
        now, used = time.time() + store.skew_s, _parts(files)
        old = {name: at for name, at in held.old.items() if name not in used}
        old.update(dict.fromkeys(_parts(held.files) - used, now))
        dead = [name for name, at in old.items() if now - at > OLD_S]
        rows = [files[path] for path in sorted(files)]
        data = {"version": 1, "files": rows, "by": mine}
        data["old"] = {name: at for name, at in old.items() if name not in dead}
        content = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
        if _swapped(store, content, held.mark):
            with contextlib.suppress(Refused, *FAILED):  # what is of no use costs little
                for name in dead:
                    store.remove(f"{PARTS}/{name}")
            return
        time.sleep(random.uniform(0, min(2.0, 0.05 * (number + 1))))
    raise OSError("other nodes write all the time")


def _swapped(store: Store, content: bytes, mark: str) -> bool:
    try:
        return store.swap(MANIFEST, content, mark)
    except Refused as error:
        if error.status not in BUSY:
            raise
        return False
