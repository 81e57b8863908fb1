"""Objects in a folder on the node, as the agent writes them and as control reaches them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.problem import Problem, Problems
from runtime.store import open_store
from stacks.objects import Unavailable
from stacks.objects.pods import PIECE, Pods

ROOT = Path(__file__).parents[2]
NODE = "train-3fa91c-0-x7k2p.team@arn:aws:eks:us-west-2:1:cluster/ml"


class Reached:
    """Pods by name, each a folder; every call is a process of the agent's own code."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder, self.there, self.calls = folder, list(names), 0

    def ask(self, pod: str, told: str) -> str | None:
        self.calls += 1
        if pod not in self.there:
            return None
        words = [
            sys.executable,
            str(ROOT / "runtime" / "agent.py"),
            "objects",
            str(self.folder / pod / "box"),
        ]
        return subprocess.run(words, input=told, capture_output=True, text=True, check=True).stdout

    def objects(self) -> Pods:
        return Pods(self.ask, lambda: self.there)

    def node(self, pod: str) -> object:
        return open_store({"kind": "folder", "bucket": str(self.folder / pod), "prefix": "box"})()


def test_both_sides_see_the_same_objects(tmp_path: Path) -> None:
    reached = Reached(tmp_path, "train-3fa91c-0-x7k2p")
    objects, node = reached.objects(), reached.node("train-3fa91c-0-x7k2p")
    key = f"up/{NODE}/events/000000000001"
    assert objects.get(key) is None
    assert node.new(key, b"one")  # type: ignore[attr-defined]
    assert not node.new(key, b"two")  # type: ignore[attr-defined]
    found = objects.get(key)
    assert found
    assert found.content == b"one"
    assert 0 <= found.age_s < 60
    again = objects.get(key, found.mark)
    assert again
    assert again.content is None
    objects.put(f"down/{NODE}/desired", b'{"acked": 1}')
    assert node.get(f"down/{NODE}/desired").content == b'{"acked": 1}'  # type: ignore[attr-defined]
    assert objects.list("up/") == [key]
    objects.delete([key, key])
    assert objects.list() == [f"down/{NODE}/desired"]
    assert node.size(key) is None  # type: ignore[attr-defined]


def test_archives_go_to_every_pod_that_lacks_them_in_pieces(tmp_path: Path) -> None:
    reached = Reached(tmp_path, "a", "b")
    large = b"0123456789abcdef" * ((PIECE + 1000) // 16)
    assert reached.objects().new("down/blobs/d1", io.BytesIO(large))
    assert not reached.objects().new("down/blobs/d1", io.BytesIO(large))
    reached.there.append("c")
    assert reached.objects().new("down/blobs/d1", large)
    for pod in "abc":
        pieces: list[bytes] = []
        found = reached.node(pod).get("down/blobs/d1", into=pieces.append)  # type: ignore[attr-defined]
        assert found
        assert b"".join(pieces) == large
    assert not reached.objects().new("down/agents/a1", b"comes with the pod")
    assert not list(tmp_path.rglob("a1"))


def test_a_pod_that_is_not_there_is_told_nothing_and_brought_nothing(tmp_path: Path) -> None:
    objects = Reached(tmp_path).objects()
    gone = f"down/{NODE}/desired"
    assert objects.get(gone) is None
    objects.put(gone, b"stop")
    objects.delete([gone])
    with pytest.raises(Unavailable, match="no pod runs yet"):
        objects.new("down/blobs/d1", b"x")


@pytest.mark.parametrize("key", ["", "../x", "up/../../x", "up//x", ".parts/x"])
def test_names_lead_nowhere_else(tmp_path: Path, key: str) -> None:
    with pytest.raises(Unavailable, match="no name of an object"):
        Reached(tmp_path, "a").objects().put(key, b"x")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != ".parts"] == []


@pytest.mark.parametrize(("code", "credentials"), [("cloud/credentials", True), ("cloud/no-answer", False)])
def test_a_cluster_that_does_not_answer_says_why(code: str, credentials: bool) -> None:
    def ask(pod: str, told: str) -> str:
        raise Problems(Problem(code, "cluster test: no"))

    with pytest.raises(Unavailable, match="cluster test: no") as caught:
        Pods(ask, lambda: ["a"]).get("up/a.b@c/beat")
    assert caught.value.credentials is credentials


def test_an_answer_that_is_none_is_no_answer() -> None:
    with pytest.raises(Unavailable, match="no such file"):
        Pods(lambda pod, told: "sh: no such file", lambda: ["a"]).get("x")
