"""The walk of docs/pull-requests.md, performed: a real repository, the real engine, and a host of ours."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import documented, job_runner
from tests.e2e.conftest import ROOT, SKYWRIGHT, Sky
from tests.e2e.documented import Command, File
from tests.standins import githost
from tests.standins.githost import Host

pytestmark = pytest.mark.engine

DOCUMENT = ROOT / "docs" / "pull-requests.md"
FIRST = 7
"""The number of the first pull request."""


class Team:
    """A repository with a remote, a host that talks about its pull requests, and what a push makes happen."""

    def __init__(self, sky: Sky, host: Host) -> None:
        self.sky, self.host = sky, host
        self.folder = sky.folder / "models"
        self.pulls: dict[str, int] = {}
        self.history: list[tuple[str, list[tuple[int, str]]]] = []
        """After each push: the branch, and (id, body) of the comments on its pull request."""
        self.commits: list[str] = []
        programs = sky.folder / "bin"
        programs.mkdir()
        for name in ("invoke", "skywright"):
            (programs / name).write_text(f'#!/bin/sh\nexec "{SKYWRIGHT}" "$@"\n')
            (programs / name).chmod(0o755)
        who = {
            f"GIT_{role}_{what}": "ann@acme.example"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        self.env = {**sky.env, **who, "PATH": f"{programs}:{sky.env['PATH']}", "GIT_CONFIG_NOSYSTEM": "1"}
        del self.env["SKYWRIGHT_PROJECT"]
        subprocess.run(
            ["git", "init", "-q", "--bare", "-b", "main", str(sky.folder / "remote.git")], check=True
        )
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.folder)], check=True)
        subprocess.run(
            ["git", "remote", "add", "origin", str(sky.folder / "remote.git")], cwd=self.folder, check=True
        )

    def do(self, step: File | Command) -> None:
        if isinstance(step, File):
            path = self.folder / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.content)
        elif pushed := re.search(r"git push -q origin (\S+)$", step.text):
            (self.merged if pushed[1] == "main" else self.pushed)(step, pushed[1])
        else:
            documented.run(step, self.folder, self.env)

    def pushed(self, command: Command, branch: str) -> None:
        """The branch's pull request starts the job that previews, in a checkout of its own."""
        documented.run(Command(command.line, command.text), self.folder, self.env)
        number = self.pulls.setdefault(branch, FIRST + len(self.pulls))
        checkout = self.checkout(branch)
        self.commits.append(self.git("rev-parse", branch))
        # The host previews what a merge would give, which is a commit of nobody.
        self.git("commit", "-q", "--allow-empty", "-m", "Merge", folder=checkout)
        env = {
            "GITHUB_REPOSITORY": self.host.repository,
            "GITHUB_API_URL": self.host.url,
            "GITHUB_REF": f"refs/pull/{number}/merge",
            "GITHUB_STEP_SUMMARY": str(self.sky.folder / "summary.md"),
        }
        known = {"github.token": "job-token", "github.event.pull_request.head.sha": self.commits[-1]}
        before = self.state()
        code, output = self.job("preview", known, env)
        # The job's role in the clouds may read and nothing else, where the state lies too.
        assert not before or self.state() == before
        found = [(one["id"], one["body"]) for one in self.host.comments if one["pull"] == number]
        self.history.append((branch, found))
        documented.check(command, code, output + "".join(body for _, body in found))

    def state(self) -> dict[str, tuple[int, bytes]]:
        """Every file where the state lies: when it was written, and what."""
        files = [path for path in (self.sky.home / "state").rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    def merged(self, command: Command, branch: str) -> None:
        """A push of main starts the job that applies, where there is one."""
        before = self.git("rev-parse", "--verify", "-q", f"origin/{branch}", may_fail=True)
        documented.run(Command(command.line, command.text), self.folder, self.env)
        if not (self.folder / ".github").exists():
            return
        self.checkout(branch)
        known = {"github.event.before": before, "github.sha": self.git("rev-parse", branch)}
        documented.check(command, *self.job("apply", known, {}))

    def job(self, name: str, known: dict[str, str], env: dict[str, str]) -> tuple[int, str]:
        folder = self.sky.folder / "checkout"
        workflow = folder / f".github/workflows/skywright-{name}.yml"
        return job_runner.job(workflow, name, known, folder, {**self.env, **env})

    def checkout(self, branch: str) -> Path:
        folder = self.sky.folder / "checkout"
        if not folder.exists():
            self.git("worktree", "add", "-q", "--detach", str(folder))
        self.git("checkout", "-q", "--detach", branch, folder=folder)
        return folder

    def git(self, *words: str, folder: Path | None = None, may_fail: bool = False) -> str:
        done = subprocess.run(
            ["git", *words], cwd=folder or self.folder, env=self.env, capture_output=True, text=True
        )
        assert may_fail or done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def team(sky: Sky) -> Iterator[Team]:
    with githost.serving() as host:
        yield Team(sky, host)


@pytest.mark.timeout(600)
def test_the_walk_of_the_document(team: Team) -> None:
    taken = list(documented.steps(DOCUMENT, "A walk"))
    assert len([step for step in taken if isinstance(step, Command)]) > 10
    for step in taken:
        team.do(step)
    comments = [(branch, [id for id, _ in found]) for branch, found in team.history]
    # One comment for each pull request, the same one after every push, about the commit that was pushed.
    assert all(len(ids) == 1 for _, ids in comments)
    assert len(set(map(str, comments))) == len(team.pulls) == 2
    for commit, (_, found) in zip(team.commits, team.history, strict=True):
        assert f"commit `{commit[:12]}`" in found[0][1]
    assert team.sky.nodes() == {}
