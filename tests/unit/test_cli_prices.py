"""`gpus`, `catalog` and `explain` over the shipped catalog, as commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skywright.cli.program import main


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWRIGHT_HOME", str(tmp_path / "home"))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def data(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code, out, err = answer(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_gpus_are_sorted_by_the_price_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    rows = data(capsys, "gpus", "h100")["rows"]
    assert {row["accelerator"] for row in rows} == {"H100"}
    each = [row["price"] / row["count"] for row in rows if row["price"]]
    assert each == sorted(each)
    assert each[0] == rows[0]["price_per_accelerator"]


def test_gpus_take_a_count_a_place_a_market_and_a_memory(capsys: pytest.CaptureFixture[str]) -> None:
    rows = data(capsys, "gpus", "H100:8", "--infra", "aws/us-east-1")["rows"]
    assert {(row["count"], row["cloud"], row["region"]) for row in rows} == {(8.0, "aws", "us-east-1")}
    spot = data(capsys, "gpus", "L4", "--spot")["rows"]
    assert all(row["spot"] for row in spot)
    assert [row["spot"] / row["count"] for row in spot] == sorted(row["spot"] / row["count"] for row in spot)
    large = {row["accelerator"] for row in data(capsys, "gpus", "140GB+")["rows"]}
    assert {"H200", "B200"} <= large
    assert "H100" not in large


def test_the_table_without_a_name_has_each_accelerator_once(capsys: pytest.CaptureFixture[str]) -> None:
    rows = data(capsys, "gpus")["rows"]
    names = [row["accelerator"] for row in rows]
    assert len(names) == len(set(names)) > 40
    code, out, _ = answer(capsys, "gpus", "H100")
    assert code == 0
    assert "more: --all" in out


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("gpus", "H1000"), "usage/unknown-accelerator", "H100"),
        (("gpus", "H100:x"), "usage/unknown-accelerator", ""),
        (("gpus", "H100", "--infra", "mars"), "usage/nothing-for-sale", "aws"),
        (("gpus", "H100:3"), "usage/nothing-for-sale", ""),
    ],
)
def test_what_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str, hint: str
) -> None:
    exit_code, _, err = answer(capsys, *words)
    assert exit_code == 2
    assert f"error[{code}]" in err
    assert hint in err


def test_the_catalog_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, "catalog")
    assert {row["cloud"] for row in found["clouds"]} == {"aws", "azure", "gcp", "lambda", "vast"}
    assert sum(row["rows"] for row in found["clouds"]) == found["rows"]


def test_explain_knows_clouds_that_cannot_run_yet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    task = tmp_path / "t.yaml"
    task.write_text("run: x\nresources: {accelerators: 'L4:1'}\n")
    plan = data(capsys, "explain", "--all-clouds", str(task))
    assert plan["placements"][0]["cost"]["total"] > plan["placements"][0]["hourly"]
    assert (
        plan["offers"]
        == sum(one["count"] for one in plan["rejections"])
        + len(plan["placements"])
        + (plan["placements_left_out"])
    )
    totals = [one["cost"]["total"] for one in plan["placements"]]
    assert totals == sorted(totals)
    one = data(capsys, "explain", "--infra", "aws/us-west-2", str(task))
    assert {row["offer"]["region"] for row in one["placements"]} == {"us-west-2"}
    assert data(capsys, "explain", "--infra", "aws/us-west-2", str(task)) == one
    code, _, err = answer(capsys, "explain", "--infra", "aws/nowhere", str(task))
    assert code == 3
    assert "are not in nowhere" in err


def test_up_does_not_take_a_cloud_that_cannot_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    task = tmp_path / "t.yaml"
    task.write_text("run: x\nresources: {infra: lambda}\n")
    code, _, err = answer(capsys, "up", "--yes", str(task))
    assert code in (2, 3)
    assert "/cloud-not-enabled]" in err


PIPELINE = """name: nightly
---
name: prepare
resources: {infra: aws, cpus: 8+}
outputs: {CLOUD: 4096}
run: x
---
name: train
resources: {infra: aws, accelerators: 'H100:8'}
num_nodes: 2
run: x
"""


def test_several_tasks_of_a_file_are_explained_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(PIPELINE)
    made = data(capsys, "explain", str(file))
    regions = [one["placements"][0]["offer"]["region"] for one in made["tasks"]]
    assert regions[0] == regions[1]  # moving 4 TB costs more than any machine
    assert made["edges"] == [["prepare", "train"]]
    assert made["transfers"] == [{"from": "prepare", "to": "train", "gb": 4096, "cost": 0.0}]
    parts = sum(one["placements"][0]["cost"]["total"] for one in made["tasks"])
    assert made["total"] == pytest.approx(parts)
    assert made["each_alone_total"] >= made["total"]
    code, out, err = answer(capsys, "explain", str(file))
    assert code == 0
    assert "nightly · 2 tasks one after the other" in out
    assert "prepare → train: 4096 GB to 2 nodes, free   in one region" in out
    assert "a pipeline (2 tasks in one file) is no single deployment" in err
    assert out.count(" for the run: compute ") == 2
    again = data(capsys, "explain", str(file))
    assert json.dumps(again) == json.dumps(made)


def test_a_group_is_explained_in_one_region(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text(PIPELINE.replace("name: nightly", "name: g\nexecution: parallel"))
    made = data(capsys, "explain", str(file))
    assert made["together"] is True
    assert made["edges"] == []
    assert len({one["placements"][0]["offer"]["region"] for one in made["tasks"]}) == 1
    file.write_text(file.read_text().replace("infra: aws, cpus", "infra: gcp, cpus"))
    code, _, err = answer(capsys, "explain", str(file))
    assert code == 3
    assert "error[plan/no-common-place]" in err


def test_every_task_that_nothing_fits_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(PIPELINE.replace("infra: aws", "infra: lambda/us-mars"))
    code, _, err = answer(capsys, "explain", str(file))
    assert code == 3
    assert err.count("error[plan/no-offer]") == 2


def test_a_plan_that_cannot_run_says_so_last(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("run: x\nresources: {infra: local, ports: 80}\n")
    made = data(capsys, "explain", str(file))
    assert made["runnable"] is False
    assert [one["code"] for one in made["problems"]] == ["plan/not-runnable-yet"]
    code, out, err = answer(capsys, "explain", str(file))
    assert code == 0
    assert out.splitlines()[-1].startswith("this plan cannot run yet, for 1 reason")
    assert "ports" in err
    file.write_text("run: x\nresources: {infra: local}\n")
    assert data(capsys, "explain", str(file))["runnable"] is True
    elsewhere = data(capsys, "explain", "--infra", "lambda", str(file))
    assert [one["code"] for one in elsewhere["problems"]] == ["plan/cloud-not-enabled"]


def test_what_nothing_enabled_can_run_is_told_with_who_sells_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("resources: {accelerators: 'A100:8'}\nrun: train\n")
    code, _, err = answer(capsys, "explain", str(task))
    assert code == 3
    assert "sold by clouds that are not enabled: " in err
    assert "`explain --all-clouds`" in err
    task.write_text("resources: {infra: local, accelerators: 'A100:8'}\nrun: train\n")
    code, _, err = answer(capsys, "explain", str(task))
    assert code == 3
    assert "not enabled" not in err, "the task itself says where"


def test_an_accelerator_of_your_own_machines_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("resources: {accelerators: 'Jetson:4'}\nrun: train\n")
    for words in ((), ("--all-clouds",)):
        code, _, err = answer(capsys, "explain", str(task), *words)
        assert code == 3
        assert "`prices.machines`" in err
    machine = "{cloud: ssh, instance_type: jet, price: 0.1, cpus: 16, memory: 64, accelerators: 'Jetson:4'}"
    (tmp_path / ".skywright.yaml").write_text(f"prices: {{machines: [{machine}]}}\n")
    _, _, err = answer(capsys, "explain", str(task))
    assert "ssh jet $0.1/h" in err
    assert "`prices.machines`" not in err
    found = data(capsys, "explain", str(task), "--all-clouds")
    assert found["placements"][0]["offer"]["instance_type"] == "jet"


def test_an_image_by_region_is_used_in_these_regions_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("resources: {infra: aws, image_id: {eu-west-1: ami-1, eu-west-3: ami-2}}\nrun: x\n")
    found = data(capsys, "explain", str(task))
    assert {one["offer"]["region"] for one in found["placements"]} <= {"eu-west-1", "eu-west-3"}
    task.write_text("resources: {infra: aws/us-west-2, image_id: {us-east-1: ami-1}}\nrun: x\n")
    code, _, err = answer(capsys, "explain", str(task))
    assert code == 3
    assert "have no image of yours: `image_id` has one for us-east-1" in err


def test_a_misspelt_machine_type_is_told_with_what_was_meant(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("resources: {infra: aws, instance_type: p4d.24xlarg}\nrun: x\n")
    code, _, err = answer(capsys, "explain", str(task))
    assert code == 3
    assert "nearest: `instance_type: p4d.24xlarge` → aws " in err
    assert "task.yaml:1:40" in err
