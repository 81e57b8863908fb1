"""Control is killed at writes of a move: the next one goes on, and the checkpoint is whole in one place."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from compiler.problem import Problems
from skywright.control import machines, moving
from skywright.control.context import Control
from skywright.control.rows import Deployment, Event, Operation, Run
from skywright.control.store import Store
from tests.e2e.control_fakes import order
from tests.unit.test_control_crash import Fuse, Killed, Life


class Moving(Life):
    """From launch to gone, with a move from one region to another between."""

    def order(self) -> dict[str, object]:
        return order(self.name, nodes=2, zones=("us-a", "eu-a"), checkpoint="/c")

    def folder(self, region: str) -> Path:
        return self.home / "local" / "kept" / "proj" / f"{self.name}@{region}"

    async def step(self, control: Control) -> bool:
        try:
            over = await super().step(control)
            await asyncio.gather(*control.carried.values(), return_exceptions=True)
            return over
        except Killed:
            await asyncio.gather(*control.carried.values(), return_exceptions=True)
            raise

    def lose(self) -> None:
        """Nothing is lost: somebody wants it elsewhere."""
        self.folder("us").mkdir(parents=True, exist_ok=True)
        (self.folder("us") / "step").write_text("41")
        store = Store(self.home / "control" / "control.db")
        moved = store.find(Deployment)[0].place == "local eu-a"
        store.close()
        if not moved and self.wants is not None:
            with contextlib.suppress(Problems):  # it is under way
                machines.move(self.wants, self.name, None, {})

    wants: Control | None = None

    def open(self) -> Control:
        self.wants = super().open()
        return self.wants

    def check(self) -> None:
        store = Store(self.home / "control" / "control.db")
        [deployment] = store.find(Deployment)
        assert (deployment.stage, deployment.place) == ("gone", "local eu-a")
        assert (deployment.outgoing, deployment.move) == (None, None)
        [run] = store.find(Run)
        assert (run.status, run.exit_code, run.attempt, run.preemptions) == ("SUCCEEDED", 0, 2, 0)
        assert (self.folder("eu") / "step").read_text() == "41"
        assert [path.name for path in self.folder("eu").iterdir()] == ["step"]
        assert self.cloud.nodes == {}
        for agent in self.agents:
            assert len(agent.started) == len(set(agent.started)), "a task was started twice"
        assert len(self.agents) == 4, "two nodes in each place"
        operations = store.find(Operation, order="started")
        assert [(one.kind, one.spec["region"]) for one in operations] == [
            *(("up", "us"), ("up", "eu"), ("destroy", "us"), ("destroy", "eu"))
        ]
        texts = [event.text for event in store.find(Event, order="seq")]
        assert len([text for text in texts if " moved from " in text]) == 1
        assert len([text for text in texts if " on both sides" in text]) == 1
        store.close()


@pytest.mark.parametrize("stride", [16, pytest.param(1, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_every_write_of_a_move_may_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    monkeypatch.setattr(moving, "PAUSE_S", 0.0)
    with monkeypatch.context() as patched:
        whole = Fuse(0, after=False)
        life = Moving(tmp_path / "whole", whole, patched)
        asyncio.run(life.live())
        life.check()
    points = [(at, after) for at in range(1, whole.count + 1) for after in (False, True)]
    kills = 0
    for at, after in points[:: stride + (stride > 1)]:
        with monkeypatch.context() as patched:
            life = Moving(tmp_path / f"{at}-{after}", Fuse(at, after), patched)
            asyncio.run(life.live())
            life.check()
            kills += life.kills
    assert kills
    print(f"control was killed at {kills} points of {len(points)}")
