"""Buckets of a run on this node: copied, or mounted and kept mounted; what was written is uploaded before the end.

Each mount has a folder below the agent's own: `mount.json` says which process serves it and for which attempt (an agent
that comes back finds it there), `log` is what rclone said, `cache` what is not uploaded yet: it outlives the process,
and a new mount on it goes on uploading.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
import secrets as randomness
import shutil
import subprocess
import time
import urllib.request
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional

from runtime import contents, rclone
from runtime.mounts import PULL_S, Misfit, ask
from runtime.paths import target
from runtime.phases import Shim, start_ticks

PROGRAMS = {"rclone": "rclone", "fusermount3": "fuse3"}
"""Program -> package of Debian, Ubuntu and Fedora."""
Key = tuple[int, int]
"""Run and attempt."""
LOOK_S, MOUNT_S, UNMOUNT_S, TICK_S = 120.0, 30.0, 10.0, 0.2
PAUSES_S = (1.0, 3.0, 10.0)
"""Before it is tried again to read a bucket, or to copy it, where trying again may help."""
STUCK_S = 120.0
"""Uploads that get no further for so long, while rclone complains, are given up."""


class Left(NamedTuple):
    """How waiting for uploads ended: files that are not in their bucket, seconds it took, what stands in the way."""

    files: int
    waited_s: float
    says: str = ""


class Mount(NamedTuple):
    """One mount by its folder; `data` is what mount.json says."""

    folder: str
    data: dict[str, Any]

    @property
    def key(self) -> Key:
        return (self.data["run"], self.data["attempt"])

    @property
    def place(self) -> str:
        return str(self.data["place"])

    @property
    def cached(self) -> bool:
        return bool(self.data["cached"])

    def process(self, boot_id: str) -> Optional[Shim]:
        """The living process that serves it."""
        if not self.data["pid"] or self.data["boot_id"] != boot_id:
            return None
        found = Shim(self.data["pid"], self.data["start"])
        if found.ended():
            found.close()
            return None
        return found

    def log(self) -> str:
        with contextlib.suppress(OSError), open(os.path.join(self.folder, "log"), "rb") as file:
            return file.read()[-65536:].decode("utf-8", "replace")
        return ""


class Buckets:
    """Everything about buckets that is on this node. Methods that start something are called under one lock."""

    def __init__(self, manifest: Mapping[str, Any], boot_id: str) -> None:
        self.manifest, self.boot_id = manifest, boot_id
        self.folder = os.path.join(manifest["state"], "buckets")

    def prepare(self, run: Mapping[str, Any], cancelled: Callable[[], bool]) -> None:
        """Have each bucket of the attempt in its place. Raises Misfit, OSError."""
        wanted = run.get("buckets") or ()
        key = (run["id"], run["attempt"])
        self.release(key)
        if not wanted:
            return
        self._have_programs(cancelled)
        for bucket in sorted(wanted, key=lambda one: str(one["target"])):
            place = self._place(bucket)
            if bucket["mode"] == "COPY":
                os.makedirs(os.path.dirname(place), exist_ok=True)
                self._tried(rclone.copy(bucket, place), bucket, run, cancelled, None)
            elif not any(mount.place == place for mount in self.mounts(key)):
                self._check_fuse(bucket)
                self._tried(rclone.look(bucket), bucket, run, cancelled, LOOK_S)
                self._mount(bucket, run, place, fresh=True)

    def mounts(self, key: Optional[Key] = None) -> list[Mount]:
        """Those that were begun and not taken off, of one attempt or of all."""
        found = []
        for name in sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else ():
            folder = os.path.join(self.folder, name)
            path = os.path.join(folder, "mount.json")
            with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
                found.append(Mount(folder, json.load(file)))
        return [mount for mount in found if key is None or mount.key == key]

    def keep(self, run: Mapping[str, Any]) -> None:
        """Mount again what lost its process; what cannot be mounted now is tried the next time."""
        for mount in self.mounts((run["id"], run["attempt"])):
            living = mount.process(self.boot_id)
            if living is not None:
                living.close()
                continue
            for bucket in run.get("buckets") or ():
                if self._place(bucket) == mount.place:
                    with contextlib.suppress(OSError, Misfit):
                        self._mount(bucket, run, mount.place, fresh=False)

    def flush(self, key: Key, by: Callable[[], float], now: Callable[[], float]) -> Left:
        """Wait until all that was written through caches is in its bucket, at most until `by()` is `now()`."""
        begun = moved_at = now()
        before, quiet = -1, 0
        while True:
            counts = [(mount, self._unsent(mount)) for mount in self.mounts(key) if mount.cached]
            left = sum(count for _, count in counts)
            quiet = 0 if left else quiet + 1
            if quiet > 1:
                return Left(0, now() - begun)
            if left != before:
                before, moved_at = left, now()
            troubled = [mount for mount, count in counts if count and "ERROR" in mount.log()]
            stuck = bool(troubled) and now() - moved_at > STUCK_S
            if left and (stuck or now() >= by()):
                words = rclone.said(troubled[0].log(), {}) if troubled else "there was no more time"
                return Left(left, now() - begun, words)
            time.sleep(TICK_S)

    def release(self, keep: Optional[Key] = None) -> None:
        """Take off every mount but those of the attempt `keep`; a cache that is not empty of uploads stays on disk."""
        for mount in self.mounts():
            if mount.key == keep:
                continue
            living = mount.process(self.boot_id)
            _unmount(mount.place)
            if living is not None:
                _end(living)
            if not list(_dirty(os.path.join(mount.folder, "cache"))):
                shutil.rmtree(mount.folder, ignore_errors=True)
            else:
                os.unlink(os.path.join(mount.folder, "mount.json"))
            _unmount(mount.place)  # a process that came up late may have mounted once more
            _remove(mount.place)

    def _place(self, bucket: Mapping[str, Any]) -> str:
        return os.path.realpath(target(bucket["target"], self.manifest["home"]))

    def _have_programs(self, cancelled: Callable[[], bool]) -> None:
        """A machine of ours alone, of a vendor's image, gets what it lacks. Raises Misfit."""
        lacking = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
        if lacking and "isolation" not in self.manifest and os.geteuid() == 0:
            install = contents.get(lacking)
            said = ask(install, {}, cancelled, PULL_S)[1] if install else ""
            if shutil.which("rclone") is None:
                raise Misfit(f"rclone could not be installed: {said}" if said else rclone.MISSING)
        elif "rclone" in lacking:
            raise Misfit(rclone.MISSING)

    def _check_fuse(self, bucket: Mapping[str, Any]) -> None:
        why = lacking_fuse(self.manifest.get("isolation"))
        if why:
            raise Misfit(f"bucket {bucket['uri']} cannot be mounted here: {why}; `mode: COPY` works without")

    def _mount(self, bucket: Mapping[str, Any], run: Mapping[str, Any], place: str, fresh: bool) -> None:
        """Write who shall serve it, start that, wait until it does. Raises Misfit, OSError."""
        if _mounted(place):
            _unmount(place)
        os.makedirs(place, exist_ok=True)
        if fresh and os.listdir(place):
            raise Misfit(f"bucket {bucket['uri']} cannot be mounted on {bucket['target']}: it is not empty")
        mark = hashlib.sha256(f"{bucket['uri']} {place}".encode()).hexdigest()[:16]
        folder = os.path.join(self.folder, mark)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        password = randomness.token_urlsafe(16)
        data: dict[str, Any] = {"run": run["id"], "attempt": run["attempt"], "place": place}
        data.update(uri=bucket["uri"], password=password, boot_id=self.boot_id, pid=0, start=0)
        data["cached"] = bucket["mode"] == "MOUNT_CACHED" and not bucket["read_only"]
        _write(folder, data)
        values = rclone.environment(bucket, run["secrets"], self.manifest["home"])
        values.update(RCLONE_RC_USER="agent", RCLONE_RC_PASS=password, PATH=self._path(values["PATH"]))
        words = rclone.mount(bucket, place, os.path.join(folder, "cache"), os.geteuid() == 0)
        with open(os.path.join(folder, "log"), "wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=values,
                start_new_session=True,
            )
        data.update(pid=process.pid, start=start_ticks(process.pid))
        process.returncode = 0  # it outlives this object, and `Shim.ended` collects it
        _write(folder, data)
        mount, end = Mount(folder, data), time.monotonic() + MOUNT_S
        while not _mounted(place):
            living = mount.process(self.boot_id)
            if living is None or time.monotonic() > end:
                if living is not None:
                    _end(living)
                why = rclone.explained(rclone.said(mount.log(), run["secrets"]))
                raise Misfit(f"bucket {bucket['uri']} cannot be mounted: {why}")
            living.close()
            time.sleep(0.05)

    def _path(self, path: str) -> str:
        """With `fusermount` on it, by which rclone before 1.62 calls what Fuse 3 has under another name."""
        newer = shutil.which("fusermount3", path=path)
        if newer is None or shutil.which("fusermount", path=path):
            return path
        folder = os.path.join(self.folder, "bin")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(newer, os.path.join(folder, "fusermount"))
        return f"{path}:{folder}"

    def _tried(
        self,
        words: list[str],
        bucket: Mapping[str, Any],
        run: Mapping[str, Any],
        cancelled: Callable[[], bool],
        first_line_s: Optional[float],
    ) -> None:
        """Run rclone until it succeeds, or says something that lasts, or was tried often. Raises Misfit."""
        values, pauses = rclone.environment(bucket, run["secrets"], self.manifest["home"]), list(PAUSES_S)
        chosen = [] if first_line_s else rclone.chosen(bucket)
        while True:
            code, log = _ran([*words, *chosen], values, cancelled, first_line_s, self.folder)
            if code and chosen and rclone.refuses_choice(log):
                chosen = []
                continue
            if code == 0:
                return
            why = rclone.said(log, run["secrets"])
            if cancelled():
                raise Misfit("given up")
            if not pauses or rclone.LASTING.search(log):
                raise Misfit(f"bucket {bucket['uri']} cannot be read: {rclone.explained(why)}")
            time.sleep(pauses.pop(0))

    def _unsent(self, mount: Mount) -> int:
        """Files in its cache that are not in the bucket: as rclone says, and as its notes on disk do."""
        stats = _asked(mount)
        notes = stats.get("pathMeta") or os.path.join(mount.folder, "cache")
        waiting = int(stats.get("uploadsQueued") or 0) + int(stats.get("uploadsInProgress") or 0)
        return waiting or sum(1 for _ in _dirty(notes))


