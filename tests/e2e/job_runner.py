"""Runs a job of a generated workflow on this machine: its scripts as they stand, its few expressions filled in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml


def job(
    workflow: Path, name: str, known: dict[str, str], folder: Path, env: dict[str, str]
) -> tuple[int, str]:
    """(exit code, output) of the scripts of a job in `folder`, where the repository is checked out already; `known`
    are the values of expressions. Steps that use an action or install something are passed over."""
    steps = yaml.safe_load(workflow.read_text())["jobs"][name]["steps"]
    temp = folder.parent / "runner"
    temp.mkdir(exist_ok=True)
    outputs = temp / "outputs"
    outputs.write_text("")
    kept, said = dict(known), []
    for step in steps:
        if "run" not in step or step.get("name", "").startswith("Install"):
            continue
        filled = {key: _filled(value, kept) for key, value in (step.get("env") or {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=folder,
            env={**env, **filled, "RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(outputs)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
        )
        said.append(done.stdout)
        if done.returncode:
            return done.returncode, "".join(said)
        for line in outputs.read_text().splitlines():
            key, _, value = line.partition("=")
            kept[f"steps.{step.get('id')}.outputs.{key}"] = value
        outputs.write_text("")
    return 0, "".join(said)


def _filled(value: Any, known: dict[str, str]) -> str:
    return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda found: known.get(found[1], ""), str(value))
