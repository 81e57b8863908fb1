"""Messages of nodes in any order, doubled, late, from replaced nodes, across restarts: control's own link, stateful."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from skywright.control import desk, loop
from skywright.control.app import application
from skywright.control.context import Control
from skywright.control.logbook import Part
from skywright.control.orders import read_order
from skywright.control.rows import Event, NodeEvent, Run, RunRank
from skywright.control.rows import Node as NodeRow
from tests.e2e.control_fakes import FakeClock, FakeCloud, FakeOperations, order
from tests.faults.plugin import hit

RANKS = st.integers(0, 1)
PHASES = ("pending", "ready", "running", "over")
SETTLE = 4
"""Turns of the reconcilers after which a loss has been found, fenced and mended."""


@dataclass(frozen=True)
class Message:
    """One call of a node as it went onto the wire, with the token it had then."""

    node: str
    method: str
    path: str
    query: str
    body: bytes
    token: str


class Sender:
    """What one node said and knows. It keeps to docs/link.md; the network does not."""

    def __init__(self, node: str, rank: int) -> None:
        self.node, self.rank = node, rank
        self.token = ""
        self.joins = 0
        self.said: list[dict[str, Any]] = []
        self.acked = self.version = 0
        self.key, self.phase = (0, 0), ""
        self.logs: dict[tuple[int, int], bytes] = {}
        self.following = 0
        self.stopped = False

    def start(self) -> None: ...
    def die(self) -> None: ...

    def say(self, phase: str, **more: Any) -> None:
        self.phase = phase
        run, attempt = self.key
        event = {"kind": "phase", "run": run, "attempt": attempt, "phase": phase, **more}
        self.said.append({"seq": len(self.said) + 1, "at": 1.0, **event})


class Link(RuleBasedStateMachine):
    """A deployment of two nodes; the wire holds every message for as long as it likes and hands over copies."""

    folder: Callable[[], Path]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.home = self.folder()
        self.cloud, self.clock = FakeCloud(), FakeClock()
        self.senders: dict[str, Sender] = {}
        self.operations = FakeOperations(self.cloud, self._make)  # type: ignore[arg-type]
        self.wire: list[Message] = []
        self.handed: set[int] = set()
        self.went: dict[tuple[int, int, int], str] = {}
        """Who was let go, by run, attempt and rank."""
        self.before: dict[str, Any] = {}
        self.open()
        desk.launch(self.control, read_order(order("hello", nodes=2, keep=True)))
        self.settle()
        for rank in (0, 1):
            self.joins(rank)
        for _ in range(5):  # joined, ready, told so, let go, running
            for rank in (0, 1):
                self.syncs(rank, at_once=True)
            self.settle()
        assert [self.living(rank).phase for rank in (0, 1)] == ["running"] * 2

    def _make(self, node: str, rank: int) -> Sender:
        self.senders[node] = Sender(node, rank)
        return self.senders[node]

    def open(self) -> None:
        self.control = Control(self.home, self.operations, lambda _: self.cloud, self.clock)  # type: ignore[arg-type, return-value]
        self.app = application(self.control, "the user's", lambda: None)

    def settle(self) -> None:
        async def turns() -> None:
            for _ in range(SETTLE):
                await loop.turn(self.control)

        self.loop.run_until_complete(turns())

    def teardown(self) -> None:
        self.control.store.close()
        self.loop.close()

    def call(self, message: Message) -> tuple[int, dict[str, Any]]:
        """Hand a message to the application, as a server does."""
        path = f"/v1/nodes/{message.node}/{message.path}"
        scope = {
            "type": "http", "method": message.method, "path": path, "raw_path": path.encode(),
            "query_string": message.query.encode(), "http_version": "1.1", "scheme": "http", "root_path": "",
            "headers": [(b"authorization", f"Bearer {message.token}".encode())], "server": ("h", 1),
        }  # fmt: skip
        said: list[dict[str, Any]] = []
        bodies = iter([{"type": "http.request", "body": message.body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for one in bodies:
                return one
            await asyncio.Event().wait()
            raise AssertionError

        async def send(one: dict[str, Any]) -> None:
            said.append(one)

        self.loop.run_until_complete(self.app(scope, receive, send))  # type: ignore[arg-type]
        content = b"".join(one.get("body", b"") for one in said[1:])
        return said[0]["status"], json.loads(content)

    def living(self, rank: int) -> Sender:
        return self.senders[self.cloud.of("hello")[rank]]

    def put(self, sender: Sender, method: str, path: str, body: bytes, query: str = "") -> int:
        self.wire.append(Message(sender.node, method, path, query, body, sender.token))
        return len(self.wire) - 1

    # What nodes do.

    @rule(rank=RANKS)
    def joins(self, rank: int) -> None:
        """A start of its agent: it asks for a token, and knows nothing of answers that were under way."""
        sender = self.living(rank)
        body = json.dumps({"proof": f"proof of {sender.node}", "boot_id": "b"}).encode()
        status, answer = self.call(Message(sender.node, "POST", "join", "", body, ""))
        assert status == 200
        sender.token, sender.version = answer["token"], 0

    @rule(rank=RANKS, code=st.integers(0, 1))
    def goes_on(self, rank: int, code: int) -> None:
        sender = self.living(rank)
        if sender.phase == "running":
            size = len(sender.logs.get(sender.key, b""))
            sender.say("failed" if code else "succeeded", exit_code=code, log_bytes={"run": size})

    @rule(rank=RANKS, text=st.binary(min_size=1, max_size=40))
    def writes(self, rank: int, text: bytes) -> None:
        sender = self.living(rank)
        if sender.phase == "running":
            sender.logs[sender.key] = sender.logs.get(sender.key, b"") + text

    @rule(rank=RANKS, at_once=st.booleans())
    def syncs(self, rank: int, at_once: bool) -> None:
        sender = self.living(rank)
        events = [event for event in sender.said if event["seq"] > sender.acked]
        said = {"version": sender.version, "events": events, "observed": {}, "hold_s": 0}
        number = self.put(sender, "POST", "sync", json.dumps(said).encode())
        if at_once:
            self.hand_over(number, answered=True)

    @rule(rank=RANKS, back=st.integers(0, 30), size=st.integers(1, 60), at_once=st.booleans())
    def ships(self, rank: int, back: int, size: int, at_once: bool) -> None:
        sender = self.living(rank)
        text = sender.logs.get(sender.key, b"")
        if text:
            offset = max(0, min(sender.following, len(text)) - back)
            path = "logs/{}/{}/run".format(*sender.key)
            number = self.put(sender, "PUT", path, text[offset : offset + size], f"offset={offset}")
            if at_once:
                self.hand_over(number, answered=True)

    # What happens to messages and to control.

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), answered=st.booleans(), times=st.integers(1, 3))
    def arrives(self, data: st.DataObject, answered: bool, times: int) -> None:
        """Any message of any time, however often; its answer arrives or is lost."""
        number = data.draw(st.integers(0, len(self.wire) - 1))
        for _ in range(times):
            self.hand_over(number, answered)

    def hand_over(self, number: int, answered: bool) -> None:
        if number in self.handed or number < max(self.handed, default=0):
            hit()  # it is a copy, or one that comes after a later one
        self.handed.add(number)
        message = self.wire[number]
        sender = self.senders[message.node]
        row = self.control.store.first(NodeRow, node=sender.node)
        status, answer = self.call(message)
        if row is not None and row.revoked:
            assert (status, answer["stop"]) == (409, True), (
                "a node that was replaced is told to stop for ever"
            )
            sender.stopped = True
            return
        current = message.token == sender.token and bool(message.token)
        allowed = ((200, 409) if message.method == "PUT" else (200,)) if current else (401,)
        assert status in allowed
        if answered and current and not sender.stopped:
            self.hears(sender, message, answer)

    def hears(self, sender: Sender, message: Message, answer: dict[str, Any]) -> None:
        if message.method == "PUT":
            sender.following = int(answer["next"])
            return
        assert sender.acked <= len(sender.said)
        sender.acked = max(sender.acked, int(answer["acked"]))
        sender.version = int(answer["version"])
        run = (answer["desired"] or {}).get("run")
        if run is None:
            return
        key = (run["id"], run["attempt"])
        if key > sender.key:
            sender.key, sender.following = key, 0
            sender.say("cancelled" if run["cancel"] else "ready")
        if key == sender.key and sender.phase in ("ready", "running") and run["cancel"]:
            sender.say("cancelled")
        elif key == sender.key and sender.phase == "ready" and run["go"] == "run":
            place = (*key, sender.rank)
            assert self.went.setdefault(place, sender.node) == sender.node, (
                "two nodes run one rank of an attempt"
            )
            sender.say("running")

    @rule()
    def turns(self) -> None:
        self.settle()

    @rule()
    def control_is_killed(self) -> None:
        self.control.store.close()
        self.open()
        self.settle()

    @rule(rank=RANKS)
    def a_node_is_lost(self, rank: int) -> None:
        if len(self.senders) < 8:
            del self.cloud.nodes[self.living(rank).node]
            self.clock.passes(40)
            self.settle()

    # What holds.

    @invariant()
    def each_event_counts_once_and_in_its_order(self) -> None:
        for row in self.control.store.find(NodeRow):
            sender = self.senders[row.node]
            kept = [event.body for event in self.control.store.find(NodeEvent, order="seq", node=row.node)]
            assert kept == sender.said[: row.acked]
            assert sender.acked <= row.acked

    @invariant()
    def phases_go_forward_and_ends_are_final(self) -> None:
        for seat in self.control.store.find(RunRank):
            key = f"seat {seat.run} {seat.attempt} {seat.rank}"
            now = PHASES.index(seat.phase if seat.phase in PHASES else "over")
            was = self.before.get(key, (0, ""))
            assert now > was[0] or seat.phase == was[1] or (now == was[0] and now < 3), (seat, was)
            self.before[key] = (now, seat.phase)
        for run in self.control.store.find(Run):
            ended = self.before.get(f"run {run.run}")
            assert ended in (None, run.status)
            self.before[f"run {run.run}"] = run.status if run.ended else None

    @invariant()
    def logs_are_what_the_nodes_wrote(self) -> None:
        for seat in self.control.store.find(RunRank):
            part = Part(seat.attempt, seat.rank, "run")
            size = self.control.logbook.size(seat.uid, seat.run, part)
            found = self.control.logbook.read(seat.uid, seat.run, part, 0, size)
            assert self.senders[seat.node].logs.get((seat.run, seat.attempt), b"")[:size] == found
            key = f"log {seat.run} {part.name}"
            assert size >= self.before.get(key, 0)
            self.before[key] = size

    @invariant()
    def there_is_one_node_per_rank_and_one_timeline(self) -> None:
        ranks = [row.rank for row in self.control.store.find(NodeRow) if not row.revoked]
        assert len(ranks) == len(set(ranks))
        numbers = [event.seq for event in self.control.store.find(Event, order="seq")]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.fixture
def link(tmp_path: Path) -> Iterator[type[Link]]:
    numbers = iter(range(10**6))
    with contextlib.ExitStack():
        yield type("OwnLink", (Link,), {"folder": staticmethod(lambda: tmp_path / str(next(numbers)))})


@pytest.mark.fault("repeated and reordered messages")
@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        (4, 40),
        pytest.param(
            60,
            60,
            marks=[pytest.mark.fault("repeated and reordered messages", long=True), pytest.mark.timeout(600)],
        ),
    ],
)
def test_any_order_of_messages_means_the_same(link: type[Link], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        link,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
        ),
    )