def lacking_fuse(isolation: Optional[str]) -> str:
    """Why nothing can be mounted on this node; empty where it can."""
    if not os.path.exists("/dev/fuse"):
        return "the machine has no /dev/fuse"
    if not (shutil.which("fusermount3") or shutil.which("fusermount")):
        return "fuse3 is not installed"
    if isolation == "directory" or (isolation == "namespaces" and os.geteuid() != 0):
        return "a local node without mounts of its own (that takes root) would leave them on the machine"
    return ""


def _asked(mount: Mount) -> dict[str, Any]:
    """What rclone says of its disk cache; nothing where it does not answer."""
    port = rclone.port(mount.log())
    if port is None:
        return {}
    word = base64.b64encode(f"agent:{mount.data['password']}".encode()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/vfs/stats", data=b"{}", method="POST")
    request.add_header("Authorization", f"Basic {word}")
    request.add_header("Content-Type", "application/json")
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=5) as answer:
            found = json.load(answer).get("diskCache")
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _dirty(folder: str) -> Iterator[str]:
    """Notes of rclone's cache about files that are not uploaded."""
    for root, _, names in os.walk(folder):
        if "vfsMeta" not in root:
            continue
        for name in names:
            path = os.path.join(root, name)
            with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
                if json.load(file).get("Dirty"):
                    yield path


