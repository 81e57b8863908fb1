"""`./invoke setup --extra NAME`: installs a cloud's SDK into .venv, in the locked versions, and its provider plugin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
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
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "locked.txt"
        pins.write_text("\n".join(locked((ROOT / "requirements-dev.lock").read_text())) + "\n")
        if subprocess.run(command(values.extra, pins), check=False).returncode != 0:
            return 4
    _plugins(EXTRAS[:-1] if "all" in values.extra else values.extra)
    return 0


def locked(text: str) -> list[str]:
    """`name==version ; marker` of every distribution of a lock, without its hashes: ours has none."""
    rows = re.findall(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*==[^\s\\;]+)(\s*;[^\\\n]*)?", text)
    return [f"{name}{marker.rstrip()}" for name, marker in rows]


def command(extras: Iterable[str], pins: Path) -> list[str]:
    wanted = f"{ROOT}[{','.join(extras)}]"
    rest = ["--no-build-isolation", "-c", str(pins), "-e", wanted]
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--python", sys.executable, *rest]
    return [sys.executable, "-m", "pip", "install", *rest]


def _plugins(extras: Iterable[str]) -> None:
    """Raises Problems engine/plugin-missing, and those of an engine that cannot be had."""
    from stacks import backend, install, plugins

    env = {name: value for name, value in os.environ.items() if name.startswith("PULUMI_")}
    settled = backend.settle(env)
    for extra in extras:
        for name, version in plugins.providers(extra):
            if not plugins.is_there(settled.pulumi_home, name, version):
                plugins.fetch(install.ensure(print).path, settled.env, name, version)
            print(f"provider {name} {version} is here")
