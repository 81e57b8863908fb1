"""Clouds that need credentials are asked in a process of their own, as whoever owns the deployment."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problems
from compiler.spec import Given
from stacks import asking
from stacks.cloud import Access, NodeFacts, Scope

TOY = """
import os, sys, time
from compiler.problem import Problem, Problems
from stacks.cloud import Access, NodeFacts

print("a library that prints")


def inventory(project=None, scope=None):
    print("noise")
    if os.environ.get("TOY_KEY") != "right":
        raise Problems(Problem("cloud/credentials", "the token has expired", hint="log in"))
    return (NodeFacts("n-1", project, "train", 0, "10.0.0.1", True, "now", region=scope.region),)


def remove(node, scope):
    raise RuntimeError(f"no {node} in {scope.given.account}")


def stop(nodes, scope):
    assert nodes == ("a", "b"), nodes


def access(node, scope):
    return Access(("ssm", node), ("forward", "{port}"), user="me")


def verify(node, proof, scope):
    return proof == "good"


def start(nodes, scope):
    os._exit(3)


def preempt(node, notice_s, scope):
    with open(os.environ["TOY_FILE"], "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toycloud.py").write_text(TOY)
    said = tmp_path / "toycloud-1.dist-info"
    said.mkdir()
    (said / "entry_points.txt").write_text("[skywright.clouds]\ntoy = toycloud\n")
    (said / "METADATA").write_text("Metadata-Version: 2.1\nName: toycloud\nVersion: 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def ask(folder: Path, what: str, *given: Any, scope: Scope | None = None, **env: str) -> Any:
    return asyncio.run(asking.ask("toy", what, *given, scope=scope or Scope("us-1"), env=env, folder=folder))


def test_the_answer_comes_with_the_credentials_and_the_place_that_were_given(toy: Path) -> None:
    found = ask(toy, "inventory", "proj", scope=Scope("eu-1"), TOY_KEY="right")
    assert found == (NodeFacts("n-1", "proj", "train", 0, "10.0.0.1", True, "now", region="eu-1"),)
    assert ask(toy, "access", "n-1") == Access(("ssm", "n-1"), ("forward", "{port}"), user="me")
    assert ask(toy, "verify", "n-1", "good") is True
    assert ask(toy, "stop", ("a", "b")) is None
    assert "TOY_KEY" not in os.environ


def test_refusals_and_failures_are_problems(toy: Path) -> None:
    with pytest.raises(Problems) as expired:
        ask(toy, "inventory", None, TOY_KEY="old")
    assert (expired.value.problems[0].code, expired.value.problems[0].hint) == (
        "cloud/credentials",
        "log in",
    )
    with pytest.raises(Problems, match="RuntimeError: no n-1 in 42"):
        ask(toy, "remove", "n-1", scope=Scope(given=Given(account="42")))
    with pytest.raises(Problems) as dead:
        ask(toy, "start", ())
    assert dead.value.problems[0].code == "cloud/no-answer"
    with pytest.raises(ValueError, match="build"):
        asking.question("toy", "build", ())


def test_one_that_hangs_is_ended(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = toy / "pid"
    monkeypatch.setattr(asking, "LONGEST_S", 3.0)
    with pytest.raises(Problems, match="nothing in 3 seconds"):
        ask(toy, "preempt", "n-1", None, TOY_FILE=str(pid))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_nothing_but_the_answer_is_on_its_stdout(toy: Path) -> None:
    """The answer is read even when a library writes to file descriptor 1."""
    content = asking.question("toy", "verify", ("n", "bad"), Scope())
    assert json.loads(content)["what"] == "verify"
    assert ask(toy, "verify", "n", "bad") is False
