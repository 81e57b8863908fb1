"""One writer per stack: a lease with a fencing token, kept beside the Pulumi state by conditional writes."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from compiler.problem import Problem, Problems
from stacks import process
from stacks.carriers import Carrier, Entry
from stacks.process import Identity

RENEW_S = 5.0
GIVE_UP_S = 20.0
"""An owner that could not renew for this long stops writing, before anybody may take its lease."""
EXPIRES_S = 30.0
SILENT_S = 10.0
"""Before a lease that has expired is taken, its owner has to stay silent for so long by the taker's own steady clock:
the store's may have jumped."""
TICK_S = 0.5


def place() -> str:
    """Host, boot and pid namespace: where it is equal, pids can be compared."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = "-"
    return f"{socket.gethostname()} {process.boot_id()} {namespace}"


@dataclass(frozen=True, slots=True)
class Record:
    """What stands in a lease. Without `owner` it is free; `token` only ever grows; `beat` counts renewals.

    `engine` is the CLI process of the owner, `since` unix seconds. `dirty`: the last holder knew that it leaves
    something to clean up.
    """

    token: int
    beat: int = 0
    owner: Identity | None = None
    place: str = ""
    who: str = ""
    what: str = ""
    since: float = 0.0
    engine: Identity | None = None
    dirty: bool = False

    @property
    def unclean(self) -> bool:
        """Did its holder end without cleaning up?"""
        return self.owner is not None or self.dirty

    def to_data(self) -> dict[str, Any]:
        return {
            "token": self.token,
            "beat": self.beat,
            "owner": self.owner.to_data() if self.owner else None,
            "place": self.place,
            "who": self.who,
            "what": self.what,
            "since": self.since,
            "engine": self.engine.to_data() if self.engine else None,
            "dirty": self.dirty,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Record:
        owner, engine = data.get("owner"), data.get("engine")
        return cls(
            token=data["token"],
            beat=data["beat"],
            owner=Identity.from_data(owner) if owner else None,
            place=data["place"],
            who=data["who"],
            what=data["what"],
            since=data["since"],
            engine=Identity.from_data(engine) if engine else None,
            dirty=data.get("dirty", False),
        )


class Lease:
    """The right to write one stack, held by this process. Made by `acquire`."""

    def __init__(self, carrier: Carrier, key: str, record: Record, previous: Record | None) -> None:
        self.token = record.token
        self.previous = previous
        """The holder that ended without cleaning up, so that whoever holds it now has to."""
        self._carrier, self._key, self._record = carrier, key, record
        self._mutex = threading.Lock()
        self._done = threading.Event()
        self._renewed = process.awake()
        self._trouble = ""

    def keep(self, lost: Callable[[str], None], renewed: Callable[[], None] = lambda: None) -> None:
        """Renew in a thread until released; `lost` is called once, in a thread, with what happened, and `renewed`
        after every renewal. A store that hangs, or a machine that slept, is noticed within a second."""
        self._renewed = process.awake()
        told = threading.Event()

        def lose(why: str) -> None:
            if not told.is_set() and not self._done.is_set():
                told.set()
                lost(why)

        threading.Thread(target=self._renew, args=(lose, renewed), name="lease", daemon=True).start()
        threading.Thread(target=self._watch, args=(lose, told), name="lease-watch", daemon=True).start()

    def note_engine(self, engine: Identity | None) -> None:
        """Write down the engine's process, for whoever cleans up after a kill. Raises Problems lock/lost."""
        if not self._write(engine=engine):
            raise Problems(Problem("lock/lost", f"another operation has taken the lease of {self._key}"))

    def release(self, dirty: bool = False) -> None:
        """Let others write. The token stays, so that the next one is greater. `dirty`: they have to clean up."""
        self._done.set()
        engine = self._record.engine if dirty else None
        with contextlib.suppress(OSError):
            self._write(owner=None, engine=engine, dirty=dirty, place="", who="", what="", since=0.0)

    def forget(self) -> None:
        """Release, and leave no file: for a stack that is gone."""
        self._done.set()
        with contextlib.suppress(OSError), self._mutex:
            self._carrier.remove(self._key, _content(self._record))

    def _write(self, **changes: Any) -> bool:
        with self._mutex:
            record = replace(self._record, beat=self._record.beat + 1, **changes)
            if not self._carrier.write(self._key, _content(record), _content(self._record)):
                # An answer may have been lost: what stands there may be what this one, or the one before, wrote.
                entry = self._carrier.read(self._key)
                found = _record(entry)
                if found is None or (found.token, found.owner) != (record.token, self._record.owner):
                    return False
                self._record = found
                if found != record:
                    record = replace(self._record, beat=max(found.beat, record.beat) + 1, **changes)
                    if not self._carrier.write(self._key, _content(record), _content(self._record)):
                        return False
            self._record = record
            return True

    def _renew(self, lost: Callable[[str], None], renewed: Callable[[], None]) -> None:
        while not self._done.wait(RENEW_S):
            asked = process.awake()
            try:
                if not self._write():
                    lost("another operation has taken the lease")
                    return
                self._renewed = asked
                renewed()
            except OSError as error:
                self._trouble = str(error)

    def _watch(self, lost: Callable[[str], None], told: threading.Event) -> None:
        while not self._done.wait(min(TICK_S, RENEW_S)) and not told.is_set():
            silent_s = process.awake() - self._renewed
            if silent_s > GIVE_UP_S:
                why = self._trouble or "the store does not answer, or this machine slept"
                lost(f"the lease could not be renewed for {silent_s:.0f} s: {why}")


