"""Puts a run's files and its checkpoint folder in place: archives by digest, unpacked with care, made to match."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import tarfile
import time
from typing import Any, Callable, Mapping, Optional

from runtime.phases import target

Fetch = Callable[[str, Callable[[bytes], None]], None]


class Misfit(Exception):
    """The files cannot be put in place, and why."""


def prepare(
    run: Mapping[str, Any], manifest: Mapping[str, Any], fetch: Fetch, cancelled: Callable[[], bool]
) -> None:
    """Everything `run` needs on disk. `fetch(digest, into)` passes a blob on in pieces. Raises Misfit, OSError."""
    notes = os.path.join(manifest["state"], "files")
    os.makedirs(notes, mode=0o700, exist_ok=True)
    for entry in run["files"]:
        if cancelled():
            return
        place = target(entry["target"], manifest["home"])
        note = os.path.join(notes, hashlib.sha256(place.encode()).hexdigest() + ".json")
        before = _noted(note)
        mark = f"{run['id']} {entry['digest']}"
        if before.get("mark") == mark:
            continue
        archive = os.path.join(notes, "archive")
        _download(entry["digest"], archive, fetch, cancelled)
        try:
            names = _unpack(archive, place, entry["kind"], manifest.get("kept"))
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise Misfit(f"{entry['target']}: {error}") from None
        if entry["kind"] == "dir":
            _forget(place, set(before.get("names", ())) - set(names))
        _note(note, {"mark": mark, "names": names})
        os.unlink(archive)
    if run["checkpoint"]:
        link_checkpoint(target(run["checkpoint"], manifest["home"]), manifest.get("kept"))


def link_checkpoint(place: str, kept: Optional[str]) -> None:
    """Make `place` a link to the kept folder; what lies in a folder there already moves into it, never over a file."""
    if kept is None:
        os.makedirs(place, exist_ok=True)
        return
    os.makedirs(kept, exist_ok=True)
    if os.path.islink(place):
        if os.readlink(place) == kept:
            return
        os.unlink(place)
    elif os.path.isdir(place):
        for name in os.listdir(place):
            if not os.path.lexists(os.path.join(kept, name)):
                shutil.move(os.path.join(place, name), os.path.join(kept, name))
        if os.listdir(place):
            os.rename(place, _free_name(place + ".before"))
        else:
            os.rmdir(place)
    elif os.path.lexists(place):
        raise Misfit(f"the checkpoint folder {place} is a file")
    os.makedirs(os.path.dirname(place), exist_ok=True)
    os.symlink(kept, place)


def _download(digest: str, path: str, fetch: Fetch, cancelled: Callable[[], bool]) -> None:
    pause_s = 0.1
    while True:
        total = hashlib.sha256()
        with open(path, "wb") as file:

            def take(piece: bytes, total: Any = total, file: Any = file) -> None:
                if cancelled():
                    raise Misfit("given up")
                total.update(piece)
                file.write(piece)

            try:
                fetch(digest, take)
                break
            except LookupError as error:
                raise Misfit(str(error)) from None
            except OSError as error:
                if cancelled() or error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
        time.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(5.0, pause_s * 2)
    if total.hexdigest() != digest:
        raise Misfit(f"the archive {digest[:12]} arrived damaged")


def _unpack(archive: str, place: str, kind: str, kept: Optional[str]) -> list[str]:
    """Unpack into the folder, or onto the file, `place`; the names that are there now because of it."""
    names = []
    with tarfile.open(archive, "r:*") as tar:
        if kind == "file":
            member = tar.next()
            if member is None or not member.isreg() or tar.next() is not None:
                raise ValueError("the archive of a file must hold that file alone")
            os.makedirs(os.path.dirname(place), exist_ok=True)
            _write(tar, member, place)
            return []
        os.makedirs(place, exist_ok=True)
        for member in tar:
            name = os.path.normpath(member.name)
            if name == ".":
                continue
            if name.startswith(("/", "../")) or name == "..":
                raise ValueError(f"{member.name} lies outside of it")
            _place(tar, member, place, name, kept)
            names.append(name)
    return names


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, root: str, name: str, kept: Optional[str]) -> None:
    _solid_parents(root, name, kept)
    path = os.path.join(root, name)
    if member.isdir():
        if os.path.islink(path) and os.readlink(path) == kept:
            return
        if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
            os.unlink(path)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, member.mode & 0o777 | 0o700)
    elif member.issym():
        _clear(path)
        os.symlink(member.linkname, path)
    elif member.isreg() or member.islnk():
        if member.islnk() and os.path.normpath(member.linkname).startswith(("/", "..")):
            raise ValueError(f"{member.name} links outside of it")
        _write(tar, member, path)
    else:
        raise ValueError(f"{member.name} is neither file, folder nor link")


def _solid_parents(root: str, name: str, kept: Optional[str]) -> None:
    """Nothing is ever written through a link that stands where a folder should be, except our own."""
    path = root
    for part in name.split("/")[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path):
            if os.readlink(path) == kept:
                continue
            os.unlink(path)
        elif os.path.lexists(path) and not os.path.isdir(path):
            os.unlink(path)
        os.makedirs(path, exist_ok=True)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise ValueError(f"{member.name} has no content")
    _clear(path)
    with source, open(path, "wb") as file:
        shutil.copyfileobj(source, file, 256 * 1024)
    os.chmod(path, member.mode & 0o777)


def _clear(path: str) -> None:
    """Make way for a file: a folder that holds something of the job's is not deleted."""
    if os.path.isdir(path) and not os.path.islink(path):
        try:
            os.rmdir(path)
        except OSError:
            raise ValueError(f"{path} is a folder that is not empty") from None
    elif os.path.lexists(path):
        os.unlink(path)


def _forget(root: str, names: set[str]) -> None:
    """Delete what an earlier archive brought and the present one has not; folders only once they are empty."""
    for name in sorted(names, reverse=True):
        path = os.path.join(root, name)
        if os.path.realpath(os.path.dirname(path)) != os.path.normpath(
            os.path.join(os.path.realpath(root), name, "..")
        ):
            continue
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                os.rmdir(path)
            else:
                os.unlink(path)
        except OSError:
            pass


def _free_name(path: str) -> str:
    number = 1
    while os.path.lexists(f"{path}-{number}"):
        number += 1
    return f"{path}-{number}"


def _noted(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(path: str, data: dict[str, Any]) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(data, file)
    os.replace(path + ".new", path)
