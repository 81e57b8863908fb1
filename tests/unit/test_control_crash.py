"""Control is killed at every write of a life with a preemption; the next one goes on, and nothing happens twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skywright.control import desired, desk, loop, nodes, retention
from skywright.control.context import Control
from skywright.control.entries import Account, Attempt, Span, Work
from skywright.control.figures import Books, total
from skywright.control.orders import read_order
from skywright.control.rows import Deployment, Event, Node, NodeEvent, Operation, Run, Secret
from skywright.control.store import Store
from tests.e2e.control_fakes import FakeClock, FakeCloud, FakeOperations, order
from tests.faults.plugin import hit


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Burns through at the `at`-th write, before or after it is stored."""

    def __init__(self, at: int, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0

    @contextlib.contextmanager
    def around(self, store: Store) -> Iterator[None]:
        self.count += 1
        if self.count == self.at and not self.after:
            raise Killed
        yield
        if self.count == self.at and self.after and store._held.depth == 0:
            raise Killed


class PassiveAgent:
    """What one node would say, said when the test asks; keeps what was not acknowledged."""

    def __init__(self, node: str, rank: int) -> None:
        self.node, self.rank = node, rank
        self.joined = False
        self.version = 0
        self.seq = 0
        self.events: list[dict[str, Any]] = []
        self.key, self.phase = (0, 0), ""
        self.started: list[tuple[int, int]] = []
        self.noticed = False

    def start(self) -> None: ...
    def die(self) -> None: ...

    def notice(self, seconds: float) -> None:
        if not self.noticed:
            self.noticed = True
            self.say("notice", deadline_s=seconds, source="test")
            if self.phase in ("ready", "running"):
                self.enter("preempted")
            self.say("drained", run=self.key[0], attempt=self.key[1])

    def say(self, kind: str, **fields: Any) -> None:
        self.seq += 1
        self.events.append({"seq": self.seq, "at": float(self.seq), "kind": kind, **fields})

    def enter(self, phase: str, **fields: Any) -> None:
        self.phase = phase
        self.say("phase", run=self.key[0], attempt=self.key[1], phase=phase, **fields)

    async def turn(self, control: Control) -> None:
        """Join, tell, and follow what is wanted; the second attempt succeeds, the first goes on."""
        try:
            if not self.joined:
                await nodes.join(control, self.node, {"proof": f"proof of {self.node}", "boot_id": "b"})
                self.joined = True
        except nodes.Refused:
            return
        row = control.store.first(Node, node=self.node)
        if row is None or row.revoked:
            return
        acked = nodes.take_events(control, row, list(self.events))
        self.events = [event for event in self.events if event["seq"] > acked]
        row = control.store.first(Node, node=self.node)
        deployment = control.store.first(Deployment, uid=row.uid) if row else None
        if row is None or deployment is None:
            return
        self.version, wish = desired.newest(control, deployment, row, self.version)
        if wish and wish["run"] and not self.noticed:
            self.follow(wish["run"])

    def follow(self, run: dict[str, Any]) -> None:
        key = (run["id"], run["attempt"])
        if key > self.key:
            self.key = key
            self.enter("cancelled" if run["cancel"] else "ready")
        if self.phase in ("ready", "running") and run["cancel"]:
            self.enter("cancelled")
        elif self.phase == "ready" and run["go"] == "run":
            self.started.append(key)
            self.enter("running")
            if run["attempt"] == 2:
                self.enter("succeeded", exit_code=0)


class Life:
    """From launch to gone with one preemption; control is made anew whenever it was killed."""

    def __init__(self, home: Path, fuse: Fuse, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.fuse = home, fuse
        self.cloud = FakeCloud()
        self.agents: list[PassiveAgent] = []
        self.operations = FakeOperations(self.cloud, self._agent)  # type: ignore[arg-type]
        self.kills = 0
        self.name = "hello"
        add, change = Store.add, Store.change

        def guarded_add(store: Store, row: Any) -> bool:
            with fuse.around(store):
                return add(store, row)

        def guarded_change(store: Store, row: Any, **values: Any) -> bool:
            with fuse.around(store):
                return change(store, row, **values)

        monkeypatch.setattr(Store, "add", guarded_add)
        monkeypatch.setattr(Store, "change", guarded_change)

    def _agent(self, node: str, rank: int) -> PassiveAgent:
        self.agents.append(PassiveAgent(node, rank))
        return self.agents[-1]

    def open(self) -> Control:
        control = Control(self.home, self.operations, lambda _: self.cloud, FakeClock())  # type: ignore[arg-type, return-value]
        control.store._connection.exec_driver_sql("PRAGMA synchronous=OFF")
        return control

    async def live(self) -> None:
        control = self.open()
        for _ in range(150):
            try:
                if await self.step(control):
                    control.store.close()
                    return
            except Killed:
                self.kills += 1
                control.store.close()
                control = self.open()
        pytest.fail(f"it does not end: {[event.text for event in control.store.find(Event, order='seq')]}")

    def order(self) -> dict[str, Any]:
        return order(self.name, nodes=2)

    def lose(self) -> None:
        """The second node is taken away."""
        for agent in list(self.cloud.agents.values()):
            if agent.rank == 1 and agent.phase == "running":
                agent.notice(30)

    async def step(self, control: Control) -> bool:
        """One turn of people, control and nodes. Is all over?"""
        row = control.store.first(Deployment, name=self.name)
        if row is None:
            desk.launch(control, read_order(self.order()))
            return False
        if row.ended:
            return True
        run = control.store.first(Run, uid=row.uid, run=1)
        if run and run.status == "RUNNING" and run.attempt == 1:
            self.lose()
        if run and run.ended and row.wanted == "up":
            desk.down(control, self.name, False, {})
        await loop.turn(control)
        self.cloud.of(self.name)  # never two nodes of one rank
        for agent in list(self.cloud.agents.values()):
            await agent.turn(control)  # type: ignore[attr-defined]
        return False


class Wandering(Life):
    """The first place refuses half way, the second when a node was lost; in the third it ends."""

    def open(self) -> Control:
        self.operations.full.setdefault("us-a", 1)
        return super().open()

    def order(self) -> dict[str, Any]:
        return order(self.name, nodes=2, zones=("us-a", "eu-a", "ap-a"))

    def lose(self) -> None:
        self.operations.full = {"us-a": 1, "eu-a": 0}
        super().lose()

    def check(self) -> None:
        store = Store(self.home / "control" / "control.db")
        [deployment] = store.find(Deployment)
        assert (deployment.stage, deployment.place) == ("gone", "local ap-a")
        assert (deployment.outgoing, deployment.move) == (None, None)
        [run] = store.find(Run)
        assert (run.status, run.exit_code, run.attempt, run.preemptions) == ("SUCCEEDED", 0, 2, 1)
        assert self.cloud.nodes == {}
        for agent in self.agents:
            assert len(agent.started) == len(set(agent.started)), "a task was started twice"
        assert len(self.agents) == 6, "one that the first place let in, twice, two in each of the others"
        operations = store.find(Operation, order="started")
        assert [(one.kind, one.spec["region"]) for one in operations] == [
            *(("up", "us"), ("destroy", "us"), ("up", "eu")),
            *(("up", "eu"), ("up", "us"), ("destroy", "us"), ("up", "ap"), ("destroy", "eu")),
            ("destroy", "ap"),
        ]
        texts = [event.text for event in store.find(Event, order="seq")]
        assert len([text for text in texts if " moved from " in text]) == 1
        assert len([text for text in texts if " refused: " in text]) == 3
        check_ledger(store)
        store.close()


def check_ledger(store: Store) -> None:
    """It holds each node, run and attempt once, and agrees with what the other tables say of them."""
    nodes = {row.node: row for row in store.find(Node)}
    spans = store.find(Span)
    assert sorted(span.node for span in spans) == sorted(nodes), "each node has one time"
    for span in spans:
        node = nodes[span.node]
        assert (span.began, span.ended, span.rank) == (node.created, node.gone, node.rank)
    [account] = store.find(Account)
    [run] = store.find(Run)
    [work] = store.find(Work)
    assert account.closed is not None
    assert (work.submitted, work.ended, work.status) == (run.submitted, run.ended, "SUCCEEDED")
    attempts = store.find(Attempt, order="attempt")
    assert [(one.attempt, one.how) for one in attempts] == [(1, "preempted"), (2, "SUCCEEDED")]
    assert sum(one.lost_s for one in attempts) == run.lost_work_s
    told = total(Books(account, spans, [work], attempts), 1e10)
    assert (told.preemptions, told.recoveries, told.runs) == (run.preemptions, run.recoveries, 1)
    assert told.running_s == pytest.approx(sum((row.gone or 0) - row.created for row in nodes.values()))


def check(life: Life) -> None:
    store = Store(life.home / "control" / "control.db")
    [deployment] = store.find(Deployment)
    assert deployment.stage == "gone"
    [run] = store.find(Run)
    assert (run.status, run.exit_code, run.attempt, run.preemptions) == ("SUCCEEDED", 0, 2, 1)
    assert life.cloud.nodes == {}
    for agent in life.agents:
        assert len(agent.started) == len(set(agent.started)), "a task was started twice"
    assert len(life.agents) == 3, "as many nodes as needed: two, and one for the lost one"
    kinds = [operation.kind for operation in store.find(Operation, order="started")]
    assert kinds == ["up", "up", "destroy"]
    texts = [event.text for event in store.find(Event, order="seq")]
    assert len([text for text in texts if " replaced (" in text]) == 1
    assert [event.seq for event in store.find(Event, order="seq")] == list(range(1, len(texts) + 1))
    check_ledger(store)
    store.close()


@pytest.mark.fault("control killed")
@pytest.mark.parametrize("stride", [6, pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_every_write_may_be_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    """Each `stride`-th write, alternately just before it and just after it is stored."""
    with monkeypatch.context() as patched:
        whole = Fuse(0, after=False)
        life = Life(tmp_path / "whole", whole, patched)
        asyncio.run(life.live())
        check(life)
    points = [(at, after) for at in range(1, whole.count + 1) for after in (False, True)]
    kills = 0
    for at, after in points[:: stride + (stride > 1)]:
        with monkeypatch.context() as patched:
            life = Life(tmp_path / f"{at}-{after}", Fuse(at, after), patched)
            asyncio.run(life.live())
            check(life)
            kills += life.kills
    assert kills > len(points[::stride]) / 3
    hit(kills)


@pytest.mark.fault("control killed")
@pytest.mark.parametrize("stride", [16, pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_every_write_of_a_life_in_three_places_may_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    with monkeypatch.context() as patched:
        whole = Fuse(0, after=False)
        life = Wandering(tmp_path / "whole", whole, patched)
        asyncio.run(life.live())
        life.check()
    points = [(at, after) for at in range(1, whole.count + 1) for after in (False, True)]
    for at, after in points[:: stride + (stride > 1)]:
        with monkeypatch.context() as patched:
            life = Wandering(tmp_path / f"{at}-{after}", Fuse(at, after), patched)
            asyncio.run(life.live())
            life.check()
            hit(life.kills)


def test_of_the_past_only_the_newest_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "GONE", 1)
    for number in range(2):
        with monkeypatch.context() as patched:
            life = Life(tmp_path, Fuse(0, after=False), patched)
            life.name = f"hello-{number}"
            asyncio.run(life.live())
    store = Store(tmp_path / "control" / "control.db")
    assert [row.name for row in store.find(Deployment)] == ["hello-1"]
    assert [row.name for row in store.find(Account, order="opened")] == ["hello-0", "hello-1"], "money stays"
    assert {run.uid for run in store.find(Run)} == {row.uid for row in store.find(Deployment)}
    assert store.find(NodeEvent) == []
    assert store.find(Secret) == []
    assert list((tmp_path / "control" / "operations").iterdir()) == []
    store.close()