def _ran(
    words: list[str],
    environment: Mapping[str, str],
    cancelled: Callable[[], bool],
    first_line_s: Optional[float],
    folder: str,
) -> tuple[int, str]:
    """Exit code and what was said. With `first_line_s` the first line of an answer is enough, within so long."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    log, out = os.path.join(folder, "said"), os.path.join(folder, "answer")
    end = time.monotonic() + (first_line_s or float("inf"))
    with open(log, "wb") as complaints, open(out, "wb") as answer:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=complaints,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
        )
        code: Optional[int] = None
        while code is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(0.1)
                break
            if first_line_s and os.path.getsize(out):
                code = 0
            elif cancelled() or time.monotonic() > end:
                code = 1
        if process.poll() is None:
            process.kill()
            process.wait()
    with open(log, encoding="utf-8", errors="replace") as file:
        return code, file.read()[-16384:] or ("" if code == 0 else "it does not answer")


def _mounted(place: str) -> bool:
    with open("/proc/self/mountinfo", "rb") as file:
        rows = [line.split() for line in file]
    name = os.fsencode(place)
    for letter, code in ((b"\\", b"\\134"), (b" ", b"\\040"), (b"\t", b"\\011"), (b"\n", b"\\012")):
        name = name.replace(letter, code)
    return any(len(row) > 4 and row[4] == name for row in rows)


def _unmount(place: str) -> None:
    """Also what is dead or still held: that goes as soon as it is let go."""
    program = shutil.which("fusermount3") or shutil.which("fusermount")
    end = time.monotonic() + 2.0
    while program and _mounted(place):
        flag = "-u" if time.monotonic() < end else "-uz"
        subprocess.run([program, flag, place], capture_output=True, timeout=UNMOUNT_S, check=False)
        if flag == "-uz":
            return
        time.sleep(0.1 if _mounted(place) else 0.0)


def _remove(place: str) -> None:
    """An empty folder; one that is being let go is busy for a moment."""
    end = time.monotonic() + 2.0
    while True:
        try:
            os.rmdir(place)
        except OSError as error:
            if error.errno == errno.EBUSY and time.monotonic() < end:
                time.sleep(0.05)
                continue
        return


def _end(process: Shim) -> None:
    """It ends by itself with its mount; else it is ended."""
    end = time.monotonic() + UNMOUNT_S
    while not process.ended() and time.monotonic() < end:
        time.sleep(0.05)
    process.signal(15)
    end = time.monotonic() + UNMOUNT_S
    while not process.ended() and time.monotonic() < end:
        time.sleep(0.05)
    process.signal(9)
    process.close()


def _write(folder: str, data: Mapping[str, Any]) -> None:
    path = os.path.join(folder, "mount.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        os.chmod(path + ".new", 0o600)
        json.dump(data, file)
    os.replace(path + ".new", path)
