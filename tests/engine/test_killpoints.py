"""kill -9 around every call the engine makes to the provider: the request again ends in what was wished."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk, open_desk
from killpoints import CHAIN, NEVER, Killer, Point

from stacks import engine, local
from tests.faults.plugin import hit

pytestmark = pytest.mark.engine

ALL = CHAIN[:3]
KINDS = ("up", "replace", "destroy")


class Watch:
    """Looks at the cloud all the time: no rank may ever have two living nodes."""

    def __init__(self) -> None:
        self.twice: list[str] = []
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            ranks = Counter((node.deployment, node.rank) for node in local.inventory() if node.alive)
            self.twice += [f"{key}: {count}" for key, count in ranks.items() if count > 1]
            self.looks += 1


class Scene:
    """A deployment of two nodes that `kind` is about to be done to."""

    def __init__(self, desk: Desk, kind: str) -> None:
        self.desk, self.kind = desk, kind
        self.before: list[dict] = []
        if kind != "up":
            self.before = desk.well("up", desk.spec(2))["nodes"]

    def request(self) -> dict:
        verb = "destroy" if self.kind == "destroy" else "up"
        lost = (self.before[1]["id"],) if self.kind == "replace" else ()
        return {"kind": verb, "spec": self.desk.spec(2), "lost": lost}

    def hit(self, point: Point) -> list[str]:
        """Do it with the killer around; the calls that were made."""
        killer = Killer(self.desk.root / "killer" / str(point), point)
        folder = self.desk.begin(**self.request(), env=killer.env)
        result = self.desk.ended(folder)
        assert (result is None) == (bool(point.call) and "operation" in point.targets)
        return killer.calls()

    def finish(self, twice: bool) -> None:
        """Do it again, and look at everything."""
        desk = self.desk
        result = desk.run(**self.request())
        assert result["ok"], result["problem"]
        assert engine.leftovers(desk.mark) == []
        assert desk.locks() == []
        if self.kind == "destroy":
            assert desk.nodes() == []
            assert not list((desk.state / ".pulumi" / "stacks").rglob("train-local.json"))
            return
        state = [(row["rank"], row["id"], True) for row in result["nodes"]]
        assert desk.nodes() == state
        assert [rank for rank, _, _ in state] == [0, 1]
        if self.kind == "replace":
            assert result["nodes"][0]["id"] == self.before[0]["id"]
            assert result["nodes"][1]["id"] != self.before[1]["id"]
        checkpoint = desk.state / ".pulumi" / "stacks" / "proj" / "train-local.json"
        assert "pending_operations" not in checkpoint.read_text()
        if twice:
            again = desk.well(**self.request())
            assert again["changes"] == {"same": 2}, "what is wished is there: nothing more to do"


def strike(desk: Desk, kind: str, point: Point, twice: bool = False) -> list[str]:
    scene = Scene(desk, kind)
    with Watch() as watch:
        calls = scene.hit(point)
        scene.finish(twice)
    assert watch.twice == [], f"two nodes of one rank ({point})"
    return calls


@pytest.mark.fault("operation killed")
@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("up", Point(7, "before")),
        ("up", Point(7, "after")),
        ("up", Point(7, "before", ("operation",))),
        ("replace", Point(8, "after")),
        ("destroy", Point(5, "before", ("engine",))),
    ],
    ids=str,
)
def test_killed_at_a_telling_point(desk, kind, point):
    calls = strike(desk, kind, point)
    assert len(calls) >= point.call, f"the point was not reached: {calls}"


@pytest.fixture
def desks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Iterator:
    """A fresh desk for every point."""
    opened: list[Desk] = []

    def fresh() -> Desk:
        if opened:
            opened[-1].clear()
        opened.append(open_desk(tmp_path / f"desk-{len(opened)}", monkeypatch))
        return opened[-1]

    yield fresh
    for one in opened[-1:]:
        one.clear()


@pytest.mark.fault("operation killed")
@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_around_every_call(desks, kind):
    calls = Scene(desks(), kind).hit(NEVER)
    assert calls
    numbers = range(1, len(calls) + 1)
    points = [Point(n, when, ALL) for n in numbers for when in ("before", "after")]
    # One of the three alone leaves the others to notice it.
    acting = [n for n in numbers if calls[n - 1] in ("Create", "Update", "Delete")]
    points += [Point(n, "before", (one,)) for n in acting for one in ALL]
    for point in points:
        strike(desks(), kind, point, twice=True)
        hit()
    print(f"\n{kind}: {len(calls)} calls ({', '.join(calls)})")
