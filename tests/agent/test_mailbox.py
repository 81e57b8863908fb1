"""The mailbox, both of the product's sides on one bucket in memory: killed at every step, counted over a day."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from compiler.catalog.tariffs import REQUESTS
from runtime import mailbox as agent_side
from runtime import store as agent_store
from skywright.control import pace
from skywright.control.mailbox import Log, Mailbox
from skywright.control.pace import Pace
from stacks.objects import Found
from tests.faults.plugin import hit

EAGER = Pace(beat_s=1, poll_s=1, segment_s=1, look_s=1)
TEXT = bytes(range(256)) * 40
KEY = (1, 1, "run")


class Killed(BaseException):
    """The process ended here."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bucket:
    """Objects in memory for both sides. `kill_at`: (side, number of the call, before or after it)."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.held: dict[str, tuple[bytes, str, float]] = {}
        self.calls: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.kill_at: tuple[str, int, str] | None = None

    def side(self, name: str) -> Side:
        return Side(self, name)


class Side:
    """One side's view: what the agent's Store and control's Objects have in common."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self.bucket, self.name = bucket, name

    def _count(self, kind: str, when: str) -> None:
        if when == "before":
            self.bucket.calls[self.name] += 1
            self.bucket.kinds[kind] += 1
        if self.bucket.kill_at == (self.name, self.bucket.calls[self.name], when):
            self.bucket.kill_at = None
            raise Killed

    def get(self, key: str, mark: str = "", into: Any = None) -> Any:
        self._count("read", "before")
        found = self.bucket.held.get(key)
        self._count("read", "after")
        if found is None:
            return None
        content, now, at = found
        kind = agent_store.Found if self.name == "node" else Found
        return kind(None if now == mark else content, now, self.bucket.clock() - at)

    def size(self, key: str) -> int | None:
        found = self.get(key)
        return None if found is None else len(found.content)

    def put(self, key: str, content: bytes) -> None:
        self._count("write", "before")
        self.bucket.held[key] = (content, str(hash(content)), self.bucket.clock())
        self._count("write", "after")

    def new(self, key: str, content: Any) -> bool:
        self._count("write", "before")
        fresh = key not in self.bucket.held
        if fresh:
            self.bucket.held[key] = (content, str(hash(content)), self.bucket.clock())
        self._count("write", "after")
        return fresh

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._count("delete", "before")
            self.bucket.held.pop(key, None)
            self._count("delete", "after")

    def list(self, start: str = "") -> list[str]:
        return sorted(key for key in self.bucket.held if key.startswith(start))


class Control:
    """What outlives a kill of control: its store. It is a desk itself."""

    def __init__(self, pace: Pace) -> None:
        self.events: list[dict[str, Any]] = []
        self.text = bytearray()
        self.over = False
        self._pace = pace

    def stopped(self) -> None:
        return None

    def join(self, who: Any) -> None:
        pass

    def acked(self) -> int:
        return len(self.events)

    def hear(self, events: list[dict[str, Any]], observed: Any, age_s: float) -> None:
        for event in events:
            assert event["seq"] == len(self.events) + 1
            self.events.append(event)

    def log_size(self, log: Log) -> int:
        return len(self.text)

    def log(self, log: Log, offset: int, content: bytes) -> int:
        fresh = content[len(self.text) - offset :]
        self.text += fresh
        return len(self.text)

    def ended(self, log: Log) -> bool:
        return self.over

    def wish(self, has: int) -> tuple[int, dict[str, Any] | None]:
        return 1, {"version": 1, "run": None, "drain": False} if has != 1 else None

    def archive(self, digest: str) -> Path | None:
        return None

    def pace(self) -> Pace:
        return self._pace


