"""What a run has around its parts, in threads: put in place before them, kept up beside them, taken away after them."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, Callable, Mapping, Optional

from runtime import mounts
from runtime.buckets import Buckets, Key, Left
from runtime.checkpoint import LOOK_S, Checkpoint
from runtime.deadman import now
from runtime.machine import Ended

Run = Mapping[str, Any]
UPLOADS_S, CANCELLED_S, RESERVE_S = 3600.0, 30.0, 1.0
"""Longest that a run which ended waits for uploads; one that was cancelled; and what is kept of a notice's time."""
KEEP_S = 1.0


class Supplies:
    """Files, buckets and containers of the attempts on this node. What takes time is a thread; one works at once."""

    def __init__(
        self,
        manifest: Mapping[str, Any],
        boot_id: str,
        post: Callable[[Callable[[], None]], None],
        living: Callable[[], Optional[Run]],
    ) -> None:
        """`post` has the agent's loop call something; `living` is the run that is under way and known, from there."""
        self.manifest, self.post, self.living = manifest, post, living
        self.buckets = Buckets(manifest, boot_id)
        self.checkpoint = Checkpoint(manifest)
        self.upload_by: Optional[float] = None
        self._busy = threading.Lock()
        self._keeping = self._saving = False

    def bring(
        self,
        run: Run,
        fetch: mounts.Fetch,
        cancelled: Callable[[], bool],
        done: Callable[[Optional[str]], None],
    ) -> None:
        """Put all that `run` needs in place, then `done(error)`."""

        def work() -> None:
            error: Optional[str] = None
            try:
                with self._busy:
                    mounts.prepare(run, self.manifest, fetch, cancelled)
                    if not cancelled():
                        self.checkpoint.restore(run, cancelled)
                    if not cancelled():
                        self.buckets.prepare(run, cancelled)
                    if run.get("container") and not cancelled():
                        mounts.contain(run, self.manifest, cancelled)
            except (mounts.Misfit, OSError) as problem:
                error = str(problem)
            self.post(lambda: done(error))

        self.keep()
        _thread(work, "fetch")

    def keep(self) -> None:
        """From now on mount again whatever loses its process, and save the checkpoint folder, while its run lives."""
        self._save()
        if self._keeping or not (self.buckets.mounts() or (self.living() or {}).get("buckets")):
            return
        self._keeping = True
        paused = threading.Event()

        def work() -> None:
            while not paused.wait(KEEP_S):
                run = self.living()
                if run is not None and self._busy.acquire(blocking=False):
                    with contextlib.suppress(OSError):
                        self.buckets.keep(run)
                    self._busy.release()

        _thread(work, "keep")

    def _save(self) -> None:
        if self._saving or not self.checkpoint.on:
            return
        self._saving = True
        paused = threading.Event()

        def work() -> None:
            while not paused.wait(LOOK_S):
                run = self.living()
                if run is not None:
                    with contextlib.suppress(OSError):
                        self.checkpoint.keep((run["id"], run["attempt"]))

        _thread(work, "save")

    def cached(self, key: Key) -> bool:
        """Does the attempt write what is to be uploaded before its end?"""
        return self.checkpoint.holds(key) or any(mount.cached for mount in self.buckets.mounts(key))

    def upload(self, ended: Ended, done: Callable[[Ended], None], at_once: bool, by: Optional[float]) -> None:
        """`done(ended)` once what the part wrote is in its buckets; with what is left, when time is up: `at_once` where
        nothing of it counts any more, at `by` where the node goes then."""
        key = (ended.run, ended.attempt)
        if self.upload_by is not None:
            return
        if not self.cached(key):
            done(ended)
            return
        self.upload_by = now() + UPLOADS_S
        if at_once or by is not None:
            self.hurry(at_once, by)
        mounted = any(mount.cached for mount in self.buckets.mounts(key))
        goes_on = ended.part == "setup" and ended.facts.get("exit_code") == 0

        def over(left: Left) -> None:
            self.upload_by = None
            done(told(ended, left))

        def work() -> None:
            saved = (
                Left(0, 0.0) if goes_on else self.checkpoint.flush(key, lambda: self.upload_by or 0.0, now)
            )
            left = self.buckets.flush(key, lambda: self.upload_by or 0.0, now) if mounted else Left(0, 0.0)
            says = "; ".join(one.says for one in (saved, left) if one.files)
            both = Left(saved.files + left.files, saved.waited_s + left.waited_s, says)
            self.post(lambda: over(both))

        _thread(work, "upload")

    def hurry(self, at_once: bool, by: Optional[float]) -> bool:
        """The part that is uploading is to stop: by moment `by` if there is one. False when nothing is."""
        if self.upload_by is None:
            return False
        moment = now() if at_once else now() + CANCELLED_S if by is None else by - RESERVE_S
        self.upload_by = min(self.upload_by, moment)
        return True

    def release(self, keep: Optional[Key] = None) -> None:
        """Take off what attempts other than `keep` have mounted."""
        if self.buckets.mounts():
            _thread(lambda: self._release(keep), "release")

    def discard(self, keep: int) -> None:
        """Remove containers of runs that are over; one of which control wants another attempt has its setup in it."""

        def work() -> None:
            with self._busy:
                mounts.discard(self.manifest, keep)

        if os.path.isdir(os.path.join(self.manifest["state"], "containers")):
            _thread(work, "discard")

    def leave(self) -> None:
        """The agent stops for ever."""
        mounts.discard(self.manifest)
        self._release(None)

    def _release(self, keep: Optional[Key]) -> None:
        with self._busy, contextlib.suppress(OSError):
            self.buckets.release(keep)


def told(ended: Ended, left: Left) -> Ended:
    """With what became of uploads: a run whose files are not where they belong did not succeed."""
    facts = {**ended.facts, "uploads": {"files_left": left.files, "waited_s": round(left.waited_s, 3)}}
    error = ended.error
    if left.files and not error:
        files = "1 file was" if left.files == 1 else f"{left.files} files were"
        error = f"{files} not uploaded: {left.says}"
        facts.pop("exit_code", None)  # it is not why the run failed
    return ended._replace(facts=facts, error=error)


def _thread(work: Callable[[], None], name: str) -> None:
    threading.Thread(target=work, daemon=True, name=name).start()
