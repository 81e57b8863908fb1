"""The verbs of managed jobs as words: two-word verbs, what is asked wrongly, what is read of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problems
from skywright.cli import jobs, jobs_shown
from skywright.cli.arguments import Values, parse
from skywright.cli.joblogs import exit_code
from skywright.cli.program import main
from skywright.cli.verbs import find

TWO = """\
name: all
---
name: a
run: a
resources: {infra: local, priority: 7}
---
name: b
run: b
resources: {infra: local}
"""


def given(verb: str, *words: str) -> Values:
    found = find(f"jobs-{verb}")
    assert found
    values = parse(found, words)
    return Values(values.verb, values.called, {**dict.fromkeys(jobs.LASTING), **values.given})


def test_a_verb_of_two_words_is_found_told_and_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs"]) == 0
    assert "jobs launch" in capsys.readouterr().out
    assert main(["jobs", "queue", "--help"]) == 0
    assert "Usage: skywright jobs queue" in capsys.readouterr().out
    assert main(["jobs", "lunch"]) == 2
    said = capsys.readouterr().err
    assert "`jobs lunch` is not a command" in said
    assert "did you mean `jobs launch`?" in said
    assert main(["jobs", "launch", "--pool", "p", "x"]) == 2
    assert "`--pool` of `jobs launch` is not supported yet" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("3", "--all"), ("-n", "a", "-a")])
def test_what_to_cancel_is_said_in_one_way(words: tuple[str, ...]) -> None:
    with pytest.raises(Problems, match="usage/missing-word"):
        jobs_shown.run(given("cancel", *words))


def test_numbers_and_times_are_read_or_refused() -> None:
    assert jobs_shown.number("12") == 12
    assert (jobs.longest(None), jobs.longest("90m")) == (None, 5400.0)
    for wrong in (lambda: jobs_shown.number("x"), lambda: jobs.longest("soon")):
        with pytest.raises(Problems, match="usage/"):
            wrong()


def test_a_file_of_several_tasks_is_one_job(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(TWO)
    planned = jobs.read(given("launch", str(path)))
    assert (planned.name, [one.name for one in planned.entries], planned.priority) == ("all", ["a", "b"], 7)
    assert planned.group is None
    assert all(plan.placements for plan in planned.plans)
    assert jobs.read(given("launch", "-n", "mine", str(path))).name == "mine"
    path.write_text(TWO.replace("name: all\n", "name: all\nexecution: parallel\nprimary_tasks: [a]\n", 1))
    group = jobs.read(given("launch", str(path))).group
    assert group
    assert group.primary_tasks == ("a",)


def test_everything_wrong_with_several_tasks_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(
        TWO.replace("run: a\n", "run: a\nworkdir: ./nowhere\n").replace(
            "run: b\n", "run: b\nenvs: {X: null}\n"
        )
    )
    with pytest.raises(Problems) as caught:
        jobs.read(given("launch", str(path)))
    assert len(caught.value.problems) == 2
    path.write_text("run: a\nevent_callback: notify\n")
    with pytest.raises(Problems, match="plan/not-runnable-yet"):
        jobs.read(given("launch", str(path)))


@pytest.mark.parametrize(
    ("status", "code"),
    [("SUCCEEDED", 0), ("FAILED_SETUP", 100), ("FAILED_NO_RESOURCE", 100), ("CANCELLED", 103)],
)
def test_exit_codes_are_those_of_skypilot(status: str, code: int) -> None:
    ended: dict[str, Any] = {"status": status, "ended": 1.0}
    assert exit_code(ended) == code
    assert exit_code({**ended, "ended": None}) == 101