class Node:
    """What outlives a kill of the agent: its journal and its log. `begin` is an agent's start."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.journal: list[dict[str, Any]] = []
        self.last = self.acked = 0
        self.text = b""
        self.wishes: list[int] = []
        self.begin()

    def begin(self) -> None:
        self.wishes.clear()
        manifest = {
            "node": "n",
            "link": {"store": {"kind": "s3", "region": "r", "bucket": "b", "prefix": "p"}},
        }
        box = agent_side.Mailbox(manifest, "agent", "boot")
        box.open_store = lambda: self.bucket.side("node")  # type: ignore[assignment, return-value]
        self.mail = box.sync(lambda: {"events": list(self.journal), "observed": {}}, self.deliver, print)
        self.logs = box.open_logs()
        self.sent: int | None = None

    def say(self, kind: str) -> None:
        self.last += 1
        self.journal.append({"seq": self.last, "kind": kind})

    def deliver(self, answer: dict[str, Any]) -> None:
        self.acked = answer["acked"]
        self.journal = [event for event in self.journal if event["seq"] > self.acked]
        if answer["desired"]:
            self.wishes.append(answer["desired"]["version"])

    def step(self) -> None:
        self.mail.once()
        if self.sent is None:
            self.sent = self.logs.begin(KEY)
        if self.sent is not None:
            self.sent = self.logs.stored(KEY, self.sent)[1]
            if self.sent < len(self.text):
                # Never the same pieces twice: an agent that was killed cuts otherwise.
                size = 700 + 13 * (self.bucket.calls["node"] % 17)
                self.sent = self.logs.put(KEY, self.sent, self.text[self.sent : self.sent + size])


def story(kill_at: tuple[str, int, str] | None, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Events and a log from a node to control; either side starts again when it is killed."""
    clock = Clock()
    monkeypatch.setattr(agent_side.time, "monotonic", clock)
    bucket = Bucket(clock)
    bucket.kill_at = kill_at
    control, node = Control(EAGER), Node(bucket)
    box = Mailbox("n", bucket.side("control"), control, clock)
    for turn in range(60):
        clock.now += 1.0
        if turn < 6:
            node.say(f"event {turn}")
            node.text = TEXT[: (turn + 1) * len(TEXT) // 6]
        if turn == 20:
            control.over = True
        try:
            node.step()
        except Killed:
            node.begin()
        try:
            assert asyncio.run(box.step())
        except Killed:
            box = Mailbox("n", bucket.side("control"), control, clock)
        if node.acked == 6 and node.sent is not None and node.logs.stored(KEY, node.sent)[0] == len(TEXT):
            break
    assert [event["kind"] for event in control.events] == [f"event {turn}" for turn in range(6)], kill_at
    assert bytes(control.text) == TEXT, kill_at
    assert node.journal == [], kill_at
    assert node.wishes == [1], kill_at
    return bucket.calls


@pytest.mark.fault("control killed")
@pytest.mark.fault("agent killed")
def test_a_kill_at_any_call_of_either_side_loses_and_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = story(None, monkeypatch)
    assert min(calls.values()) > 30
    points = 0
    for side, count in calls.items():
        for number in range(1, count + 1):
            for when in ("before", "after"):
                story((side, number, when), monkeypatch)
                points += 1
                hit(row="agent killed" if side == "node" else "control killed")
    print(f"{points} points of {sum(calls.values())} calls")


@pytest.mark.parametrize("name", sorted(pace.PACES))
def test_the_requests_of_a_day_are_those_that_are_computed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(agent_side.time, "monotonic", clock)
    bucket = Bucket(clock)
    wanted = pace.PACES[name]
    control, node = Control(wanted), Node(bucket)
    box = Mailbox("n", bucket.side("control"), control, clock)
    hour, tick = 3600.0, 0.25
    node_at = control_at = segment_at = clock.now

    async def live(seconds: float) -> None:
        nonlocal node_at, control_at, segment_at
        end = clock.now + seconds
        while clock.now < end:
            if clock.now >= node_at:
                node_at = clock.now + max(tick, node.mail.once())
            if name != "idle" and clock.now >= segment_at:
                node.sent = node.logs.begin(KEY) if node.sent is None else node.sent
                if node.sent is not None:
                    node.text += b"x" * 10
                    node.sent = node.logs.stored(KEY, node.logs.put(KEY, node.sent, b"x" * 10))[1]
                    segment_at = clock.now + node.logs.gather_s
            if clock.now >= control_at:
                await box.step()
                control_at = clock.now + wanted.look_s
            clock.now += tick

    asyncio.run(live(120))  # until the node goes at the pace it was told
    bucket.kinds.clear()
    asyncio.run(live(hour))
    day, found = pace.requests(name), bucket.kinds
    assert found["write"] * 24 == pytest.approx(day.writes, rel=0.05)
    assert found["read"] * 24 == pytest.approx(day.reads, rel=0.1)
    assert day.cost(REQUESTS["aws"]) == pytest.approx((day.writes * 0.005 + day.reads * 0.0004) / 1000)


def test_what_is_no_message_is_left_alone() -> None:
    clock = Clock()
    bucket = Bucket(clock)
    control = Control(EAGER)
    box = Mailbox("n", bucket.side("control"), control, bucket.clock)
    for nonsense in (b"", b"[1]", b"\xff", b"[" * 100_000, b'{"logs": 3}', b'{"said": "x"}', b'{"said": -1}'):
        bucket.side("node").put("up/n/beat", nonsense)
        assert asyncio.run(box.step())
    bucket.side("node").put("up/n/beat", b'{"said": 3, "logs": ["1.1.run", "x", "a.b.c", "1.1"], "at": 1}')
    bucket.side("node").put("up/n/events/000000000001", b"nonsense")
    assert asyncio.run(box.step())
    assert control.events == []
    clock.now += 60
    assert asyncio.run(box.step())
    document = json.loads(bucket.held["down/n/desired"][0])
    assert document["logs"] == {"1.1.run": 0}
