"""Local nodes without control: a home of their own, and an agent that does what the test asks inside."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stacks.provider import nodes, starting
from tests.standins.fixtures import bench, moto, moto_of_worker, store  # noqa: F401 (fixtures)

sys.path.insert(0, str(Path(__file__).parent))
from aws_account import account  # noqa: F401 (fixture)
from desk import cli, desk  # noqa: F401 (fixtures)

AGENT = """
import json, os, subprocess, sys, time
manifest = json.load(open(sys.argv[1]))
state = manifest["state"]
with open(state + "/started", "a") as file:
    file.write(str(os.getpid()) + "\\n")
while True:
    for name in sorted(os.listdir(state)):
        if name.endswith(".ask"):
            path = os.path.join(state, name)
            with open(path) as file:
                script = file.read()
            os.remove(path)
            if script == "leave":
                sys.exit(0)
            done = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            with open(path + ".new", "wb") as file:
                file.write(done.stdout)
            os.rename(path + ".new", path[:-4] + ".answer")
    time.sleep(0.01)
"""
PATIENCE_S = 20.0


class Local:
    """One home with nodes in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.asked = 0
        agent = home / "agents" / "standin"
        agent.mkdir(parents=True)
        (agent / "agent.py").write_text(AGENT)

    def create(self, rank: int = 0, market: str = "spot", **more: object) -> nodes.Node:
        given = {"project": "project", "deployment": "hello", "agent": "standin", "deadman_s": 600.0, **more}
        return nodes.create(nodes.Order(rank=rank, market=market, **given))  # type: ignore[arg-type]

    def ask(self, node: nodes.Node, script: str) -> str:
        """What bash prints for `script` inside the node."""
        answer = self.send(node, script)
        self.until(answer.exists, f"{node.node} answers `{script}`")
        return answer.read_text().strip()

    def send(self, node: nodes.Node, script: str) -> Path:
        self.asked += 1
        path = node.folder / "agent" / f"{self.asked}.ask"
        new = path.with_suffix(".writing")
        new.write_text(script)
        new.rename(path)
        return path.with_suffix(".answer")

    def until(self, what: Callable[[], object], says: str) -> None:
        """Poll until `what()` is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline, f"never came true: {says}"
            time.sleep(0.01)

    def processes(self, node: nodes.Node | None = None) -> list[str]:
        """Command lines of living processes of a node, or of all nodes of this home."""
        mark = f"{node.folder if node else self.home / 'local' / 'nodes'}".encode()
        found = []
        for pid in os.listdir("/proc"):
            if pid.isdigit():
                try:
                    told = Path(f"/proc/{pid}/environ").read_bytes()
                    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if (mark in told or mark in command) and state != "Z":
                    found.append(f"{pid} {command.decode()}")
        return found

    def agents(self, node: nodes.Node) -> list[str]:
        """Process ids of the agents that were started, as the node sees them."""
        path = node.folder / "agent" / "started"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How nodes are kept apart in this test: the best there is, unless the test names one."""
    wanted = getattr(request, "param", "namespaces")
    if wanted not in starting.isolations():
        pytest.skip(f"{wanted} are not to be had here")
    monkeypatch.setenv("SKYWRIGHT_ISOLATION", wanted)
    return wanted


def mounted() -> list[str]:
    """What is mounted here, less the network namespaces and buckets of tests beside this one."""
    if not os.path.exists("/proc/mounts"):
        return []
    lines = Path("/proc/mounts").read_text().splitlines()
    return [line for line in lines if not line.startswith("nsfs /run/netns/") and " fuse.rclone " not in line]


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    home = tmp_path / "home"
    monkeypatch.setenv("SKYWRIGHT_HOME", str(home))
    mounts = mounted()
    made = Local(home)
    yield made
    for node in nodes.existing():
        nodes.remove(node.node)
    assert os.listdir(nodes.root()) == []
    if mounts:
        assert mounted() == mounts
        assert made.processes() == [], "something of a node still runs"
