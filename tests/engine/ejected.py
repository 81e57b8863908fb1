"""Writes the ejected project of a recording, and asks plain `pulumi` what it would change."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from attached import attached

from compiler.spec import StackSpec
from stacks import backend
from stacks import install as engine_install
from stacks.eject.project import Project, project


def written(spec: StackSpec, recording: dict[str, Any], folder: Path) -> Project:
    made = project(spec, recording, "export PULUMI_BACKEND_URL=...")
    for name, content in made.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return made


def unchanged(folder: Path, stack: str) -> int:
    """How many resources plain `pulumi preview` leaves as they are, by the folder alone: all that there are."""
    settled = backend.settle({})
    cli = engine_install.find()
    assert cli is not None
    names = ("PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE")
    env = {**os.environ, **{name: settled.env[name] for name in names}}
    env |= {"PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}
    with attached(folder) as runtime:
        done = subprocess.run(
            [cli.path, "--non-interactive", "preview", "--stack", stack, "--json", "--diff"],
            cwd=folder,
            env={**env, **runtime},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, int] = json.loads(done.stdout)["changeSummary"]
    assert set(summary) == {"same"}, done.stdout
    return summary["same"]


def imports(program: str) -> set[str]:
    found = {
        name.name.partition(".")[0]
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    return found | {
        str(node.module).partition(".")[0]
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.ImportFrom)
    }
