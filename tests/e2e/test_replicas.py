"""Replicas of control over PostgreSQL: the one at work is killed, twice; nothing is lost, nothing happens twice."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from skywright.control.rows import Event, Lease, Node, Operation, Replica, Run
from skywright.control.store import Store
from tests.e2e.conftest import Sky
from tests.e2e.test_losing_capacity import COUNTER, counts

pytestmark = pytest.mark.engine

COUNT_TO = 150


class Team:
    """Replicas as processes, by the store in which they meet."""

    def __init__(self, sky: Sky, where: str) -> None:
        self.sky, self.where = sky, where
        self.store = Store(where)
        self.running: dict[int, subprocess.Popen[str]] = {}

    def serve(self) -> int:
        """Another replica's pid, when it answers."""
        process = self.sky.start("control", "serve", "--store", self.where)
        self.running[process.pid] = process
        assert process.stdout
        assert "ready" in process.stdout.readline(), self.sky.diary()
        return process.pid

    def holder(self) -> int:
        """Who looks after the only deployment; 0: nobody yet."""
        lease = self.store.first(Lease)
        row = self.store.first(Replica, id=lease.holder) if lease else None
        return row.who["pid"] if row else 0

    def kill_holder(self) -> int:
        """kill -9 the one that is at work, and say who it was."""
        pid = self.sky.wait(self.holder, "a replica looks after it")
        self.running[pid].kill()
        self.running.pop(pid).communicate()
        return int(pid)

    def end(self) -> None:
        for process in self.running.values():
            process.terminate()
            process.communicate(timeout=30)
        self.store.close()


@pytest.fixture
def team(sky: Sky, postgres_place: Callable[[], str]) -> Iterator[Team]:
    made = Team(sky, postgres_place())
    yield made
    sky.run("down", "--all", "--yes", code=None)
    made.end()


@pytest.mark.timeout(400)
def test_a_replica_is_killed_in_mid_operation_and_in_mid_run(sky: Sky, team: Team) -> None:
    first, second = team.serve(), team.serve()
    told = sky.json("control")["replicas"]
    assert {row["pid"] for row in told} == {first, second}
    up = sky.start("up", "-d", str(COUNTER), "--env", f"COUNT_TO={COUNT_TO}", "--env", "PAUSE=0.1")
    operation = sky.wait(lambda: team.store.first(Operation, state="started"), "an operation is at work")
    killed = team.kill_holder()
    assert team.store.first(Operation, id=operation.id, ended=None), "it was killed in the middle"
    out, err = up.communicate(timeout=120)
    assert up.returncode == 0, (out, err)

    sky.wait(lambda: (sky.deployment("counter")["run"] or {}).get("progress"), "the counter reports progress")
    assert team.holder() == ({first, second} - {killed}).pop()
    third = team.serve()  # whom agents and people find first from now on, and who looks after nothing
    sky.run("chaos", "kill-agent", "counter", "--rank", "1")
    team.kill_holder()
    run = sky.wait_run("counter", "SUCCEEDED", "FAILED", "CANCELLED")
    assert (run["status"], run["attempt"], run["preemptions"]) == ("SUCCEEDED", 1, 0)
    assert team.holder() == third

    log = sky.run("logs", "counter", "--no-follow").stdout
    for rank in (0, 1):
        assert counts(log, rank) == list(range(1, COUNT_TO + 1)), "a line is missing or there twice"
    [made] = team.store.find(Operation)
    assert (made.kind, made.tries, made.state) == ("up", 1, "done"), "it was adopted, not begun again"
    assert [node.rank for node in team.store.find(Node, order="rank")] == [0, 1]
    assert len(team.store.find(Run)) == 1
    seqs = [event.seq for event in team.store.find(Event, order="seq")]
    assert seqs == list(range(1, len(seqs) + 1))
    texts = [event.text for event in team.store.find(Event, order="seq")]
    assert len([text for text in texts if text.startswith("up finished")]) == 1
    sky.run("down", "counter", "--yes")
    assert sky.nodes() == {}
    assert sky.stacks() == []
