"""Prints how long one command takes for the report of 20 stacks, on AWS at its stand-in and here, as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STACKS = 20
TASK = """\
name: team-{number}
num_nodes: 2
resources: {{infra: {infra}, cpus: {cpus}, use_spot: {spot}{more}}}
checkpoint: ~/kept
run: echo hello
"""


def measure(folder: Path) -> dict[str, Any]:
    """Seconds of wall clock and of CPU for 20 stacks that are new, their network too; then of 20 on this machine."""
    from skywright.review.markdown import length
    from stacks import home
    from tests.standins.install import install
    from tests.standins.sites import STORE, site
    from tests.standins.store import VARIABLE

    cloud = folder / "aws"
    cloud.mkdir()
    with site("aws", cloud) as there:
        os.environ |= {**there.env, VARIABLE: str(cloud / STORE), "SKYWRIGHT_HOME": str(folder / "home")}
        install(home.home() / "pulumi", ("aws",))
        aws, text = _report(folder, "aws/us-east-1", 2)
    here, _ = _report(folder, "local", 0.1)
    return {"aws": aws, "local": here, "comment": length(text)}


def _report(folder: Path, infra: str, cpus: float) -> tuple[dict[str, float], str]:
    """Seconds, and the comment, which has to tell of every stack."""
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    for number in range(STACKS):
        spot = "true" if number % 2 else "false"
        more = ", image_id: ami-0123456789abcdef0" if infra != "local" else ""
        text = TASK.format(number=number, infra=infra, cpus=cpus, spot=spot, more=more)
        (tasks / f"{number}.yaml").write_text(text)
    began, used = time.monotonic(), os.times()
    done = _command(tasks, "--format", "markdown")
    seconds, now = time.monotonic() - began, os.times()
    told = sum(line.startswith("| `team-") and "| changed |" in line for line in done.stdout.splitlines())
    if done.returncode or told != STACKS:
        raise AssertionError(f"{told} stacks of {STACKS} in the summary\n{done.stderr}{done.stdout[:4000]}")
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    return {"seconds": seconds, "cpu": cpu}, done.stdout


def _command(tasks: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skywright.cli", "preview", str(tasks), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory(prefix="skywright-bench-") as place:
        print(json.dumps(measure(Path(place))))
