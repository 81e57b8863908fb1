"""`./invoke setup --extra NAME`: installs the SDKs of clouds into .venv."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("aws", "gcp", "azure", "kubernetes", "postgres", "all")


def run(values: Any) -> int:
    """Install the extras; without any, the wrapper has already done everything."""
    for extra in values.extra:
        if extra not in EXTRAS:
            raise Problems(
                Problem("usage/unknown-extra", f"`{extra}` is no extra", hint=f"one of {', '.join(EXTRAS)}")
            )
    if not values.extra:
        print("installed; extras: ./invoke setup --extra " + "|".join(EXTRAS))
        return 0
    wanted = f"{ROOT}[{','.join(values.extra)}]"
    if shutil.which("uv"):
        command = ["uv", "pip", "install", "--python", sys.executable, "--no-build-isolation", "-e", wanted]
    else:
        command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "-e", wanted]
    return 0 if subprocess.run(command).returncode == 0 else 4
