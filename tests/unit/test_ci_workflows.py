"""Workflows for a code host: what they may do, what they never do, and whose files are replaced."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.catalog import clouds
from skywright.cli import outside
from skywright.cli.program import main
from skywright.review import workflows
from skywright.review.workflow_steps import ACTIONS, PLACE, Facts
from tests.e2e import job_runner

FILES = tuple(f"{workflows.FOLDER}/skywright-{name}.yml" for name in workflows.NAMES)
ALL = Facts(("train.yaml", "tasks/*.yaml"), ("aws", "gcp", "azure"), "skywright==1.2.3", watched=("code/**",))
ON_OURS = replace(ALL, runner="gpu-desk")
LOCAL = Facts(("hello.yaml",), (), "skywright==1.2.3")
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")

TASK = "name: train\nresources: {infra: aws/us-west-2}\nrun: echo hi\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    monkeypatch.chdir(folder)
    (folder / "train.yaml").write_text(TASK)
    return folder


def parsed(facts: Facts) -> dict[str, dict[str, Any]]:
    """Workflows by name. YAML 1.1 takes `on` for a truth."""
    found = {}
    for path, text in workflows.render(facts).items():
        data = yaml.safe_load(text)
        data["on"] = data.pop(True)
        found[path.rpartition("-")[2].removesuffix(".yml")] = data
    return found


def jobs(facts: Facts) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, data in parsed(facts).items():
        for job, body in data["jobs"].items():
            yield f"{name}/{job}", body


@pytest.mark.parametrize("facts", [ALL, ON_OURS, LOCAL])
def test_each_job_has_only_the_rights_that_it_needs(facts: Facts) -> None:
    login = {"id-token": "write"} if facts.clouds else {}
    allowed = {
        "preview/preview": {"contents": "read", "pull-requests": "write", **login},
        "apply/apply": {"contents": "read", **login},
        "drift/drift": {"contents": "read", **login},
        "drift/told": {},
    }
    if facts.runner:
        allowed["drift/recover"] = {"contents": "read", **login}
    assert {name: body["permissions"] for name, body in jobs(facts)} == allowed
    assert all(data["permissions"] == {} for data in parsed(facts).values())


def test_pull_requests_run_no_code_of_theirs_and_forks_nothing() -> None:
    found = parsed(ALL)
    assert set(found["preview"]["on"]) == {"pull_request"}
    assert "pull_request_target" not in "".join(workflows.render(ALL).values())
    assert not {"pull_request", "pull_request_review"} & {*found["apply"]["on"], *found["drift"]["on"]}
    (job,) = found["preview"]["jobs"].values()
    assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    steps = job["steps"]
    uses = [step.get("uses", "").partition("@")[0] for step in steps]
    checkout, installed = (
        uses.index("actions/checkout"),
        [step.get("name") for step in steps].index("Install skywright"),
    )
    assert installed < checkout
    assert steps[installed]["env"] == {"RELEASE": "skywright==1.2.3"}
    assert job["env"]["PYTHONSAFEPATH"] == "1"
    # A login leaves a file in the workspace: the repository lies beside it, not around it.
    assert steps[checkout]["with"]["path"] == PLACE
    (preview,) = (step for step in steps if step.get("name") == "Preview")
    assert preview["env"]["SKYWRIGHT_FOREIGN"] == "1"
    assert all("pip" not in step.get("run", "") for step in steps[checkout:])


def test_a_program_that_a_pull_requests_settings_name_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = {"stacks": [{"stack": "train-local"}]}
    command = ("sh", "-c", f"touch '{tmp_path / 'ran'}'; exit 1")
    monkeypatch.setenv("SKYWRIGHT_FOREIGN", "1")
    (found,) = outside.judge([command], planned)
    assert (found["level"], (tmp_path / "ran").exists()) == ("unjudged", False)
    assert "not run for a pull request" in found["message"]
    monkeypatch.delenv("SKYWRIGHT_FOREIGN")
    (found,) = outside.judge([command], planned)
    assert (found["level"], (tmp_path / "ran").exists()) == ("deny", True)


def test_nothing_is_a_stored_key_and_the_token_reaches_one_step() -> None:
    for facts in (ALL, ON_OURS, LOCAL):
        text = "".join(workflows.render(facts).values())
        assert "secrets." not in text
        assert not re.search(r"(?i)access[-_]key|credentials_json|client[-_]secret|password", text)
    holding = [
        (name, step.get("name"))
        for name, body in jobs(ALL)
        for step in body["steps"]
        if "token" in json.dumps(step.get("env", {}))
    ]
    assert holding == [("preview/preview", "Comment")]
    for _, body in jobs(ALL):
        for step in body["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_expressions_never_stand_in_a_script() -> None:
    scripts = [step["run"] for _, body in jobs(ON_OURS) for step in body["steps"] if "run" in step]
    assert len(scripts) >= 8
    for script in scripts:
        assert "${{" not in script
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    known = {"github", "vars", "steps", "needs", "inputs"}
    for text in workflows.render(ON_OURS).values():
        assert {found.partition(".")[0] for found in EXPRESSION.findall(text)} <= known


def test_previews_read_and_only_protected_jobs_write() -> None:
    for name, body in jobs(ON_OURS):
        text = json.dumps(body)
        writes = name in ("apply/apply", "drift/recover")
        assert ("_APPLY_" in text) == writes
        assert ("skywright up " in text) == (name == "apply/apply")
        assert (body.get("environment") == "skywright") == writes
        assert (body["runs-on"] == "gpu-desk") == writes
        # What control runs from is still there when the job's own folder is emptied.
        assert ("$HOME/.cache/skywright-jobs/" in str(body["steps"])) == writes
        assert ("RUNNER_TRACKING_ID" in body.get("env", {})) == writes
        assert not ("_APPLY_" in text and "_PREVIEW_" in text)


def test_recovery_is_where_control_stays_and_a_hosted_runner_follows_to_the_end() -> None:
    assert set(parsed(ALL)["drift"]["jobs"]) == {"drift", "told"}
    assert parsed(ALL)["drift"]["on"]["workflow_dispatch"] is None
    assert "--detach" not in workflows.render(ALL)[FILES[1]]
    assert set(parsed(ON_OURS)["drift"]["jobs"]) == {"drift", "told", "recover"}
    assert "recover" in parsed(ON_OURS)["drift"]["on"]["workflow_dispatch"]["inputs"]
    assert "--yes --detach" in workflows.render(ON_OURS)[FILES[1]]


def test_actions_are_pinned_by_commit() -> None:
    uses = [step["uses"] for _, body in jobs(ON_OURS) for step in body["steps"] if "uses" in step]
    assert {one.partition("@")[0] for one in uses} == set(ACTIONS)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", one) for one in uses)


def test_runs_of_one_pull_request_replace_each_other_and_applies_do_not() -> None:
    found = parsed(ALL)
    assert found["preview"]["concurrency"]["cancel-in-progress"] is True
    assert "pull_request.number" in found["preview"]["concurrency"]["group"]
    assert found["apply"]["concurrency"]["cancel-in-progress"] is False
    assert "github.sha" in found["apply"]["concurrency"]["group"]


def test_paths_and_times() -> None:
    found = parsed(ALL)
    paths = found["preview"]["on"]["pull_request"]["paths"]
    assert paths == ["train.yaml", "tasks/*.yaml", ".skywright.yaml", "**/catalog.lock", "code/**"]
    assert found["apply"]["on"]["push"] == {"branches": ["main"], "paths": ["**.approval.json"]}
    assert set(found["drift"]["on"]) == {"schedule", "workflow_dispatch", "repository_dispatch"}


def test_every_workflow_has_what_the_hosts_schema_asks_for() -> None:
    known_job = {
        "if",
        "needs",
        "runs-on",
        "environment",
        "timeout-minutes",
        "permissions",
        "env",
        "outputs",
        "steps",
    }
    for data in (*parsed(ALL).values(), *parsed(ON_OURS).values()):
        assert set(data) == {"name", "on", "permissions", "concurrency", "defaults", "jobs"}
        for body in data["jobs"].values():
            assert set(body) <= known_job
            assert body["runs-on"]
            for step in body["steps"]:
                assert ("uses" in step) != ("run" in step)
                assert set(step) <= {"name", "id", "uses", "with", "env", "run", "working-directory"}


def test_logins_are_those_of_clouds_that_settings_or_tasks_name(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def logins() -> set[str]:
        assert main(["ci", "github", "--json"]) == 0
        text = json.loads(capfd.readouterr().out)["files"][0]["text"]
        used = {one.partition("/")[0].split("-")[0] for one in re.findall(r"uses: (\S+)@", text)} - {
            "actions"
        }
        return {clouds.canonical({"google": "gcp"}.get(one, one)) for one in used}

    assert logins() == {"aws"}
    (repository / "serve.yaml").write_text("resources:\n  any_of: [{infra: gcp}, {cloud: aws}]\nrun: x\n")
    assert logins() == {"aws", "gcp"}
    (repository / "anywhere.yaml").write_text("run: x\n")
    assert logins() == {"aws", "gcp", "azure"}
    (repository / ".skywright.yaml").write_text("clouds: {azure: {}, kubernetes: {}}\n")
    assert logins() == {"azure"}
    assert main(["ci", "github"]) == 0
    out, err = capfd.readouterr()
    assert 'RELEASE: "${{ vars.SKYWRIGHT_RELEASE }}"' in out
    assert "KUBECONFIG" in err
    assert "SKYWRIGHT_RELEASE" in err
    for pinned in (
        "ours==1.2",
        "git+https://git.example/s.git@" + "a" * 40,
        "s@https://x.example/s.whl#sha256=" + "0" * 64,
    ):
        assert main(["ci", "github", "--release", pinned]) == 0
        out, err = capfd.readouterr()
        assert f'RELEASE: "{pinned}"' in out
        assert "SKYWRIGHT_RELEASE," not in err
    assert "SKYWRIGHT_AZURE_PREVIEW_CLIENT" in err


def test_writing_again_changes_nothing_and_files_of_others_stay(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["ci", "github"]) == 0
    assert not (repository / ".github").exists()
    capfd.readouterr()
    assert main(["ci", "github", "--write"]) == 0
    assert capfd.readouterr().out.splitlines() == [f"{name}: written" for name in FILES]
    first = {name: (repository / name).read_bytes() for name in FILES}
    other = repository / workflows.FOLDER / "tests.yml"
    other.write_text("mine")

    (repository / "compose.yaml").write_text("services: {web: {image: x}}\n")
    assert main(["ci", "github", "--write"]) == 0
    assert capfd.readouterr().out.splitlines() == [f"{name}: unchanged" for name in FILES]
    assert {name: (repository / name).read_bytes() for name in FILES} == first

    (repository / "eval.yaml").write_text(TASK + "workdir: ./code/eval\n")
    assert main(["ci", "github", "--write"]) == 0
    assert [line.rpartition(": ")[2] for line in capfd.readouterr().out.splitlines()] == [
        "updated",
        "unchanged",
        "unchanged",
    ]
    assert '- "code/eval/**"' in (repository / FILES[0]).read_text()
    assert other.read_text() == "mine"


def test_a_file_edited_by_hand_is_replaced_only_when_somebody_insists(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["ci", "github", "--write"]) == 0
    edited = repository / FILES[1]
    edited.write_text(edited.read_text() + "# mine\n")
    (repository / "eval.yaml").write_text(TASK)
    before = (repository / FILES[0]).read_text()
    capfd.readouterr()
    assert main(["ci", "github", "--write", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["problems"][0]["code"] == "usage/edited-by-hand"
    assert (repository / FILES[0]).read_text() == before
    assert main(["ci", "github", "--write", "--force"]) == 0
    assert "# mine" not in edited.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["gitlab"],
        ["github", "a;b.yaml"],
        ["github", "../x.yaml"],
        ["github", "${{ secrets.X }}"],
        ["github", "'$(id)'.yaml"],
        ["github", "--release", "x; curl==1"],
        ["github", "--release", "skywright"],
        ["github", "--release", "git+https://git.example/s.git@main"],
        ["github", "--release", "${{ secrets.X }}"],
        ["github", "--branch", "main]"],
        ["github", "--runner", "a b"],
    ],
)
def test_words_that_could_become_something_else_are_refused(
    repository: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["ci", *words, "--write", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["problems"][0]["code"] in (
        "usage/flag-value",
        "usage/unknown-action",
    )
    assert not (repository / ".github").exists()


def test_odd_names_are_left_to_people_and_no_task_is_said(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (repository / "${{ secrets.X }}.yaml").write_text(TASK)
    assert main(["ci", "github"]) == 0
    out, err = capfd.readouterr()
    assert "secrets.X" not in out
    assert "no workflow can say" in err
    (repository / "train.yaml").unlink()
    assert main(["ci", "github", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["problems"][0]["code"] == "usage/no-tasks"


def test_outside_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ci", "github", "--json"]) == 2
    assert json.loads(capfd.readouterr().out)["problems"][0]["code"] == "usage/no-repository"


FAKE = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$1" in
preview) printf '%s' "$SHOWS"; echo 'what went wrong' >&2; exit "${CODE_PREVIEW:-0}" ;;
drift) echo '1 of 2 stacks'; exit "${CODE_DRIFT:-0}" ;;
status) printf '%s' "$SHOWS" ;;
up) case "$2" in *bad*) exit 6 ;; esac ;;
esac
"""


