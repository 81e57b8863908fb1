"""Which stacks `drift` looks at: names and patterns, of deployments and of stacks."""

from __future__ import annotations

import json

import pytest

from skywright.cli import drift
from skywright.cli.program import main
from stacks.drift import Drift


@pytest.fixture(autouse=True)
def stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"train-aws-us-east-1": "train", "eval-aws-us-east-1": "eval", "foundation-aws-us-east-1": ""}
    asked = [
        drift.Asked(name or stack, stack, lambda stack=stack: Drift(stack)) for stack, name in found.items()
    ]  # type: ignore[misc]
    monkeypatch.setattr(drift, "_deployments", lambda: asked[:1])
    monkeypatch.setattr(drift, "_stacks", lambda: asked)
    monkeypatch.setattr(drift, "ready_engine", lambda quiet: None)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["train", "eval", "foundation-aws-us-east-1"]),
        (["--all"], ["train", "eval", "foundation-aws-us-east-1"]),
        (["tr*n"], ["train"]),
        (["foundation-*", "eval-aws-us-east-?", "eval"], ["foundation-aws-us-east-1", "eval"]),
    ],
)
def test_names_and_patterns(words: list[str], names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", *words, "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["stacks"]] == names


def test_a_pattern_that_means_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "x*"]) == 4
    assert "there is no deployment `x*`" in capsys.readouterr().err
