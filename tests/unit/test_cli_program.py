"""The command line as a process: exit codes, problems as text and as data, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.problem import Place, Problem
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


@pytest.mark.parametrize("words", [("up", "--help"), ("launch", "-h"), ("validate", "--help")])
def test_plain_invoke_helps_instead_of_acting(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", "invoke", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage: invoke " in done.stdout or "Usage: invoke [--core-opts]" in done.stdout
    assert not (Path(os.environ["SKYWRIGHT_HOME"]) / "control").exists()


def test_an_entry_that_looks_like_a_flag_is_refused() -> None:
    done = sky("up", "--", "--hlep")
    assert done.returncode == 2
    assert "error[usage/not-an-entry]: `--hlep`" in done.stderr


def test_files_that_cannot_be_task_files(tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text("run: echo\n")
    with open(tmp_path / "big.yaml", "wb") as file:
        file.truncate(7 * 1024 * 1024)
    assert "the file has 7.0 MiB" in sky("validate", "big.yaml", cwd=tmp_path).stderr
    assert f"did you mean `{Path('hello.yaml')}`" in sky("validate", "helo.yaml", cwd=tmp_path).stderr
    assert "did you mean" not in sky("validate", "train.yaml", cwd=tmp_path).stderr
    folder = sky("up", ".", cwd=tmp_path).stderr
    assert "`.` is a folder" in folder
    assert "did you mean" not in folder


def test_the_caret_stands_below_wide_letters(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("run: echo\nresources: {labels: {a: 日本}, cpus: many}\n")
    said = sky("validate", "t.yaml", cwd=tmp_path).stderr.splitlines()
    number = next(index for index, line in enumerate(said) if line.strip().startswith("^"))
    line, caret = said[number - 1], said[number]
    assert caret.index("^") == line.index("many") + 2  # two wide letters stand before it


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


def test_compile_gives_everybody_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stacks import local

    monkeypatch.delenv("SKYWRIGHT_PROJECT", raising=False)
    task = tmp_path / "t.yaml"
    task.write_text("run: echo\nnum_nodes: 2\nresources: {infra: local, cpus: 1+}\n")
    folders = []
    for user, cpus, free in (("ada", 2, 50), ("bob", 64, 900)):
        home = tmp_path / user
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("SKYWRIGHT_HOME", str(home / "sky"))
        monkeypatch.setenv("LOGNAME", user)
        monkeypatch.setattr(local.os, "cpu_count", lambda cpus=cpus: cpus)
        monkeypatch.setattr(local, "_memory_gb", lambda cpus=cpus: 4.0 * cpus)
        disk = os.statvfs_result((4096, 4096, 10**9, 10**9, free * 10**9 // 4096, 0, 0, 0, 0, 255))
        monkeypatch.setattr(local.os, "statvfs", lambda _, disk=disk: disk)
        assert main(["compile", str(task), "--out", str(home / "out")]) == 0
        folders.append({path.name: path.read_bytes() for path in (home / "out").iterdir()})
    assert folders[0] == folders[1]
    plan = json.loads(folders[0]["plan.json"])
    assert plan["project"] == "skywright"
    offer = plan["placements"][0]["offer"]
    assert offer["cpus"] == 1
    assert not {"memory_gb", "disk_gb"} & offer.keys()


def test_compile_needs_no_secret_and_every_env(tmp_path: Path) -> None:
    task = tmp_path / "t.yaml"
    task.write_text("run: echo\nresources: {infra: local}\nsecrets: {TOKEN: null}\n")
    assert sky("up", "t.yaml", cwd=tmp_path).returncode == 2
    assert sky("compile", "t.yaml", "--out", "out", cwd=tmp_path).returncode == 0
    task.write_text("run: echo\nresources: {infra: local}\nsecrets: {TOKEN: null}\nenvs: {A: null}\n")
    assert "`A` in `envs` has no value" in sky("compile", "t.yaml", "--out", "out", cwd=tmp_path).stderr


def test_a_home_that_was_never_used_has_no_deployments_and_starts_nothing() -> None:
    done = sky("status", "--json")
    assert json.loads(done.stdout) == {"deployments": [], "foundations": []}
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
    assert said.count("plan/not-runnable-yet") == 5
    for name in ("ports", "disk_tier", "image_id", "priority", "workdir"):
        assert f"`{name}`" in said
    assert main(["validate", str(path)]) == 0
    assert main(["explain", str(path), "--infra", "local", "--disk-tier", "turbo"]) == 2
    assert "(given on the command line)" in capsys.readouterr().err
    assert main(["explain", str(path), "--git-ref", "v1"]) == 2
    assert "--git-url" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_not_our_bug() -> None:
    for line in ("status", "explain --json examples/hello.yaml"):
        done = subprocess.run(
            ["bash", "-c", f"'{sys.executable}' -m skywright.cli {line} > /dev/full"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 4, done.stderr
        assert "error[machine/cannot-write]" in done.stderr
        assert "our bug" not in done.stderr
        assert "Exception ignored" not in done.stderr


def test_what_is_wrong_in_amounts_is_told_with_the_rest(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        "run: echo\nnum_nodes: none\nresources:\n  cpus: many\n  memory: 4QB\n  colour: red\n"
    )
    told = json.loads(sky("validate", "t.yaml", "--json", cwd=tmp_path).stdout)
    assert [one["line"] for one in told["files"][0]["problems"]] == [2, 4, 5, 6]


@pytest.mark.parametrize("folder", ["/etc", "/usr/", "/var", "/tmp", "/home", "/root", "/bin"])
def test_a_folder_of_the_system_keeps_no_checkpoints(tmp_path: Path, folder: str) -> None:
    (tmp_path / "t.yaml").write_text(f"run: echo\ncheckpoint: {folder}\n")
    done = sky("validate", "t.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "error[task/wrong-value]" in done.stderr
    (tmp_path / "t.yaml").write_text(f"run: echo\ncheckpoint: {folder}/mine\n")
    assert sky("validate", "t.yaml", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1", "²"])
def test_a_port_that_is_none_is_told_before_anything_starts(port: str) -> None:
    done = sky("exec", "x", "echo", env={"SKYWRIGHT_CONTROL_PORT": port})
    assert done.returncode == 2
    assert "error[usage/bad-port]" in done.stderr


def test_check_promises_no_engine_that_nobody_can_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SKYWRIGHT_CACHE", str(tmp_path / "cache"))
    main(["check"])
    said = capsys.readouterr().out
    assert "with Go, once there is one on PATH" in said
    assert "put it on PATH" in said


def test_hints_name_the_program_that_was_called(capsys: pytest.CaptureFixture[str]) -> None:
    from skywright.cli import screen

    place = Place("t.yaml", 1, 1, "run: skywright up `invoke x`", 3)
    screen.PROGRAM = "./invoke"
    try:
        hint, left = "`skywright down x` first", "node-0; remove: invoke down x"
        screen.problem(Problem("task/wrong-value", "no", place, hint, left))
    finally:
        screen.PROGRAM = "skywright"
    said = capsys.readouterr().err
    assert "hint: `./invoke down x` first" in said
    assert "remove: ./invoke down x" in said
    assert "run: skywright up `invoke x`" in said


def test_a_machine_by_its_name_is_planned_and_another_explained(tmp_path: Path) -> None:
    task = tmp_path / "t.yaml"
    task.write_text(
        "run: echo\nresources: {infra: local, instance_type: this-machine, cpus: 1, exact: true}\n"
    )
    assert sky("compile", "t.yaml", "--out", "out", cwd=tmp_path).returncode == 0
    task.write_text("run: echo\nresources: {infra: local, instance_type: p5.48xlarge}\n")
    refused = sky("compile", "t.yaml", "--out", "out", cwd=tmp_path)
    assert refused.returncode == 3
    assert "error[plan/no-offer]" in refused.stderr
    assert "instance_type: this-machine" in refused.stderr
