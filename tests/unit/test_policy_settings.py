"""Policies in files: the team's that a project names, what holds of all of them, and mistakes with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.problem import Problems
from skywright import config
from skywright.cli.program import main
from stacks.home import home

TEAM = """
max_hourly_cost: 50
rules:
  no-open-ssh:
  allowed-regions: {regions: [eu-*]}
"""


def test_everything_holds_that_any_file_says(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text(TEAM)
    (home() / "config.yaml").write_text(f"policy: {{file: {tmp_path}/team.yaml, require_labels: [team]}}\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / ".skywright.yaml").write_text(
        "policy:\n"
        "  max_hourly_cost: 100\n"
        "  command: [conftest, test, '-']\n"
        "  rules: {allowed-regions: {regions: ['*'], level: off}, larger-than-asked: {}}\n"
    )
    found = config.read(project).policy
    assert found == config.Policy(50, ("team",), True, (("conftest", "test", "-"),))
    said = [(one.rule, one.level.value, Path(one.origin).name) for one in found.statements]
    assert said == [
        ("hourly-ceiling", "deny", "team.yaml"),
        ("no-open-ssh", "deny", "team.yaml"),
        ("allowed-regions", "deny", "team.yaml"),
        ("required-tags", "deny", "config.yaml"),
        ("hourly-ceiling", "deny", ".skywright.yaml"),
        ("allowed-regions", "off", ".skywright.yaml"),
        ("larger-than-asked", "deny", ".skywright.yaml"),
    ]
    assert [one.rule for one in config.own_policy(home())] == [rule for rule, _, _ in said[:4]]
    assert all(one.holds for one in config.read(project).said if one.key.startswith("policy"))


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("rules: {no-open-shh: {}}\n", 1, "did you mean `no-open-ssh`"),
        ("rules:\n  allowed-regions:\n", 2, "has no `regions`"),
        ("rules:\n  allowed-regions: {level: deny}\n", 2, "has no `regions`"),
        ("rules:\n  no-open-ssh:\n    from: [everywhere]\n", 3, "is not a network"),
        ("rules:\n  open-ports:\n    allowed:\n    - 99999\n", 4, "neither a port nor a range"),
        ("rules:\n  required-tags:\n    tags:\n      team: '('\n", 4, "not a regular expression"),
        ("rules:\n  hourly-ceiling: {usd: lots}\n", 2, "wants a number"),
        ("rules:\n  budget:\n    level: maybe\n", 3, "`deny`, `warn`, `off`"),
        ("rules:\n  budget:\n    except:\n    - {tasks: x, until: 2027-01-01}\n", 4, "no `reason`"),
        ("rules:\n  budget:\n    except:\n    - {tasks: x, reason: y, until: 2027-02-30}\n", 4, "no day"),
    ],
)
@pytest.mark.parametrize("team", [True, False])
def test_a_mistake_is_a_problem_with_file_and_line(
    tmp_path: Path, text: str, line: int, word: str, team: bool
) -> None:
    inside = "".join(f"  {one}\n" for one in text.splitlines())
    (tmp_path / "team.yaml").write_text(text)
    (tmp_path / ".skywright.yaml").write_text("policy: {file: team.yaml}\n" if team else f"policy:\n{inside}")
    with pytest.raises(Problems) as caught:
        config.read(tmp_path)
    (found,) = caught.value.problems
    assert found.code == "usage/bad-setting"
    assert found.place is not None
    assert (Path(found.place.file).name, found.place.line) == (
        ("team.yaml", line) if team else (".skywright.yaml", line + 1)
    )
    assert word in f"{found.message} {found.hint}"


def test_a_team_file_that_is_not_there_or_names_another_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".skywright.yaml").write_text("\npolicy: {file: gone.yaml}\n")
    with pytest.raises(Problems, match=r"gone\.yaml"):
        config.read(tmp_path)
    (tmp_path / "gone.yaml").write_text("file: other.yaml\n")
    with pytest.raises(Problems, match="names no other"):
        config.read(tmp_path)


def test_what_the_team_denies_a_project_cannot_allow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "team.yaml").write_text("rules: {allowed-clouds: {clouds: [aws]}}\n")
    (tmp_path / ".skywright.yaml").write_text(
        "policy: {file: team.yaml, rules: {allowed-clouds: {clouds: [local]}}}\n"
    )
    task = tmp_path / "t.yaml"
    task.write_text("run: x\nresources: {infra: local}\n")
    assert main(["explain", str(task)]) == 6
    said = capsys.readouterr().err
    assert "policy/cloud" in said
    assert "t.yaml:2:" in said
    assert "allowed-clouds" in said
    assert "team.yaml" in said


def test_spot_by_a_default_is_not_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".skywright.yaml").write_text(
        "defaults: {resources: {use_spot: true}}\npolicy: {rules: {spot-declared: {}}}\n"
    )
    task = tmp_path / "t.yaml"
    task.write_text("run: x\nresources: {infra: local}\n")
    assert main(["explain", str(task)]) == 6
    assert "policy/spot" in capsys.readouterr().err
    task.write_text("run: x\nresources: {infra: local, use_spot: true}\n")
    assert main(["explain", str(task)]) == 0
