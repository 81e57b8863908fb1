"""Puts in place what a run needs: files by digest, unpacked with care and made to match; checkpoint; container."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import time
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from runtime import container
from runtime.container import Inside
from runtime.paths import target

Fetch = Callable[[str, Callable[[bytes], None]], None]


PULL_S, ANSWER_S = 3600.0, 120.0
"""Longest that an image may take to arrive, and that the container engine may take for anything else."""


class Misfit(Exception):
    """Something that the run needs cannot be put in place, and why."""


def prepare(
    run: Mapping[str, Any], manifest: Mapping[str, Any], fetch: Fetch, cancelled: Callable[[], bool]
) -> None:
    """Files and checkpoint folder of `run` on disk. `fetch(digest, into)` passes a blob on in pieces. Raises Misfit,
    OSError."""
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


def inside(run: Mapping[str, Any], manifest: Mapping[str, Any]) -> Optional[Inside]:
    """The run's container; None of a run that wants none. Raises Misfit when it is gone or cannot run scripts."""
    if not run.get("container"):
        return None
    engine = container.find(os.environ)
    found = _inside(engine, container.name(manifest["node"], run["id"])) if engine else None
    if found is None:
        raise Misfit("the run's container is gone")
    if not found.bash:
        raise Misfit(f"the image {container.image(run)} has no bash, with which setup and run are read")
    return found


def discard(manifest: Mapping[str, Any], keep: int = 0) -> None:
    """Remove the containers of all runs but `keep`. What cannot be removed now is tried again the next time."""
    notes = os.path.join(manifest["state"], "containers")
    for called in os.listdir(notes) if os.path.isdir(notes) else ():
        if called == container.name(manifest["node"], keep):
            continue
        with contextlib.suppress(OSError, Misfit):
            with open(os.path.join(notes, called), encoding="utf-8") as file:
                engine = container.Engine("", file.read())
            if ask(container.remove(engine, called), {}, _never)[0] == 0 or not _inside(engine, called):
                os.unlink(os.path.join(notes, called))


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


def contain(run: Mapping[str, Any], manifest: Mapping[str, Any], cancelled: Callable[[], bool]) -> None:
    """Have the image here and the run's container up; one that is up is left alone. Takes minutes. Raises Misfit."""
    engine = container.find(os.environ)
    install = container.get() if engine is None and os.getuid() == 0 and "isolation" not in manifest else None
    if install:  # a machine of ours alone, of a vendor's image
        said = ask(install, {}, cancelled, PULL_S)[1]
        engine = container.find(os.environ)
        if engine is None:
            raise Misfit(f"the task wants a container, and no engine could be installed: {said}")
    if engine is None:
        raise Misfit("the task wants a container, and this machine has neither docker nor podman")
    called = container.name(manifest["node"], run["id"])
    notes = os.path.join(manifest["state"], "containers")
    os.makedirs(notes, mode=0o700, exist_ok=True)
    with open(os.path.join(notes, called), "w", encoding="utf-8") as file:
        file.write(engine.path)
    if _inside(engine, called) is not None:
        return
    for _, place in container.mounts(run, manifest):
        if not os.path.exists(place):
            os.makedirs(place, exist_ok=True)
    with _registry(engine, run, cancelled) as environment:
        code, said = ask(container.pull(engine, container.image(run)), environment, cancelled, PULL_S)
    if code and ask(container.known(engine, container.image(run)), {}, cancelled)[0]:
        raise Misfit(f"the image {container.image(run)} cannot be had: {said}")
    ask(container.remove(engine, called), {}, cancelled)
    code, said = ask(container.hold(engine, called, run, manifest), {}, cancelled)
    if code:
        raise Misfit(f"the container cannot be started: {said}")


def _never() -> bool:
    return False


def _inside(engine: container.Engine, called: str) -> Optional[Inside]:
    code, said = ask(container.look(engine, called), {}, _never, whole=True)
    try:
        return None if code else container.inside(said)
    except (ValueError, KeyError, IndexError, TypeError):
        raise Misfit(f"{engine.path} says of the container what nobody understands") from None


@contextlib.contextmanager
def _registry(
    engine: container.Engine, run: Mapping[str, Any], cancelled: Callable[[], bool]
) -> Iterator[dict[str, str]]:
    """The engine's environment while it fetches: a login lasts as long, in memory, and in no command line."""
    user, password, server = container.credentials(run)
    if not password:
        yield {}
        return
    base = next((path for path in ("/dev/shm", "/run") if os.access(path, os.W_OK)), None)  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="skywright-", dir=base) as folder:
        environment = {"DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": os.path.join(folder, "auth.json")}
        words = container.login(engine, user, server)
        code, said = ask(words, environment, cancelled, given=password)
        if code:
            raise Misfit(f"the login to {server or 'the registry'} failed: {said.replace(password, '***')}")
        yield environment


def ask(
    words: Sequence[str],
    environment: Mapping[str, str],
    cancelled: Callable[[], bool],
    patience_s: float = ANSWER_S,
    given: str = "",
    whole: bool = False,
) -> tuple[int, str]:
    """Exit code of the container engine and the last line it said, or the `whole` of its answer. Raises Misfit."""
    with tempfile.TemporaryFile() as out:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.DEVNULL if whole else out,
                cwd="/",
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except OSError as error:
            raise Misfit(f"{words[0]}: {error}") from None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.write(given.encode("utf-8", "surrogateescape"))
            process.stdin.close()
        end = time.monotonic() + patience_s
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
                break
            if cancelled() or time.monotonic() > end:
                process.kill()
                process.wait()
                raise Misfit("given up" if cancelled() else f"{words[0]} {words[1]} took too long")
        out.seek(0)
        text = out.read().decode("utf-8", "replace").strip()
    return process.returncode, text if whole else text.rpartition("\n")[2][-500:]


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
