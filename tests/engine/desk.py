"""A desk at the real engine: a home of its own, a stand-in agent, and operations run to their end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Market
from compiler.spec import StackSpec
from stacks import backend, engine, home, install, local, operate, process
from stacks.operate import Request

CACHE = home.cache()
"""The real one, whatever a test makes of HOME: it holds the engine."""

AGENT = "5ta9d1"
SLEEPER = "import signal\nsignal.pause()\n"


def wait(condition: Callable[[], Any], seconds: float = 30, what: str = "") -> Any:
    """Poll until `condition` is true; its value is returned."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.005)
    return value


@dataclass
class Desk:
    """One isolated home, and operations asked for in it."""

    root: Path
    count: int = 0

    @property
    def state(self) -> Path:
        return self.root / "home" / "state"

    @property
    def mark(self) -> str:
        """In the environment of every engine of the deployment `train`."""
        return engine.mark(backend.settle({}), self.spec())

    def spec(self, nodes: int = 1, deployment: str = "train", **changes: Any) -> StackSpec:
        values: dict[str, Any] = {
            "project": "proj",
            "stack": f"{deployment}-local",
            "deployment": deployment,
            "cloud": "local",
            "instance_type": local.INSTANCE_TYPE,
            "market": Market.SPOT,
            "nodes": nodes,
            "agent": AGENT,
        }
        return StackSpec(**{**values, **changes})

    def begin(self, kind: str, spec: StackSpec, **request: Any) -> Path:
        self.count += 1
        folder = self.root / "operations" / str(self.count)
        operate.start(Request(folder.name, operate.Kind(kind), spec, **request), folder)
        return folder

    def ended(self, folder: Path, seconds: float = 180) -> dict[str, Any] | None:
        """The result of an operation whose process has ended, or None when it was killed."""
        wait(lambda: not operate.running(folder), seconds, f"the end of {folder}")
        return operate.result(folder)

    def run(self, kind: str, spec: StackSpec, **request: Any) -> dict[str, Any]:
        folder = self.begin(kind, spec, **request)
        result = self.ended(folder)
        assert result is not None, (folder / "output.txt").read_text()
        return result

    def well(self, kind: str, spec: StackSpec, **request: Any) -> dict[str, Any]:
        result = self.run(kind, spec, **request)
        assert result["ok"], result["problem"]
        return result

    def nodes(self) -> list[tuple[int, str, bool]]:
        """(rank, id, alive) of what the cloud has."""
        return sorted((node.rank, node.node, node.alive) for node in local.inventory())

    def locks(self) -> list[Path]:
        """Pulumi's locks on stacks."""
        return list((self.state / ".pulumi" / "locks").rglob("*.json"))

    def clear(self) -> None:
        """End and remove whatever is left."""
        for folder in (self.root / "operations").glob("*"):
            if (who := operate.owner(folder)) is not None:
                process.end(who)
        for stack in ("train-local", "other-local"):
            engine.end_leftovers(self.mark.replace("train-local", stack), None)
        for node in local.inventory():
            with contextlib.suppress(Exception):
                local.remove(node.node)


@pytest.fixture(scope="session")
def cli() -> install.Engine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKYWRIGHT_CACHE", str(CACHE))
        found = install.find()
    assert found is not None, "these tests need the engine: `./invoke engine` gets it"
    return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: install.Engine) -> Iterator[Desk]:
    for name in list(os.environ):
        if name.startswith("PULUMI_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SKYWRIGHT_CACHE", str(CACHE))
    made = open_desk(tmp_path, monkeypatch)
    yield made
    made.clear()


def open_desk(root: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose home is the one of this process from now on."""
    monkeypatch.setenv("SKYWRIGHT_HOME", str(root / "home"))
    agent = home.home() / "agents" / AGENT
    agent.mkdir(parents=True)
    (agent / "agent.py").write_text(SLEEPER)
    return Desk(root)
