"""Amounts, times and tables as people read them; names, orders and progress."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stacks
from compiler.problem import Problems
from skywright.cli import names, screen, settings, taskfile
from skywright.cli.arguments import Values, parse
from skywright.cli.live import progress_text
from skywright.cli.logs import last_lines
from skywright.cli.verbs import find


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (11400, "3 h 10 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_spans(seconds: float | None, text: str) -> None:
    assert screen.span(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0"), (0.004, "$0.0040"), (9.8311, "$9.83"), (1481.2, "$1,481"), (None, "-")]
)
def test_money(amount: float | None, text: str) -> None:
    assert screen.money(amount) == text


def test_sizes() -> None:
    assert [screen.size(count) for count in (0, 812, 1200, 123_456_789)] == [
        "0 B",
        "812 B",
        "1.2 kB",
        "123 MB",
    ]


def test_tables_align_and_hold_no_control_characters() -> None:
    assert screen.table(["A", "N"], [["x\x1b[31m", "1"], ["longer", "100"]], right=(1,)) == [
        "A         N",
        "x [31m    1",
        "longer  100",
    ]


def test_nobody_to_ask_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problems) as caught:
        screen.confirm("go?", yes=False, without="it costs $9/h")
    assert caught.value.problems[0].code == "usage/needs-yes"
    assert screen.confirm("go?", yes=True, without="")
    monkeypatch.setenv("SKYWRIGHT_YES", "1")
    assert screen.confirm("go?", yes=False, without="")


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (None, ""),
        ({"fraction": 0.5}, "█████░░░░░  50 %"),
        (
            {"step": 30, "total": 60, "rate": 2.0, "remaining_s": 15},
            "█████░░░░░  50 %  step 30/60  2/s  15 s left",
        ),
        ({"step": 7, "loss": 7.3111111}, "step 7  loss 7.31111"),
        ({"note": "a\x1bb", "nested": {"a": 1}}, "note a b"),
    ],
)
def test_progress(progress: dict[str, Any] | None, text: str) -> None:
    assert progress_text(progress, width=10) == text


def test_names_and_patterns() -> None:
    living = [{"name": name} for name in ("train-a", "train-b", "eval")]
    assert [one["name"] for one in names.pick(living, ["eval", "train*", "train-a"])] == [
        "eval",
        "train-a",
        "train-b",
    ]
    with pytest.raises(Problems) as caught:
        names.pick(living, ["evil"])
    assert "did you mean `eval`?" in str(caught.value)


def test_last_lines() -> None:
    assert last_lines(b"a\nb\nc\n", 2) == b"b\nc\n"
    assert last_lines(b"a\nb", 1) == b"b"
    assert last_lines(b"a\n", 0) == b"a\n"


def launch(*words: str) -> Values:
    verb = find("launch")
    assert verb is not None
    return parse(verb, words)


def test_flags_become_overrides_in_the_shape_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t=1")
    file = tmp_path / "values.env"
    file.write_text("# comment\nexport A=1\nB='two words'\nC=3 # why\n\n")
    values = launch(
        "t.yaml", "--gpus", "H100:8", "--memory", "32+", "--infra", "local", "--no-use-spot", "--num-nodes", "2",
        "--env-file", str(file), "--env", "A=over", "--secret", "TOKEN",
    )  # fmt: skip
    assert taskfile.overrides(values) == {
        "num_nodes": 2,
        "resources": {"infra": "local", "memory": "32+", "accelerators": "H100:8", "use_spot": False},
        "envs": {"A": "over", "B": "two words", "C": "3"},
        "secrets": {"TOKEN": "t=1"},
    }


def test_a_bad_line_of_a_secret_file_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_text("A=1\nhunter2 is the password\n")
    with pytest.raises(Problems) as caught:
        taskfile.overrides(launch("t.yaml", "--secret-file", str(file)))
    assert "line 2" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_secret_typed_wrong_is_not_shown() -> None:
    with pytest.raises(Problems) as caught:
        taskfile.overrides(launch("t.yaml", "--secret", "1BAD=hunter2"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "yes"),
    [
        (("t.yaml",), True),
        (("gone.yml",), True),
        (("echo hi",), False),
        (("echo", "t.yaml"), False),
        (("nvidia-smi",), False),
        (("plain",), True),
        (("script.sh",), False),
    ],
)
def test_what_is_a_file(
    words: tuple[str, ...], yes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("run: echo")
    (tmp_path / "script.sh").write_text("#!/bin/sh\n")
    (tmp_path / "script.sh").chmod(0o755)
    assert taskfile.is_file(words) is yes


def test_a_command_is_a_task_with_a_name_of_its_own() -> None:
    entry = taskfile.read_entry(launch("--infra", "local", "--", "echo", "a: {b"), ("echo", "a: {b"), None)
    assert entry.task.run == "echo a: {b"
    assert entry.name.startswith("cmd-")
    assert taskfile.read_entry(launch("x"), ("echo",), "mine").name == "mine"


def test_the_project_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert settings.project() == "skywright"
    (tmp_path / ".skywright.yaml").write_text("project: nlp\n")
    assert settings.project() == "nlp"
    monkeypatch.setenv("SKYWRIGHT_PROJECT", "vision")
    assert settings.project() == "vision"
    monkeypatch.setenv("SKYWRIGHT_PROJECT", "No Good")
    with pytest.raises(Problems):
        settings.project()


def test_credentials_go_along_with_a_backend_of_ones_own_and_the_clouds_of_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws = {"AWS_PROFILE": "p", "HOME": "/h", "PULUMI_CONFIG_PASSPHRASE": "x"}
    assert settings.engine_env(aws) == {"PULUMI_CONFIG_PASSPHRASE": "x"}
    own = {**aws, "PULUMI_BACKEND_URL": "s3://b"}
    assert settings.engine_env(own) == {key: own[key] for key in own if key != "HOME"}
    toy = ModuleType("toy_of_this_test")
    vars(toy).update(NAME="toy", ENV=("TOY_",))
    monkeypatch.setitem(sys.modules, "toy_of_this_test", toy)
    monkeypatch.setitem(stacks.OURS, "toy", "toy_of_this_test")
    named = {**aws, "TOY_KEY": "k"}
    assert settings.engine_env(named, clouds=["local"]) == {"PULUMI_CONFIG_PASSPHRASE": "x"}
    assert settings.engine_env(named, clouds=["toy"]) == {"PULUMI_CONFIG_PASSPHRASE": "x", "TOY_KEY": "k"}
    assert settings.cloud_env(named)["TOY_KEY"] == "k"