def acquire(carrier: Carrier, project: str, stack: str, what: str) -> Lease:
    """Become the only writer of a stack. `what` tells others what is being done. Raises Problems lock/held.

    A holder on this machine that is dead is replaced at once; one elsewhere when its lease has expired and it gives
    no sign for SILENT_S more, whatever the clocks say.
    """
    key = f"{project}/{stack}"
    while True:
        entry = carrier.read(key)
        old = _record(entry)
        if entry and old and old.owner:
            _refuse_while_held(carrier, key, old, entry)
        mine = Record(
            # Greater than any token before, even when the lease of a removed stack was forgotten.
            token=max((old.token if old else 0) + 1, int(time.time() * 1000)),
            owner=process.identity(),
            place=place(),
            who=_user(),
            what=what,
            since=time.time(),
            # Stays until its process is known to be gone: this owner may be killed before it looked.
            engine=old.engine if old and old.unclean else None,
        )
        if carrier.write(key, _content(mine), entry.content if entry else None):
            return Lease(carrier, key, mine, old if old and old.unclean else None)


def writer(carrier: Carrier, project: str, stack: str) -> str:
    """Who writes a stack now, for people; empty when nobody does, or only somebody who is known to be dead."""
    entry = carrier.read(f"{project}/{stack}")
    found = _record(entry)
    if entry is None or found is None or found.owner is None:
        return ""
    here = found.place == place()
    if (here and not process.alive(found.owner)) or (not here and entry.age_s >= EXPIRES_S):
        return ""
    return f"{found.who} on {found.place.split(' ')[0]}: {found.what}"


def _refuse_while_held(carrier: Carrier, key: str, old: Record, entry: Entry) -> None:
    assert old.owner is not None
    here = old.place == place()
    if here and not process.alive(old.owner):
        return
    if not here and entry.age_s >= EXPIRES_S and _silent(carrier, key, entry):
        return
    host = old.place.split(" ")[0]
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(old.since))
    holder = f"{old.who} on {host}, process {old.owner.pid}"
    hint = (
        "wait for it to end"
        if here
        else f"if it was killed, its lease ends {EXPIRES_S:.0f} s after its last sign"
    )
    raise Problems(
        Problem(
            "lock/held", f"stack {key} is being written by {holder}: {old.what}, since {since}", hint=hint
        )
    )


def _silent(carrier: Carrier, key: str, seen: Entry) -> bool:
    """Does a lease stay as it is for SILENT_S?"""
    until = time.monotonic() + SILENT_S
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, RENEW_S))
        now = carrier.read(key)
        if now is None or now.content != seen.content:
            return False
    return True


def _record(entry: Entry | None) -> Record | None:
    if entry is None:
        return None
    try:
        return Record.from_data(json.loads(entry.content))
    except (ValueError, KeyError, TypeError):
        return None  # not ours, or of a version to come: nobody can be shown to hold it


def _content(record: Record) -> bytes:
    return json.dumps(record.to_data(), sort_keys=True).encode() + b"\n"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
