"""The link carried by objects in the deployment's bucket (docs/link.md): for nodes that cannot reach control.

Up, below `up/NODE/`: `events/SEQ` and `logs/RUN.ATTEMPT.PART/OFFSET`, each made once and never changed, and `beat`,
which says how far they go and that the node lives. Down, below `down/`: `NODE/desired`, one document that
acknowledges both, and `blobs/DIGEST`. An object that is there already is one that an earlier try brought.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, Callable, Optional

from runtime.calls import FAILED, NoSuchLog, Pause, Refused, Stopped
from runtime.store import open_store

Key = tuple[int, int, str]

EVERY = {"beat_s": 5.0, "poll_s": 1.0, "segment_s": 5.0}
"""How often a node says that it lives, looks for news, and sends log bytes, until control says otherwise."""
LARGEST = 4 << 20
"""Bytes of a log in one object, which is held in memory while it is sent."""


class Mailbox:
    """One node's place in the bucket: what control last said there, shared by every thread that uses it."""

    def __init__(self, manifest: dict[str, Any], agent: str, boot_id: str) -> None:
        self.node = manifest["node"]
        self.who = {"boot_id": boot_id, "agent": agent, "pid": os.getpid()}
        self.secrets = str(manifest["link"].get("secrets", ""))
        self.open_store = open_store(manifest["link"]["store"])
        self.every = dict(EVERY)
        self.stored: Optional[dict[str, int]] = None
        """Log bytes that control has, by log; None until it is known what control says."""
        self.kick: Callable[[], None] = lambda: None
        self.stop: Optional[str] = None
        self.logs: Optional[Logs] = None

    def sync(
        self,
        compose: Callable[[], dict[str, Any]],
        deliver: Callable[[dict[str, Any]], None],
        stopped: Callable[[str], None],
    ) -> Mail:
        made = Mail(self, compose, deliver, stopped)
        self.kick = made.kick
        return made

    def open_logs(self) -> Logs:
        self.logs = Logs(self)
        return self.logs

    def fetch(self, digest: str, into: Callable[[bytes], None]) -> None:
        """Pass a blob on in pieces. Raises OSError to try again: control puts it there before it asks for it."""
        store = self.open_store()
        try:
            if store.get(f"down/blobs/{digest}", into=into) is None:
                raise OSError(f"{digest[:12]} is not in the bucket")
        except Refused as error:
            raise OSError(f"{digest[:12]}: {error}") from error
        except FAILED as error:
            raise OSError(f"{digest[:12]}: {error!r}") from error
        finally:
            store.close()


