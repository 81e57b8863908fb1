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

    def keep(self, lost: Callable[[str], None]) -> None:
        """Renew in a thread until released; `lost` is called there, once, with what happened."""
        threading.Thread(target=self._renew, args=(lost,), name="lease", daemon=True).start()

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
                return False
            self._record = record
            return True

    def _renew(self, lost: Callable[[str], None]) -> None:
        renewed = time.monotonic()
        while not self._done.wait(RENEW_S):
            try:
                if not self._write():
                    if not self._done.is_set():
                        lost("another operation has taken the lease")
                    return
                renewed = time.monotonic()
            except OSError as error:
                if time.monotonic() - renewed > GIVE_UP_S:
                    lost(f"the lease could not be renewed: {error}")
                    return


def acquire(carrier: Carrier, project: str, stack: str, what: str) -> Lease:
    """Become the only writer of a stack. `what` tells others what is being done. Raises Problems lock/held.

    A holder on this machine that is dead is replaced at once; one elsewhere when its lease has expired.
    """
    key = f"{project}/{stack}"
    while True:
        entry = carrier.read(key)
        old = _record(entry)
        if entry and old and old.owner:
            _refuse_while_held(key, old, entry.age_s)
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


def _refuse_while_held(key: str, old: Record, age_s: float) -> None:
    assert old.owner is not None
    here = old.place == place()
    if (here and not process.alive(old.owner)) or (not here and age_s >= EXPIRES_S):
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
