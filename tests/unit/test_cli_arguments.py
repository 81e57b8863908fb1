"""What SkyPilot's users type, word by word."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.problem import Problems
from skywright.cli.arguments import parse
from skywright.cli.flags import Kind
from skywright.cli.verbs import VERBS, find


def given(line: list[str]) -> dict[str, Any]:
    """The values of a command line that were given."""
    verb = find(line[0])
    assert verb is not None
    values = parse(verb, line[1:], line[0]).given
    return {name: value for name, value in values.items() if value not in (None, ())}


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (
            ["launch", "-y", "-c", "train", "--infra", "local", "task.yaml"],
            {"yes": True, "cluster_name": "train", "infra": "local", "entry": ("task.yaml",)},
        ),
        (["launch", "-d", "task.yaml"], {"detach": True, "entry": ("task.yaml",)}),
        (
            ["launch", "task.yaml", "-dy", "-ctrain"],
            {"detach": True, "yes": True, "cluster_name": "train", "entry": ("task.yaml",)},
        ),
        (["launch", "-c=x", "echo hi"], {"cluster_name": "x", "entry": ("echo hi",)}),
        (
            ["launch", "--env", "A=1=2", "--env", "B", "--env=C=-x", "t.yaml"],
            {"env": ("A=1=2", "B", "C=-x"), "entry": ("t.yaml",)},
        ),
        (["launch", "--no-use-spot", "t.yaml"], {"use_spot": False, "entry": ("t.yaml",)}),
        (["launch", "--use-spot", "--no-use-spot", "t.yaml"], {"use_spot": False, "entry": ("t.yaml",)}),
        (
            ["launch", "--num-nodes", "2", "--num-nodes", "4", "t.yaml"],
            {"num_nodes": 4, "entry": ("t.yaml",)},
        ),
        (["launch", "-i", "-1", "t.yaml"], {"idle_minutes_to_autostop": -1, "entry": ("t.yaml",)}),
        (["exec", "train", "nvidia-smi"], {"deployment": "train", "entry": ("nvidia-smi",)}),
        (
            ["exec", "-c", "train", "echo", "hi", "there"],
            {"cluster_name": "train", "deployment": "train", "entry": ("echo", "hi", "there")},
        ),
        (
            ["exec", "train", "--", "ls", "-la", "--", "x"],
            {"deployment": "train", "entry": ("ls", "-la", "--", "x")},
        ),
        (
            ["logs", "train", "2", "--tail", "10", "--no-follow"],
            {"name": "train", "runs": ("2",), "tail": 10, "follow": False},
        ),
        (["logs", "train", "--sync-down"], {"name": "train", "sync_down": True}),
        (["cancel", "train", "1", "2"], {"name": "train", "runs": ("1", "2")}),
        (["cancel", "train", "-a"], {"name": "train", "all": True}),
        (["status", "-r", "train", "eval*"], {"refresh": True, "names": ("train", "eval*")}),
        (["down", "-y", "a", "b"], {"yes": True, "names": ("a", "b")}),
        (["autostop", "train", "-i", "5", "--down"], {"names": ("train",), "idle_minutes": 5, "down": True}),
        (["autostop", "train", "--cancel"], {"names": ("train",), "cancel": True}),
        (
            ["chaos", "preempt", "t", "--rank", "1", "--notice", "2.5"],
            {"kind": "preempt", "name": "t", "rank": 1, "notice": 2.5},
        ),
    ],
)
def test_fingers_work(line: list[str], values: dict[str, Any]) -> None:
    assert given(line) == values


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (["up", "--clustr-name", "x", "t.yaml"], "usage/unknown-flag", "--cluster-name"),
        (["up", "--workspace", "x", "t.yaml"], "usage/not-supported-yet", "--workspace"),
        (["up", "t.yaml", "-Z"], "usage/unknown-flag", "-Z"),
        (["up"], "usage/missing-word", "task file"),
        (["up", "t.yaml", "--num-nodes", "two"], "usage/flag-value", "two"),
        (["up", "t.yaml", "--num-nodes"], "usage/flag-value", "--num-nodes"),
        (["up", "--yes=1", "t.yaml"], "usage/flag-value", "--yes"),
        (["exec", "train"], "usage/missing-word", "command"),
        (["exec", "train", "python", "train.py", "--lr", "3"], "usage/unknown-flag", "`--`"),
        (["engine", "now"], "usage/too-many-words", "now"),
        (["logs"], "usage/missing-word", "deployment"),
    ],
)
def test_mistakes_are_named(line: list[str], code: str, says: str) -> None:
    with pytest.raises(Problems) as caught:
        given(line)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert says in str(problem)
    assert problem.exit == 2


def test_help_needs_no_words() -> None:
    for verb in VERBS:
        assert parse(verb, ["--help"]).help
        assert parse(verb, ["-h"]).help


def test_the_table_is_sound() -> None:
    names = [name for verb in VERBS for name in (verb.name, *verb.aliases)]
    assert len(names) == len(set(names))
    for verb in VERBS:
        spelt = [s for flag in verb.flags for s in (flag.name, *flag.also, flag.off) if s]
        assert len(spelt) == len(set(spelt)), verb.name
        short = [flag.short for flag in verb.flags if flag.short]
        assert len(short) == len(set(short)), verb.name
        assert not set(spelt) & verb.later, verb.name
        assert any(flag.name == "json" and flag.kind is Kind.SWITCH for flag in verb.flags), verb.name
        taken = {flag.dest for flag in verb.flags} & {word.name for word in verb.words}
        assert not taken, f"{verb.name}: {taken} is a flag and a word"