class Mail(threading.Thread):
    """Sends what `compose` puts together, and hands on what control wrote; each at its own pace."""

    def __init__(
        self,
        box: Mailbox,
        compose: Callable[[], dict[str, Any]],
        deliver: Callable[[dict[str, Any]], None],
        stopped: Callable[[str], None],
    ) -> None:
        super().__init__(daemon=True, name="mail")
        self.box, self.compose, self.deliver, self.stopped = box, compose, deliver, stopped
        self.version = 0
        self._store = box.open_store()
        self._woken = threading.Event()
        self._said = 0
        self._mark = ""
        self._beaten: Optional[float] = None
        self._polled: Optional[float] = None

    def kick(self) -> None:
        """There is something to tell: do not wait for the next beat."""
        self._beaten = None
        self._woken.set()

    def run(self) -> None:
        pause = Pause()
        while True:
            self._woken.clear()
            try:
                wait_s = self.once()
                pause.tries = 0
            except Stopped as stop:
                self.box.stop = str(stop)
                self.stopped(str(stop))
                return
            except (Refused, *FAILED) as error:
                wait_s = pause.after(error)
            self._woken.wait(wait_s)

    def once(self) -> float:
        """Send and look as far as it is time for that; seconds until the next time."""
        problem: Optional[Exception] = None
        if _left(self._polled, self.box.every["poll_s"]) <= 0:
            try:
                self._look()
            except (Refused, *FAILED) as error:
                problem = error  # what is to be said does not wait for what is to be heard
        said = self.compose()
        fresh = [event for event in said["events"] if event["seq"] > self._said]
        for event in fresh:
            self._store.new(f"up/{self.box.node}/events/{event['seq']:012d}", _packed(event))
            self._said = event["seq"]
        if fresh or _left(self._beaten, self.box.every["beat_s"]) <= 0:
            self._beat(said)
        if problem is not None:
            raise problem
        every = self.box.every
        return max(0.0, min(_left(self._beaten, every["beat_s"]), _left(self._polled, every["poll_s"])))

    def _beat(self, said: dict[str, Any]) -> None:
        begun = time.monotonic()
        logs = self.box.logs.names() if self.box.logs else []
        beat = {
            **self.box.who,
            "at": round(begun, 3),  # a store tells versions apart by content, and every beat has to count
            "version": self.version,
            "said": self._said,
            "logs": logs,
            "observed": said["observed"],
        }
        self._beaten = begun
        try:
            self._store.put(f"up/{self.box.node}/beat", _packed(beat))
        except BaseException:
            self._beaten = None
            raise

    def _look(self) -> None:
        found = self._store.get(f"down/{self.box.node}/desired", self._mark)
        self._polled = time.monotonic()
        if found is None or found.content is None:
            self.box.stored = self.box.stored if found else self.box.stored or {}
            return
        said = json.loads(found.content)
        if said["stop"] is not None:
            raise Stopped(str(said["stop"]))
        wish = said["desired"]
        fresh = wish is not None and wish["version"] > self.version
        if fresh and wish["run"]:
            wish["run"]["secrets"] = {
                name: self._store.secret(self.box.secrets + name) for name in said["secrets"]
            }
        self.deliver({"acked": said["acked"], "desired": wish if fresh else None, "age_s": found.age_s})
        self.version = wish["version"] if fresh else self.version
        self._said = max(self._said, int(said["acked"]))
        self.box.every = {name: float(said["every"][name]) for name in EVERY}
        self.box.stored = {str(name): int(size) for name, size in said["logs"].items()}
        self._mark = found.mark


class Logs:
    """Where the shipper puts log bytes; used by its thread alone, but for `names`."""

    chunk = LARGEST

    def __init__(self, box: Mailbox) -> None:
        self.box = box
        self._store = box.open_store()
        self._starts: dict[Key, list[int]] = {}

    @property
    def gather_s(self) -> float:
        return self.box.every["segment_s"]

    def names(self) -> list[str]:
        """The logs that control should look for."""
        return [_name(key) for key in list(self._starts)]

    def begin(self, key: Key) -> Optional[int]:
        """The byte behind what is on its way already; None while it is not known what control has."""
        if self.box.stored is None:
            return None
        starts = [max(0, self.box.stored.get(_name(key), 0))]
        # Segments of an agent that was killed: they are as long as they were then.
        while size := self._store.size(self._segment(key, starts[-1])):
            starts.append(starts[-1] + size)
        self._starts[key] = starts
        self.box.kick()
        return starts[-1]

    def put(self, key: Key, offset: int, data: bytes) -> int:
        """Bytes at an offset; the next one to bring."""
        if self.box.stop is not None:
            raise Stopped(self.box.stop)
        following = offset + len(data)
        name = self._segment(key, offset)
        if not self._store.new(name, data):
            # Brought by an earlier try whose answer was lost.
            size = self._store.size(name)
            following = offset + size if size else following
        self._starts[key].append(following)
        return following

    def _segment(self, key: Key, offset: int) -> str:
        return f"up/{self.box.node}/logs/{_name(key)}/{offset:015d}"

    def stored(self, key: Key, sent: int) -> tuple[int, int]:
        """Bytes that control has, and the next byte to bring: where control goes on if no object begins there."""
        has = (self.box.stored or {}).get(_name(key), self._starts[key][0])
        if has < 0:
            raise NoSuchLog
        starts = self._starts[key] = [start for start in self._starts[key] if start >= has] or [has]
        if has not in starts:
            starts[:] = [has]
            return has, has
        return has, sent

    def end(self, key: Key) -> None:
        """Control has all of it."""
        self._starts.pop(key, None)


def _left(since: Optional[float], every_s: float) -> float:
    return 0.0 if since is None else since + every_s - time.monotonic()


def _name(key: Key) -> str:
    return ".".join(str(part) for part in key)


def _packed(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
