"""Which deployments this replica of control looks after: a lease on each, which every write proves anew."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from compiler.problem import Problem, Problems
from skywright.control.rows import Lease, Replica
from skywright.control.store import Store
from stacks import process
from stacks.process import Identity

JOBS = "jobs"
"""The lease on all managed jobs: who has it also looks after their deployments."""

LEASE_S = 30.0
"""A replica that did not renew for so long is dead: others take its deployments over."""

BEAT_S = 15.0

FORGOTTEN_S = 3600.0
"""How long rows of dead replicas are kept."""


class Elsewhere(Exception):
    """Another replica looks after it: at `url`, or where is not known now and the caller begins again."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        super().__init__(url)


class Holdings(Protocol):
    """What of all deployments is ours."""

    def claim(self, uids: Iterable[str]) -> set[str]:
        """Those of the living ones that are ours, after taking over what nobody looks after."""
        ...

    def holds(self, uid: str) -> bool: ...

    def need(self, uid: str) -> None:
        """Take it if nobody else has it. Raises Elsewhere."""
        ...

    def guard(self, uid: str) -> contextlib.AbstractContextManager[None]:
        """Inside, every write proves that it is ours still. Raises store.Lost where it is not."""
        ...

    def lost(self, uid: str) -> None: ...

    def beat(self) -> None:
        """Say that we live; to be called every BEAT_S."""
        ...

    def end(self) -> None:
        """Give everything to the others."""
        ...


class Alone:
    """The only control of a home: everything is its own."""

    def claim(self, uids: Iterable[str]) -> set[str]:
        return set(uids)

    def holds(self, uid: str) -> bool:
        return True

    def need(self, uid: str) -> None:
        pass

    def guard(self, uid: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def lost(self, uid: str) -> None:
        pass

    def beat(self) -> None:
        pass

    def end(self) -> None:
        pass


class Among:
    """One of several replicas over one store, which are equal; whoever looks first takes what is free."""

    def __init__(self, store: Store, home: Path, url: str, taken: Callable[[str], None]) -> None:
        """`url` is where agents and people reach this one; `taken` is told of each deployment that became ours.

        Raises Problems control/other-home while replicas of another home live: keys and logs lie in the home.
        """
        self.id = secrets.token_hex(8)
        self._store, self._url, self._taken = store, url, taken
        self._who = whereabouts(home)
        self._mine: set[str] = set()
        for other in self._living().values():
            if _home(other.who) != _home(self._who):
                raise Problems(_other_home(other))
        self.beat()

    def beat(self) -> None:
        now = self._store.now()
        row = Replica(self.id, self._url, now + LEASE_S, self._who)
        if not self._store.change(row, until=row.until):
            self._store.add(row)
        for other in self._store.find(Replica):
            if other.until < now - FORGOTTEN_S:
                self._store.remove(Replica, id=other.id)

    def claim(self, uids: Iterable[str]) -> set[str]:
        wanted = set(uids)
        held = {lease.uid: lease.holder for lease in self._store.find(Lease)}
        there = self._living()
        self._mine = {uid for uid in wanted if held.get(uid) == self.id}
        for uid in wanted - self._mine:
            if held.get(uid) not in there and self._take(uid):
                self._mine.add(uid)
        for uid in [uid for uid, holder in held.items() if holder == self.id and uid not in wanted]:
            self._store.remove(Lease, uid=uid, holder=self.id)
        return set(self._mine)

    def holds(self, uid: str) -> bool:
        return uid in self._mine

    def need(self, uid: str) -> None:
        if uid in self._mine:
            return
        if not self._take(uid):
            lease = self._store.first(Lease, uid=uid)
            holder = self._living().get(lease.holder) if lease else None
            raise Elsewhere(holder.url if holder and holder.id != self.id else None)
        self._mine.add(uid)

    def guard(self, uid: str) -> contextlib.AbstractContextManager[None]:
        return self._store.only_while(uid, self.id)

    def lost(self, uid: str) -> None:
        self._mine.discard(uid)

    def end(self) -> None:
        self._mine.clear()
        with self._store.together():
            self._store.remove(Lease, holder=self.id)
            self._store.remove(Replica, id=self.id)

    def _living(self) -> dict[str, Replica]:
        now = self._store.now()
        return {row.id: row for row in self._store.find(Replica) if row.until > now and not _died(row.who)}

    def _take(self, uid: str) -> bool:
        """Ours from now on, unless a living one has it. A write that the old holder began is over or fails."""
        with self._store.together():
            lease = self._store.first(Lease, uid=uid)
            if lease and lease.holder != self.id and lease.holder in self._living():
                return False
            row = Lease(uid, self.id, self._store.now())
            if not self._store.add(row):
                self._store.change(row, holder=row.holder, since=row.since)
        if lease is None or lease.holder != self.id:
            self._taken(uid)
        return True


def whereabouts(home: Path) -> dict[str, Any]:
    """This process, where its pid means something (containers of one machine have the same boot), and whose it is."""
    found = home.stat()
    return {
        **process.identity().to_data(),
        "space": _space(),
        "home": f"{found.st_dev}:{found.st_ino}",
    }


def _home(who: dict[str, Any]) -> tuple[str, str]:
    return who["boot_id"], who["home"]


def _other_home(other: Replica) -> Problem:
    return Problem(
        "control/other-home",
        f"the store belongs to a control of another home or machine, which runs ({other.url})",
        hint="serve replicas from one home (docs/control.md); one that was ended for good is forgotten after 30 s",
    )


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _died(who: dict[str, Any]) -> bool:
    """Is it proven, without waiting for its lease, that the process is gone?"""
    here = (who["boot_id"], who["space"]) == (process.boot_id(), _space())
    return here and not process.alive(Identity.from_data(who))
