"""One node's place in the bucket, read by control: objects become the calls that an agent makes over HTTP.

Whatever was taken in is stored before the document says so, and an object goes only after that: a control that is
killed anywhere in between does the same again, and bytes and events that come twice are known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from skywright.control.hearing import NoSuchLog
from skywright.control.pace import ACK_S, REFRESH_S, Pace
from stacks.boot import BLOBS
from stacks.objects import Objects

AT_ONCE = 200
"""The most events that are read in one step."""

Log = tuple[int, int, str]

Aside = Callable[..., Awaitable[Any]]


class Desk(Protocol):
    """What is done with the words of one node: the same as for one that calls over HTTP."""

    def stopped(self) -> str | None:
        """Why the node is to stop for ever, if it is."""
        ...

    def join(self, who: Mapping[str, Any]) -> None:
        """Its agent has started."""
        ...

    def acked(self) -> int:
        """The highest event such that it and all before it are stored."""
        ...

    def hear(self, events: list[dict[str, Any]], observed: Any, age_s: float) -> None:
        """What the node said `age_s` seconds ago. Events that keep to no form are left out."""
        ...

    def log_size(self, log: Log) -> int:
        """Bytes that control has. Raises NoSuchLog."""
        ...

    def log(self, log: Log, offset: int, content: bytes) -> int:
        """Bytes at an offset; bytes that control has now. Raises NoSuchLog."""
        ...

    def ended(self, log: Log) -> bool:
        """Has the part ended, so that its node waits for the word that all of it is here?"""
        ...

    def wish(self, has: int) -> tuple[int, dict[str, Any] | None]:
        """The newest version of the desired state, and what it says unless that is `has`."""
        ...

    def archive(self, digest: str) -> Path | None:
        """A file that a run of this node refers to."""
        ...

    def pace(self) -> Pace: ...


class Mailbox:
    """`step` again and again keeps node and control at one level; from one event loop."""

    def __init__(
        self,
        node: str,
        objects: Objects,
        desk: Desk,
        steady: Callable[[], float],
        aside: Aside = asyncio.to_thread,
    ) -> None:
        """`aside` runs a call to the store beside the event loop."""
        self.aside = aside
        self.up, self.document = f"up/{node}", f"down/{node}/desired"
        self.objects, self.desk, self.steady = objects, desk, steady
        self._mark = ""
        self._beat: dict[str, Any] = {}
        self._who: tuple[Any, ...] | None = None
        self._version = 0
        self._wish: dict[str, Any] | None = None
        self._secrets: list[str] = []
        self._stored: dict[Log, int] = {}
        self._due: dict[Log, float] = {}
        self._brought: set[str] = set()
        self._used: list[str] = []
        self._written: dict[str, Any] | None = None
        self._written_at = 0.0

    async def step(self) -> bool:
        """One look and, when there is something to say, one answer. False after the last one: the node is out.

        Raises Unavailable.
        """
        why = self.desk.stopped()
        fresh = await self._look(why is None)
        await self._take_logs(fresh or why is not None)
        if why is None:
            await self._bring()
        if await self._answer(why) and self._used:
            used, self._used = self._used, []
            await self.aside(self.objects.delete, used)
        return why is None

    async def _look(self, welcome: bool) -> bool:
        """Takes in what the node said, if it is `welcome`; else only which logs it sends. Is more in these now?"""
        found = await self.aside(self.objects.get, f"{self.up}/beat", self._mark)
        if found is None or found.content is None:
            return False
        beat = _read(found.content)
        if beat is None:
            return False
        if not welcome:
            self._beat, self._mark = beat, found.mark
            return True
        who = tuple(beat.get(name) for name in ("boot_id", "agent", "pid"))
        if who != self._who:
            self.desk.join(beat)
            self._who = who
        acked, said = self.desk.acked(), int(beat.get("said", 0))
        events = []
        for seq in range(acked + 1, min(said, acked + AT_ONCE) + 1):
            name = f"{self.up}/events/{seq:012d}"
            one = await self.aside(self.objects.get, name)
            event = _read(one.content) if one and one.content else None
            if event is None:
                break
            events.append(event)
        self.desk.hear(events, beat.get("observed"), found.age_s)
        self._used += [f"{self.up}/events/{seq:012d}" for seq in range(acked + 1, self.desk.acked() + 1)]
        more = bool(events) or beat.get("logs") != self._beat.get("logs")
        self._beat = beat
        if said <= self.desk.acked():
            self._mark = found.mark  # else it is read again
        return more

    async def _take_logs(self, all_of_them: bool) -> None:
        """Append what lies where our copy of a log ends, and so on."""
        now = self.steady()
        sending = [log for log in map(_log, self._beat.get("logs", ())) if log]
        self._stored = {log: size for log, size in self._stored.items() if log in sending}
        for log in sending:
            if not all_of_them and now < self._due.get(log, 0.0):
                continue
            self._due[log] = now + self.desk.pace().segment_s / 2
            try:
                await self._take_log(log)
            except NoSuchLog:
                self._stored[log] = -1

    async def _take_log(self, log: Log) -> None:
        size = self._stored[log] = self.desk.log_size(log)
        while True:
            name = f"{self.up}/logs/{'.'.join(map(str, log))}/{size:015d}"
            found = await self.aside(self.objects.get, name)
            if found is None or not found.content:
                return
            self._stored[log] = self.desk.log(log, size, found.content)
            self._used.append(name)
            if self._stored[log] <= size:
                return
            size = self._stored[log]

    async def _bring(self) -> None:
        """The newest wish, and before the node reads of them the archives that it speaks of."""
        version, wish = self.desk.wish(self._version)
        if wish is not None:
            run = wish["run"]
            # Values reach the node from the cloud's own secret store: nobody who reads the bucket sees them.
            self._secrets = sorted(run["secrets"]) if run else []
            self._wish = {**wish, "run": {**run, "secrets": {}} if run else None}
            self._version = version
        run = self._wish["run"] if self._wish else None
        for item in run["files"] if run else ():
            path = self.desk.archive(item["digest"])
            if item["digest"] not in self._brought and path is not None:
                await self.aside(_bring, self.objects, f"{BLOBS}/{item['digest']}", path)
                self._brought.add(item["digest"])

    async def _answer(self, why: str | None) -> bool:
        """Say what we have and want, when it is time for that: True then."""
        pace = self.desk.pace()
        said = {
            "acked": self.desk.acked(),
            "logs": {".".join(map(str, log)): size for log, size in sorted(self._stored.items())},
            "desired": self._wish,
            "secrets": self._secrets,
            "every": pace.every(),
            "stop": why,
        }
        before, age_s = self._written or {}, self.steady() - self._written_at
        waits = self._written is None or age_s >= (ACK_S if said != before else REFRESH_S)
        for name in ("acked", "desired", "secrets", "every", "stop"):
            waits = waits or said[name] != before[name]
        for log, size in self._stored.items():
            known = before["logs"].get(".".join(map(str, log))) if before else None
            waits = waits or (size != known and (size < 0 or self.desk.ended(log)))
        if waits:
            # A store tells versions apart by content, and nodes hear from each one that control lives.
            document = json.dumps({**said, "at": round(self.steady(), 3)})
            await self.aside(self.objects.put, self.document, document.encode())
            self._written, self._written_at = said, self.steady()
        return waits


def _bring(objects: Objects, key: str, path: Path) -> None:
    with open(path, "rb") as file:
        objects.new(key, file)


def _read(content: bytes) -> dict[str, Any] | None:
    """What a node wrote, or None for what is no object of ours."""
    try:
        found = json.loads(content)
        if (
            isinstance(found, dict)
            and int(found.get("said", 0)) >= 0
            and isinstance(found.get("logs", []), list)
        ):
            return found
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _log(name: Any) -> Log | None:
    parts = str(name).split(".")
    if len(parts) == 3 and parts[0].isdecimal() and parts[1].isdecimal():
        return int(parts[0]), int(parts[1]), parts[2]
    return None
