"""The command line as a process: exit codes, problems as text and as data, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skywright.cli.program import main

ROOT = Path(__file__).parents[2]


def sky(
    *words: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "skywright.cli", *words],
        cwd=cwd or ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    return done


def test_list_and_help_name_every_verb() -> None:
    listed = sky("--list")
    assert listed.returncode == 0
    for word in ("up, launch", "exec", "logs", "down", "chaos"):
        assert word in listed.stdout
    shown = sky("logs", "--help")
    assert shown.returncode == 0
    assert "--sync-down" in shown.stdout
    assert sky("help", "logs").stdout == shown.stdout
    assert sky().returncode == 0


def test_invoke_lists_the_same_verbs() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "invoke", "--list"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    assert "cost-report" in listed.stdout
    assert "bench" in listed.stdout


def test_plain_invoke_runs_verbs_and_keeps_exit_codes(tmp_path: Path) -> None:
    task = tmp_path / "t.yaml"
    task.write_text("run: echo\nnum_nodes: 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "explain", str(task)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "error[task/" in done.stderr


def test_unknown_verb_suggests() -> None:
    done = sky("lunch")
    assert done.returncode == 2
    assert "did you mean `launch`?" in done.stderr


def test_validate_judges_many_files_and_counts(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("run: echo\nenvs: {TOKEN: null}\n")
    (tmp_path / "bad.yaml").write_text("resources:\n  acelerators: H100:8\n")
    done = sky("validate", "good.yaml", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "good.yaml: fine; still to be given: TOKEN" in done.stdout
    assert "bad.yaml:2:3" in done.stderr

    told = json.loads(sky("validate", "good.yaml", "bad.yaml", "gone.yaml", "--json", cwd=tmp_path).stdout)
    assert [one["ok"] for one in told["files"]] == [True, False, False]
    problem = told["files"][1]["problems"][0]
    assert (problem["code"], problem["line"], problem["column"]) == ("task/unknown-field", 2, 3)
    assert told["files"][2]["problems"][0]["code"] == "task/no-such-file"


def test_explain_refuses_without_a_needed_value_and_says_how(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("run: echo\nenvs: {TOKEN: null}\nresources: {infra: local}\n")
    done = sky("explain", "t.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "t.yaml:2:" in done.stderr
    assert "--env TOKEN" in done.stderr
    assert sky("explain", "t.yaml", "--env", "TOKEN", cwd=tmp_path, env={"TOKEN": "x"}).returncode == 0
    assert sky("explain", "t.yaml", "--env", "TOKEN", cwd=tmp_path).returncode == 2


def test_up_looks_at_local_folders_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        "run: echo\nworkdir: nowhere\nfile_mounts: {/data: missing.txt}\nresources: {infra: local}\n"
    )
    done = sky("up", "t.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "error[task/no-such-workdir]" in done.stderr
    assert "t.yaml:2:" in done.stderr
    assert "error[task/no-such-source]" in done.stderr
    assert "t.yaml:3:" in done.stderr
    home = Path(os.environ["SKYWRIGHT_HOME"])
    assert not (home / "control").exists()


def test_problems_as_data(tmp_path: Path) -> None:
    done = sky("explain", "gone.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["problems"][0]["code"] == "task/no-such-file"
    assert done.stderr == ""


def test_compile_is_repeatable_and_spares_folders_of_others(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("run: echo\nresources: {infra: local}\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    assert sky("compile", "t.yaml", "--out", "mine", cwd=tmp_path).returncode == 2
    assert sky("compile", "t.yaml", "--out", "out", cwd=tmp_path).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {"Pulumi.yaml", "__main__.py", "plan.json"} <= before.keys()
    assert sky("compile", "t.yaml", "--out", "out", cwd=tmp_path).returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert str(tmp_path).encode() not in b"".join(before.values())


def test_a_home_that_was_never_used_has_no_deployments_and_starts_nothing() -> None:
    done = sky("status", "--json")
    assert json.loads(done.stdout) == {"deployments": []}
    assert not (Path(os.environ["SKYWRIGHT_HOME"]) / "control").exists()


def test_our_own_bug_leaves_a_file_and_no_traceback(tmp_path: Path) -> None:
    code = (
        "import sys; from skywright.cli import program, validate; "
        "validate.run = lambda values: 1 / 0; sys.exit(program.main(['validate', 'x.yaml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "ZeroDivisionError" in done.stderr
    (path,) = (Path(os.environ["SKYWRIGHT_HOME"]) / "crashes").iterdir()
    assert "Traceback" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"t{number}.yaml").write_text("run: echo\n")
    line = f"'{sys.executable}' -m skywright.cli validate *.yaml | head -1"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("word", ["UPPER", "a b", "a;rm", "-x", "a" * 41, "é", ""])
def test_names_are_checked_where_they_are_typed(word: str) -> None:
    done = sky("explain", f"--cluster-name={word}", "examples/hello.yaml")
    assert done.returncode == 2
    assert "usage/bad-name" in done.stderr


def test_flags_of_fields_reach_every_alternative(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("run: x\nresources: {any_of: [{infra: local, disk_tier: low}, {infra: aws}]}\n")
    flags = [
        "--infra",
        "local",
        "--instance-type",
        "x",
        "--ports",
        "80",
        "--ports",
        "90-91",
        "--disk-tier",
        "High",
    ]
    flags += [
        "--image-id",
        "docker:u",
        "--priority",
        "5",
        "--job-recovery",
        "failover",
        "--git-url",
        "https://h/r",
    ]
    assert main(["compile", str(path), *flags]) == 3
    said = capsys.readouterr().err
    assert said.count("plan/not-runnable-yet") == 6
    for name in ("instance_type", "ports", "disk_tier", "image_id", "priority", "workdir"):
        assert f"`{name}`" in said
    assert main(["validate", str(path)]) == 0
    assert main(["explain", str(path), "--infra", "local", "--disk-tier", "turbo"]) == 2
    assert "(given on the command line)" in capsys.readouterr().err
    assert main(["explain", str(path), "--git-ref", "v1"]) == 2
    assert "--git-url" in capsys.readouterr().err
