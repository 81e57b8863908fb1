"""One more cloud is one file: installed beside us by an entry point, or in the tree with one line; all else follows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import clouddoc

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "data" / "toycloud" / "harbor.py"
PARTS = (
    "compiler",
    "runtime",
    "schemas",
    "skywright",
    "stacks",
    "tests",
    "docs",
    "pyproject.toml",
    "tasks.py",
)


@dataclass(frozen=True)
class Tree:
    """A checkout in `folder`, and what else Python finds modules in."""

    folder: Path
    beside: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(self.beside), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=env, capture_output=True, text=True
        )

    def sky(self, *words: str) -> tuple[int, str]:
        done = self.run("-m", "skywright.cli", *words)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    def data(self, *words: str) -> Any:
        return json.loads(self.sky(*words, "--json")[1])


def installed(folder: Path) -> Tree:
    """The toy as a small distribution that declares an entry point."""
    shutil.copy(TOY, folder)
    said = folder / "harbor-1.dist-info"
    said.mkdir()
    (said / "entry_points.txt").write_text("[skywright.clouds]\nharbor = harbor\n")
    (said / "METADATA").write_text("Metadata-Version: 2.1\nName: harbor\nVersion: 1\n")
    return Tree(ROOT, folder)


def in_the_tree(folder: Path) -> Tree:
    """The toy as one file and one line of a copy of the tree."""
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    shutil.copy(TOY, folder / "stacks")
    path = folder / "stacks" / "__init__.py"
    text, times = re.subn(r'(\n    "local": .*)', r'\1\n    "harbor": "stacks.harbor",', path.read_text())
    assert times == 1
    path.write_text(text)
    return Tree(folder, folder)


@pytest.fixture(scope="module", params=[installed, in_the_tree], ids=lambda make: make.__name__)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    made: Tree = request.param(tmp_path_factory.mktemp("harbor"))
    return made


def test_the_contract_suite_takes_it_in(tree: Tree) -> None:
    suite = ("tests/contract/test_clouds.py", "-k", "harbor", "-p", "no:cacheprovider", "-q", "--no-header")
    done = tree.run("-m", "pytest", *suite)
    assert done.returncode == 0, done.stdout[-3000:]
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) >= 15


def test_messages_help_and_plans_know_it(tree: Tree, tmp_path: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("resources: {infra: harbour, cpus: 4+}\nnum_nodes: 2\nrun: sail\n")
    (told,) = tree.data("validate", str(task))["files"]
    (problem,) = told["problems"]
    assert (problem["code"], problem["line"]) == ("task/unknown-cloud", 1)
    assert "did you mean `harbor`" in problem["hint"]
    task.write_text(task.read_text().replace("harbour", "harbor"))
    plan = tree.data("explain", str(task))
    offer = plan["placements"][0]["offer"]
    assert (offer["cloud"], offer["instance_type"]) == ("harbor", "sloop")
    assert plan["runnable"] is True
    assert ("harbor", "the harbor is open") in [
        (line["what"], line["says"]) for line in tree.data("check", "harbor")["lines"]
    ]
    assert re.search(r"CLOUDS .*\bharbor\b", tree.sky("check", "--help")[1])
    made = tree.data("compile", str(task), "--out", str(tmp_path / "compiled"))
    assert [one["stack"] for one in made["stacks"]] == ["task-harbor-north"]


def test_the_table_of_clouds_has_it(tree: Tree) -> None:
    done = tree.run(
        "-c", "from stacks import CLOUDS; from tests import clouddoc; print(clouddoc.table(*CLOUDS))"
    )
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| harbor |")]
    assert "boats that a test moors" in row


def test_the_table_of_clouds_is_true() -> None:
    assert clouddoc.DOC.read_text() == clouddoc.text(), "run `python -m tests.clouddoc`"
