"""A laptop and a CI job on one stack, on every kind of backend: they race, one is killed, the other takes over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import backends
import pytest
from desk import Desk, wait
from killpoints import NEVER, Killer, Point

from stacks import carriers, engine, guard, home, operate, process
from stacks.operate import Kind, Request
from stacks.process import Identity

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),  # Google's own, once
]
LEASES = {"RENEW_S": 0.3, "GIVE_UP_S": 3.0, "EXPIRES_S": 4.0, "SILENT_S": 1.0}
"""As those of the product, but quicker."""

ELSEWHERE = f"""
import runpy, sys
from stacks import guard, lease
place = sys.argv[1]
lease.place = lambda: f"{{place}} boot pid:[1]"
for name, value in {LEASES!r}.items():
    setattr(lease, name, value)
guard.LATER_S = 0.5
sys.argv = ["operation", sys.argv[2]]
runpy.run_module("stacks.operation", run_name="__main__")
"""
"""An operation as another machine would run it: nobody can see from elsewhere whether its process lives."""

KILLED: dict[str, Point] = {
    "file": Point(8, "before", ("operation",)),
    "s3": Point(8, "after"),
    "gs": Point(7, "before"),
    "azblob": Point(8, "before", ("operation", "engine")),
    "postgres": Point(8, "after", ("operation",)),
}
"""Where the laptop is killed in CI; `--soak` kills it around every call."""


class Team:
    """Two that write one stack of one backend."""

    def __init__(self, desk: Desk, url: str, env: dict[str, str]) -> None:
        self.desk, self.url = desk, url
        self.env = {**env, "PULUMI_BACKEND_URL": url, "PULUMI_CONFIG_PASSPHRASE": "of the team"}
        self.count = 0
        self.stack = f"train-{id(self)}"

    def begin(self, place: str, kind: str, nodes: int = 2, env: dict[str, str] | None = None) -> Path:
        self.count += 1
        folder = self.desk.root / "operations" / f"{place}-{self.count}"
        folder.mkdir(parents=True)
        spec = self.desk.spec(nodes, stack=self.stack)
        request = Request(folder.name, Kind(kind), spec, env={**self.env, **(env or {})})
        home.write_json(folder / operate.REQUEST, request.to_data())
        with open(folder / "output.txt", "ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-c", ELSEWHERE, place, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**os.environ, **operate.own(request.env)},
                start_new_session=True,
            )
        home.write_json(folder / operate.OWNER, process.identity(child.pid).to_data())
        threading.Thread(target=child.wait, daemon=True).start()
        return folder

    def ended(self, folder: Path) -> dict[str, Any] | None:
        return self.desk.ended(folder, 120)

    def result(self, folder: Path) -> dict[str, Any]:
        found = self.ended(folder)
        assert found is not None, (folder / "output.txt").read_text()
        return found

    def record(self) -> dict[str, Any] | None:
        """The lease as it stands in the backend."""
        folder = Path(self.url.removeprefix("file://")) if self.url.startswith("file://") else None
        entry = carriers.carrier(folder, self.url).read(f"proj/{self.stack}")
        return None if entry is None else json.loads(entry.content)

    def held_by(self, place: str) -> bool:
        found = self.record()
        return bool(found and found["owner"] and found["place"].startswith(place))

    def takes_over(self, place: str, kind: str, nodes: int = 2) -> tuple[dict[str, Any], int]:
        """Ask again and again, as a person or a job would, until the lease is there; the result, and how often not."""
        refused = 0
        deadline = time.monotonic() + 60
        while True:
            found = self.result(self.begin(place, kind, nodes))
            if found["ok"]:
                return found, refused
            assert found["problem"]["code"] == "lock/held", found["problem"]
            assert time.monotonic() < deadline
            refused += 1


@pytest.fixture(params=backends.KINDS)
def team(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Team]:
    desk: Desk = request.getfixturevalue("desk")
    with ExitStack() as stack:
        url, env = stack.enter_context(backends.serving(request.param, tmp_path_factory.mktemp("backend")))
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        made = Team(desk, url, env)
        yield made
        for folder in (desk.root / "operations").glob("*"):
            if (who := operate.owner(folder)) is not None:
                process.end(who)


def life(team: Team, point: Point) -> list[str]:
    """The laptop begins, the CI job meets it, the laptop is killed, the CI job takes over; at the end they race."""
    killer = Killer(team.desk.root / "killer" / f"{team.stack}-{point}", point)
    laptop = team.begin("laptop", "up", env=killer.env)
    if point is not NEVER:
        wait(lambda: operate.running(laptop) and team.held_by("laptop"), 60, "the laptop's lease")
        met = team.result(team.begin("ci", "up"))
        if not met["ok"]:  # else the laptop was killed so early that its lease had ended by then
            assert met["problem"]["code"] == "lock/held"
            assert "on laptop, process " in met["problem"]["message"]
    assert (team.ended(laptop) is None) == (point is not NEVER)
    taken, _ = team.takes_over("ci", "up")
    nodes = [(row["rank"], row["id"], True) for row in taken["nodes"]]
    assert [rank for rank, _, _ in nodes] == [0, 1]
    assert team.desk.nodes() == nodes, "each rank once, and what the state says"
    ends = [team.result(folder) for folder in [team.begin(place, "destroy") for place in ("laptop", "ci")]]
    assert {one["ok"] or one["problem"]["code"] for one in ends} <= {True, "lock/held"}
    assert any(one["ok"] for one in ends)
    assert team.desk.nodes() == []
    return killer.calls()


def test_a_killed_writer_s_stack_is_taken_over_elsewhere(team: Team, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.params["team"]
    calls = life(team, KILLED[kind])
    assert len(calls) >= KILLED[kind].call, f"the point was not reached: {calls}"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_around_every_call_on_every_backend(team: Team) -> None:
    calls = life(team, NEVER)
    for number in range(1, len(calls) + 1):
        for when in ("before", "after"):
            for targets in (("operation",), ("operation", "engine", "provider")):
                team.stack = f"train-{number}-{when}-{len(targets)}"
                life(team, Point(number, when, targets))


@pytest.mark.parametrize("team", ["file"], indirect=True)
def test_a_writer_that_hung_and_lost_its_lease_writes_nothing_more(team: Team) -> None:
    """The laptop's operation is suspended in the middle; its guard ends the engine before anybody takes the lease."""
    killer = Killer(team.desk.root / "killer" / "hung", Point(8, "before", ("pause",)))
    laptop = team.begin("laptop", "up", env=killer.env)
    wait(lambda: len(killer.calls()) >= 8, 60, "the call that hangs")
    who = operate.owner(laptop)
    assert who is not None
    os.kill(who.pid, signal.SIGSTOP)
    try:
        mark = f"{team.url} proj/{team.stack}"
        assert engine.leftovers(mark), "its engine waits for the call"
        wait(lambda: not engine.leftovers(mark), 30, "the guard ends the engine")
        assert team.held_by("laptop"), "before anybody has its lease"
        taken, _ = team.takes_over("ci", "up")
        state = Path(team.url.removeprefix("file://")) / ".pulumi" / "stacks" / "proj" / f"{team.stack}.json"
        written = state.read_bytes()
    finally:
        os.kill(who.pid, signal.SIGCONT)
    late = team.result(laptop)
    assert late["problem"]["code"] in ("lock/lost", "engine/killed")
    assert state.read_bytes() == written
    assert team.desk.nodes() == [(row["rank"], row["id"], True) for row in taken["nodes"]]
    team.takes_over("ci", "destroy")


def test_a_guard_ends_the_engine_when_its_operation_is_gone_or_silent() -> None:
    def sleeper() -> tuple[subprocess.Popen[bytes], Identity]:
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        return child, process.identity(child.pid)

    for end in ("gone", "silent", "done"):
        child, who = sleeper()
        made = guard.Guard(60.0 if end != "silent" else -guard.LATER_S)
        made.engine(who)
        if end == "gone":
            assert made._child.stdin is not None
            made._child.stdin.close()
            made._child.wait()
        elif end == "silent":
            child.wait(30)
        if end == "done":
            made.done()
            assert process.alive(who), "an operation that ended well leaves nothing to end"
            child.kill()
        assert child.wait(30) == -signal.SIGKILL
        if end == "silent":
            made.done()
