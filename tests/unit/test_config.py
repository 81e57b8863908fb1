"""Which settings hold, and that every one of them is shown with the file it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.load import load
from compiler.offer import Accelerator, Market
from compiler.prices import Discount, Machine, Prices, Reservation
from compiler.problem import Problems
from skywright import config
from skywright.cli.program import main
from stacks.home import home

USER = """
project: mine
clouds: [local, aws]
labels: {owner: me, team: a}
defaults: {resources: {autostop: 30, infra: local}}
policy: {max_hourly_cost: 10}
prices: {discounts: {aws: 0.1}}
"""
PROJECT = """
project: ours
clouds: {AWS: {regions: [us-east-1]}, local: null}
labels: {team: b}
policy: {require_labels: [team]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a folder below it, under a user with settings of all kinds."""
    (home() / "config.yaml").write_text(USER)
    sky = Path.home() / ".sky"
    sky.mkdir()
    (sky / "config.yaml").write_text("allowed_clouds: [gcp]\naws: {vpc_name: v}\nactive_workspace: w\n")
    (tmp_path / ".skywright.yaml").write_text(PROJECT)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    return tmp_path / "deep" / "er"


def test_the_project_wins_over_the_user_and_ours_over_theirs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = config.read(project)
    assert found.project == "ours"
    assert found.clouds == ("aws", "local")
    assert found.regions == {"aws": ("us-east-1",)}
    assert found.labels == {"owner": "me", "team": "b"}
    assert found.policy == config.Policy(10, ("team",))
    assert found.prices == Prices((Discount("aws", 0.1),))
    assert [key for key, _ in found.unused] == ["active_workspace"]
    assert found.given["aws"].network == "v"
    monkeypatch.setenv("SKYWRIGHT_PROJECT", "theirs")
    assert config.read(project).project == "theirs"


def test_of_skypilot_what_has_a_meaning_is_read(tmp_path: Path) -> None:
    (tmp_path / ".sky.yaml").write_text("allowed_clouds: [AWS, k8s]\n")
    assert config.read(tmp_path).clouds == ("aws", "kubernetes")
    (tmp_path / ".sky.yaml").write_text("kubernetes:\n  kueue: {local_queue_name: research}\n")
    assert config.read(tmp_path).given["kubernetes"].queue == "research"


def test_no_files_are_no_settings(tmp_path: Path) -> None:
    assert config.read(tmp_path) == config.Config()
    (tmp_path / ".skywright.yaml").write_text("# nothing yet\n")
    assert config.read(tmp_path) == config.Config()


def test_defaults_hold_where_the_task_says_nothing(project: Path) -> None:
    under = config.read(project).under_task()

    def resources(text: str):
        return load(text.encode(), "t.yaml", clouds=("local",), defaults=under).requirements

    read = resources("run: x")
    assert (read.cloud, read.autostop and read.autostop.idle_s) == ("local", 1800)
    assert read.labels == {"owner": "me", "team": "b"}
    read = resources("resources: {cloud: aws, labels: {team: c}, autostop: false}")
    assert (read.cloud, read.autostop and read.autostop.idle_s) == ("aws", None)
    assert read.labels == {"owner": "me", "team": "c"}
    assert resources("resources: {any_of: [{infra: gcp}]}").cloud == "gcp"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("projct: x\n", "usage/bad-setting", 1),
        ("labels: {}\nclouds: aws\n", "usage/bad-setting", 2),
        ("policy: {max_hourly_cost: 0}\n", "usage/bad-setting", 1),
        ("project: My Project\n", "usage/bad-project", 1),
        ("defaults: {resources: {cpu: 2}}\n", "usage/bad-setting", 1),
        ("prices: {discounts: {aws: 1.5}}\n", "usage/bad-setting", 1),
        ("prices: {discounts: {aws: .nan}}\n", "usage/bad-setting", 1),
        ("throughput:\n  A100: -.inf\n", "usage/bad-setting", 2),
        ("prices:\n  discounts:\n    awss: 0.1\n", "usage/bad-setting", 3),
        ("prices:\n  discounts:\n    aws:\n    - {part: 0.1, market: sport}\n", "usage/bad-setting", 4),
        ("prices:\n  reservations:\n  - {cloud: aws, count: 1}\n", "usage/bad-setting", 3),
        ("prices:\n  reservations:\n  - {cloud: aws, instance_type: m, count: 0}\n", "usage/bad-setting", 3),
        ("prices:\n  machines:\n  - {cloud: ssh, instance_type: m, price: -1}\n", "usage/bad-setting", 3),
        (
            "prices:\n  machines:\n  - {cloud: ssh, instance_type: m, price: 1, cpus: 4}\n",
            "usage/bad-setting",
            3,
        ),
        (
            "prices:\n  machines:\n  - {cloud: ssh, instance_type: m, price: 1, cpus: 4, memory: 8,\n"
            "     accelerators: H1000}\n",
            "usage/bad-setting",
            4,
        ),
        ("a: b: c\n", "task/yaml-syntax", 1),
    ],
)
def test_a_wrong_setting_is_one_problem_with_its_place(
    tmp_path: Path, text: str, code: str, line: int
) -> None:
    (tmp_path / ".skywright.yaml").write_text(text)
    with pytest.raises(Problems) as caught:
        config.read(tmp_path)
    (found,) = caught.value.problems
    assert found.code == code
    assert found.place is not None
    assert found.place.line == line


def test_prices_are_values_and_add_up_over_the_files(project: Path) -> None:
    (project / ".skywright.yaml").write_text(
        "prices:\n"
        "  discounts: {GCP: [{family: 'a3-*', market: spot, part: 0.5}]}\n"
        "  reservations: [{cloud: aws, instance_type: p4d.24xlarge, zone: us-east-1a, count: 2}]\n"
        "  machines: [{cloud: ssh, instance_type: r, price: 2, cpus: 64, memory: 512, accelerators: a100:8}]\n"
    )
    assert config.read(project).prices == Prices(
        (Discount("aws", 0.1), Discount("gcp", 0.5, "a3-*", Market.SPOT)),
        (Reservation("aws", "p4d.24xlarge", None, "us-east-1a", 2),),
        (Machine("ssh", "r", 2.0, 64, 512, Accelerator("A100", 8)),),
    )


def test_the_command_shows_what_holds_and_what_is_hidden(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = project / "t.yaml"
    task.write_text("run: x\n")
    assert main(["config", "--json", str(task)]) == 0
    shown = json.loads(capsys.readouterr().out)
    rows = [(row["key"], row["value"], row["holds"]) for row in shown["settings"]]
    assert ("project", "mine", False) in rows
    assert ("project", "ours", True) in rows
    assert ("labels.team", "b", True) in rows
    assert ("defaults.resources.autostop", 30, True) in rows
    assert {row["key"] for row in shown["unused"]} == {"active_workspace"}
    assert main(["config", str(task)]) == 0
    said = capsys.readouterr()
    assert "a stronger one holds" in said.out
    assert "no meaning here: active_workspace" in said.err


def test_a_task_without_a_wanted_label_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".skywright.yaml").write_text("policy: {require_labels: [cost-center]}\n")
    task = project / "t.yaml"
    task.write_text("run: x\nresources: {infra: local, labels: {team: z}}\n")
    assert main(["explain", str(task)]) == 6
    assert "policy/label-missing" in capsys.readouterr().err
    task.write_text("run: x\nresources: {infra: local, labels: {cost-center: z}}\n")
    assert main(["explain", str(task)]) == 0
    capsys.readouterr()
    several = "run: x\nresources:\n  any_of:\n  - {infra: local, labels: {cost-center: z}}\n  - {cpus: 1}\n"
    task.write_text(several)
    assert main(["explain", str(task)]) == 6
    assert "t.yaml:5:" in capsys.readouterr().err
    task.write_text(several.replace("any_of", "labels: {cost-center: z}\n  any_of"))
    assert main(["explain", str(task)]) == 0


def test_clouds_that_the_settings_leave_out_are_not_planned(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".skywright.yaml").write_text("clouds: [aws]\n")
    task = project / "t.yaml"
    task.write_text("run: x\n")
    assert main(["explain", str(task)]) == 3
    assert "plan/cloud-not-enabled" in capsys.readouterr().err