class Job:
    """A commit of a repository in which the scripts of a job run, with a program that notes how it is called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder.parent / "calls"
        programs = folder.parent / "bin"
        programs.mkdir()
        (programs / "skywright").write_text(FAKE)
        (programs / "skywright").chmod(0o755)
        self.env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLS": str(self.calls),
            "GITHUB_STEP_SUMMARY": str(folder.parent / "summary"),
        }
        self.commit("first")

    def commit(self, name: str) -> str:
        who = ["-c", "user.name=ann", "-c", "user.email=ann@acme.example"]
        subprocess.run(["git", "add", "-A"], cwd=self.folder, check=True)
        subprocess.run(
            ["git", *who, "commit", "-q", "--allow-empty", "-m", name], cwd=self.folder, check=True
        )
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=self.folder, check=True, capture_output=True)
        return found.stdout.decode().strip()

    def run(
        self, name: str, facts: Facts = LOCAL, known: dict[str, str] | None = None, **env: str
    ) -> tuple[int, str]:
        workflow, _, one = name.partition("/")
        path = self.folder.parent / "workflow.yml"
        path.write_text(workflows.render(facts)[f"{workflows.FOLDER}/skywright-{workflow}.yml"])
        self.calls.write_text("")
        return job_runner.job(path, one, known or {}, self.folder, {**self.env, **env})

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def in_job(repository: Path) -> Job:
    return Job(repository)


def test_the_script_of_a_preview_names_the_tasks_and_ends_as_the_preview_did(in_job: Job) -> None:
    (in_job.folder / "tasks" / "deep").mkdir(parents=True)
    for name in ("tasks/b c.yaml", "tasks/a.yaml", "tasks/deep/no.yaml", "other.yaml"):
        (in_job.folder / name).write_text(TASK)
    in_job.commit("tasks")
    text = in_job.folder.parent / "runner" / "preview.md"
    assert in_job.run("preview/preview", ALL, SHOWS="### fine")[0] == 0
    assert in_job.called() == [
        "preview --format markdown -- tasks/a.yaml tasks/b c.yaml train.yaml",
        f"comment {text} --summary",
    ]
    assert text.read_text() == "### fine"
    assert in_job.run("preview/preview", ALL, SHOWS="### denied", CODE_PREVIEW="6")[0] == 6
    assert len(in_job.called()) == 2
    code, _ = in_job.run("preview/preview", ALL, CODE_PREVIEW="4")
    assert (code, len(in_job.called())) == (4, 2)
    assert "    what went wrong" in text.read_text()
    assert in_job.run("preview/preview", LOCAL)[0] == 0
    assert in_job.called() == [f"comment {text} --summary"]
    assert "no task files" in text.read_text()


def test_a_task_file_whose_name_is_an_option_is_previewed_as_a_file(
    in_job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who names a file so would hide a task from the comment, and write where the option says."""
    (in_job.folder / "--planned=sly.yaml").write_text(TASK)
    in_job.commit("sly")
    assert in_job.run("preview/preview", replace(LOCAL, tasks=("*.yaml",)))[0] == 0
    words = in_job.called()[0].split()
    assert words == ["preview", "--format", "markdown", "--", "--planned=sly.yaml", "train.yaml"]
    (in_job.folder / "--planned=sly.yaml").write_text("nothing: sensible\n")
    main(["preview", "--json", *words[words.index("--") :]])
    said = json.loads(capsys.readouterr().out)
    assert "--planned=sly.yaml" in {one["file"] for one in said["stacks"]}
    assert not (in_job.folder / "sly.yaml").exists()


