"""The task files that readers paste are valid and explained unchanged; those inside a workflow and a manifest too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from skywright.cli.program import main

FOLDER = Path(__file__).parents[3] / "shared" / "acceptance"
INSIDE = ("14_github_actions.yaml", "21_kubernetes_launcher.yaml")
NOT_SOLD = {"22_edge.yaml": "no Jetson"}
"""Valid, explained, and sold by nobody whose prices are known: told as that."""

FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name not in INSIDE)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the examples that readers paste")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYWRIGHT_HOME", str(tmp_path / "home"))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main([*words, "--json"])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, json.loads(said.out)


def explained(capsys: pytest.CaptureFixture[str], path: Path, *words: str) -> dict[str, Any]:
    code, data = answer(capsys, "explain", "--all-clouds", str(path), *words)
    assert code == 0, data
    assert data["placements"]
    assert data["runnable"] is (data["problems"] == [])
    found: dict[str, Any] = data
    return found


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 10
    assert set(NOT_SOLD) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_valid_and_explained(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, data = answer(capsys, "validate", str(FOLDER / name))
    assert (code, data["files"][0]["problems"]) == (0, [])
    if name not in NOT_SOLD:
        explained(capsys, FOLDER / name)
        return
    code, data = answer(capsys, "explain", "--all-clouds", str(FOLDER / name))
    assert code == 3
    assert NOT_SOLD[name] in next(
        one["message"] for one in data["problems"] if one["code"] == "plan/no-offer"
    )


def test_a_workflow_gives_accelerators_by_its_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = yaml.safe_load((FOLDER / INSIDE[0]).read_text())["jobs"]["train"]["steps"]
    launch = next(step["run"] for step in steps if "launch" in step.get("run", ""))
    assert "--env WANDB_API_KEY" in launch
    assert "--env GPU_CONFIG" in launch
    task = tmp_path / "training.yaml"
    text = "envs: {WANDB_API_KEY: null, GPU_CONFIG: null}\nresources: {accelerators: '${GPU_CONFIG}'}\nrun: train\n"
    task.write_text(text)
    monkeypatch.setenv("WANDB_API_KEY", "k")
    for card in ("A100:8", "V100:4"):
        monkeypatch.setenv("GPU_CONFIG", card)
        words = ("--env", "WANDB_API_KEY", "--env", "GPU_CONFIG", "--cluster-name", "ci-1")
        made = explained(capsys, task, *words)
        assert made["name"] == "ci-1"
        assert made["placements"][0]["offer"]["accelerator"] == card


def test_the_task_inside_a_manifest_is_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = next(iter(yaml.safe_load_all((FOLDER / INSIDE[1]).read_text())))
    task = tmp_path / "task.yaml"
    task.write_text(first["data"]["task.yaml"])
    code, _ = answer(capsys, "validate", str(task))
    assert code == 0
    assert explained(capsys, task)["placements"][0]["offer"]["accelerator"] == "A100:4"


def test_every_python_file_is_run_by_a_test() -> None:
    run = (Path(__file__).parent / "test_api_examples.py").read_text()
    names = sorted(path.name for path in FOLDER.glob("*.py"))
    assert names
    assert [name for name in names if f'"{name}"' not in run] == []
