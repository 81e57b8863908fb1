"""The checkpoint folder of a node with a bucket: brought from there before a run, kept there while it runs and after.

`checkpoint.json` in the agent's folder is what this node and the bucket agreed on last: file -> [stamp, entry].
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import threading
import time
from typing import Any, Callable, Collection, Mapping, Optional

from runtime import saved
from runtime.buckets import Key, Left
from runtime.calls import FAILED, Pause, Refused
from runtime.mounts import Misfit
from runtime.paths import target
from runtime.saved import Entry
from runtime.store import Store, open_store

INCOMING = ".skywright-incoming"
LOOK_S, EVERY_S = 2.0, 30.0
"""How often the folder is looked at, and uploaded at most; a gang of more than EVERY_S nodes does it more slowly."""
STUCK_S = 120.0
"""Patience with a store that refuses."""

Stamp = list[int]


class Late(Exception):
    """There was no more time for this."""


class Checkpoint:
    """This node's side. Everything takes its time: it is called in threads, and works one at a time."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.home = manifest["home"]
        self._path = os.path.join(manifest["state"], "checkpoint.json")
        where = manifest["link"].get("store")
        self._open: Optional[Callable[[], Store]] = None
        if where and where["kind"] != "folder" and not manifest.get("kept"):
            self._open = open_store(where)
        self._note: dict[str, Any] = {"place": "", "key": [0, 0], "task": "", "every": EVERY_S, "files": {}}
        with contextlib.suppress(OSError, ValueError), open(self._path, encoding="utf-8") as file:
            self._note = json.load(file)
        self._one = threading.Lock()
        self._hurried = threading.Event()
        self._seen: dict[str, Stamp] = {}
        self._sent_at = self._dirty_at = -float("inf")

    @property
    def on(self) -> bool:
        """Is it this that keeps the node's checkpoints?"""
        return self._open is not None

    def wanted(self, run: Mapping[str, Any]) -> bool:
        return self._open is not None and bool(run.get("checkpoint"))

    def holds(self, key: Key) -> bool:
        """Is the attempt's folder one that this looks after?"""
        return self._open is not None and tuple(self._note["key"]) == key

    def restore(self, run: Mapping[str, Any], cancelled: Callable[[], bool]) -> None:
        """Have the bucket's checkpoint in the run's folder. Files that this node could not send yet stay as they are.
        Raises Misfit, OSError."""
        if not self.wanted(run):
            return
        with self._one:
            pause, self._moved = Pause(), time.monotonic()
            while True:
                try:
                    self._bring(run, cancelled)
                    return
                except (Refused, *FAILED) as error:
                    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    if cancelled():
                        raise Misfit("given up") from None
                    if time.monotonic() - self._moved > STUCK_S:
                        raise Misfit(
                            f"the checkpoint cannot be read from the bucket: {_why(error)}"
                        ) from None
                    wait_s = pause.after(error)
                time.sleep(wait_s)

    def keep(self, key: Key) -> None:
        """Look at the folder once; upload what changed when it is due and everything in it is quiet, or has not been
        for long: then what is quiet, and nothing is removed."""
        if not self.holds(key) or not self._one.acquire(blocking=False):
            return
        try:
            now, every_s = time.monotonic(), self._note["every"]
            before, self._seen = self._seen, _look(self._note["place"])
            changed, gone = self._differs(self._seen)
            if not changed and not gone:
                self._dirty_at = now
                return
            calm = before == self._seen
            if now - self._sent_at < every_s or not (calm or now - self._dirty_at > 2 * every_s):
                return
            quiet = changed if calm else {path for path in changed if before.get(path) == self._seen[path]}
            with contextlib.suppress(Late, Refused, *FAILED):  # the next look tries again
                self._send(self._seen, quiet, gone if calm else (), self._check)
                self._sent_at = self._dirty_at = now
        finally:
            self._one.release()

    def flush(self, key: Key, by: Callable[[], float], now: Callable[[], float]) -> Left:
        """Upload all that is in the folder, nothing of the attempt running any more; nothing is left half done: when
        moment `by()` comes first, the bucket has what it had."""
        begun, says, pause = now(), "there was no more time", Pause()
        stuck_at, files, calls, most = begun + STUCK_S, 0, 0, 0

        def check() -> None:
            nonlocal stuck_at, calls, most
            calls += 1
            if calls > most:  # further than any try before
                most, stuck_at = calls, now() + STUCK_S
            if now() >= by():
                raise Late

        self._hurried.set()
        try:
            while self.holds(key) and now() < min(by(), stuck_at):
                if not self._one.acquire(timeout=max(0.0, min(0.2, by() - now()))):
                    continue
                try:
                    seen, calls = _look(self._note["place"]), 0
                    changed, gone = self._differs(seen)
                    files = len(changed) or len(gone)
                    self._send(seen, changed, gone, check)
                    files = sum(map(len, self._differs(_look(self._note["place"]))))
                    if not files:
                        return Left(0, now() - begun)
                    says, wait_s = "it changes all the time", 0.2
                except Late:
                    break
                except (Refused, *FAILED) as error:
                    says, wait_s = _why(error), pause.after(error)
                finally:
                    self._one.release()
                time.sleep(max(0.0, min(wait_s, by() - now())))
        finally:
            self._hurried.clear()
        if not files and self.holds(key):
            files = sum(map(len, self._differs(_look(self._note["place"]))))
        return Left(files, now() - begun, f"checkpoint folder: {says}" if files else "")

    def _check(self) -> None:
        if self._hurried.is_set():
            raise Late

    def _differs(self, seen: Mapping[str, Stamp]) -> tuple[set[str], set[str]]:
        """Files that the bucket has not as they are; those that it has, and the folder no more."""
        known = self._note["files"]
        changed = {path for path, stamp in seen.items() if path not in known or known[path][0] != stamp}
        return changed, {path for path in known if path not in seen}

    def _bring(self, run: Mapping[str, Any], cancelled: Callable[[], bool]) -> None:
        place = target(run["checkpoint"], self.home)
        known = self._note["files"] if self._note["place"] == place else {}
        incoming, store = os.path.join(place, INCOMING), self._opened()

        def heard() -> None:
            if cancelled():
                raise OSError("given up")
            self._moved = time.monotonic()

        shutil.rmtree(incoming, ignore_errors=True)
        os.makedirs(incoming)
        try:
            held = saved.read(store)
            fresh = [
                path
                for path, entry in held.files.items()
                if _stamp(os.path.join(place, path)) is None or known.get(path, (0, 0))[1] != entry
            ]
            for number, path in enumerate(fresh):
                saved.download(store, held.files[path], os.path.join(incoming, str(number)), heard)
        finally:
            store.close()
        for path, (stamp, _) in known.items():
            if path not in held.files and _stamp(os.path.join(place, path)) == stamp:
                os.unlink(os.path.join(place, path))
        files = {path: known[path] for path in held.files if path not in fresh}
        for number, path in enumerate(fresh):
            _make_way(place, path)
            os.replace(os.path.join(incoming, str(number)), os.path.join(place, path))
            files[path] = [_stamp(os.path.join(place, path)), held.files[path]]
        os.rmdir(incoming)
        key, every_s = [run["id"], run["attempt"]], max(EVERY_S, float(run["num_nodes"]))
        self._write({"place": place, "key": key, "task": run["task_id"], "every": every_s, "files": files})
        self._sent_at, self._dirty_at = -float("inf"), time.monotonic()

    def _send(
        self,
        seen: Mapping[str, Stamp],
        changed: Collection[str],
        gone: Collection[str],
        check: Callable[[], None],
    ) -> None:
        """Bring parts, then the manifest. `check()` may raise Late between any two calls. A file that changes while it
        is read waits for the next time, and with it all that is to be removed."""
        if not changed and not gone:
            return
        note, store, entries = self._note, self._opened(), dict[str, Entry]()
        try:
            for path in sorted(changed):
                full, stamp = os.path.join(note["place"], path), seen[path]
                entry = saved.upload(store, path, full, check)
                if entry is not None and _stamp(full) == stamp:
                    entries[path] = entry
            drops = gone if len(entries) == len(changed) else ()
            dropped = {path: note["files"][path][1] for path in drops}
            saved.commit(store, {"task": note["task"], "attempt": note["key"][1]}, entries, dropped, check)
        finally:
            store.close()
        files = {path: row for path, row in note["files"].items() if path not in dropped}
        files.update({path: [seen[path], entry] for path, entry in entries.items()})
        self._write({**note, "files": files})

    def _opened(self) -> Store:
        assert self._open is not None
        return self._open()

    def _write(self, note: dict[str, Any]) -> None:
        with open(self._path + ".new", "w", encoding="utf-8") as file:
            json.dump(note, file)
        os.replace(self._path + ".new", self._path)
        self._note = note


def _stamp(path: str) -> Optional[Stamp]:
    """What changes with a file; None where there is none."""
    try:
        facts = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode)):
        return None
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]


def _look(place: str) -> dict[str, Stamp]:
    """Every file and link in the folder."""
    found = {}
    for folder, names, files in os.walk(place):
        if folder == place and INCOMING in names:
            names.remove(INCOMING)
        for name in (*files, *names):
            path = os.path.join(folder, name)
            stamp = _stamp(path)
            if stamp is not None:
                found[os.path.relpath(path, place)] = stamp
    return found


def _make_way(place: str, path: str) -> None:
    """Folders for a file, and nothing but one of them where it goes: never through a link that leads elsewhere."""
    folder = place
    for name in path.split("/")[:-1]:
        folder = os.path.join(folder, name)
        if os.path.islink(folder) or os.path.isfile(folder):
            os.unlink(folder)
        os.makedirs(folder, exist_ok=True)
    full = os.path.join(place, path)
    if os.path.isdir(full) and not os.path.islink(full):
        shutil.rmtree(full)


def _why(error: BaseException) -> str:
    return f"the store answered {error.status}" if isinstance(error, Refused) else str(error) or repr(error)