def test_the_script_of_an_apply_takes_what_the_merge_brought(in_job: Job) -> None:
    (in_job.folder / "old.approval.json").write_text("{}")
    (in_job.folder / "gone.approval.json").write_text("{}")
    before = in_job.commit("before")
    (in_job.folder / "gone.approval.json").unlink()
    for name in ("new one.approval.json", "a.bad.approval.json", "notes.json"):
        (in_job.folder / name).write_text("{}")
    after = in_job.commit("after")
    known = {"github.event.before": before, "github.sha": after}
    assert in_job.run("apply/apply", known=known) == (6, "")
    assert in_job.called() == [
        "up --approved=a.bad.approval.json --yes",
        "up --approved=new one.approval.json --yes",
    ]


@pytest.mark.parametrize(("drift", "code"), [("0", 0), ("7", 0), ("4", 4)])
def test_the_script_of_drift_hands_on_that_there_is_some(in_job: Job, drift: str, code: int) -> None:
    assert in_job.run("drift/drift", CODE_DRIFT=drift)[0] == code
    assert (in_job.folder.parent / "summary").read_text() == "    1 of 2 stacks\n"
    assert in_job.run("drift/told")[0] == 7


def test_the_script_of_recovery_waits_for_control_and_says_where_there_is_none(in_job: Job) -> None:
    known = '{"deployments": [{"name": "train"}]}'
    assert in_job.run("drift/recover", ON_OURS, SHOWS=known)[0] == 0
    assert in_job.called() == ["status --refresh --json", "drift --all"]
    assert in_job.run("drift/recover", ON_OURS, SHOWS=known, CODE_DRIFT="4")[0] == 4
    assert in_job.run("drift/recover", ON_OURS, SHOWS='{"deployments": []}')[0] == 4
    assert in_job.called() == ["status --refresh --json"]
