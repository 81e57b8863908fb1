"""Figures of SkyPilot that have a like here, measured in an environment of its own under the cache."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

VERSION = "0.14.1"


def measure() -> dict[str, float]:
    """Seconds by the name of our figure: its cold start stands beside our `--list` and `validate`."""
    python = environment()
    sky = python.with_name("sky")
    home = python.parents[1] / "home"
    home.mkdir(exist_ok=True)
    env = {**os.environ, "HOME": str(home), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    return {
        "invoke --list": _seconds([str(sky), "--help"], env),
        "validate": _seconds([str(python), "-c", "import sky"], env),
    }


def environment() -> Path:
    """The Python of the rival's environment, made once."""
    from stacks.home import cache

    folder = cache() / "oracle" / f"skypilot-{VERSION}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    if shutil.which("uv"):
        install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    else:
        install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, f"skypilot=={VERSION}"], check=True, stdout=sys.stderr)
    (folder / "complete").touch()
    return python


def _seconds(command: list[str], env: dict[str, str]) -> float:
    taken = []
    for number in range(4):
        begun = time.monotonic()
        subprocess.run(command, env=env, check=True, capture_output=True)
        if number:
            taken.append(time.monotonic() - begun)
    return statistics.median(taken)
