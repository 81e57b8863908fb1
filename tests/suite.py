"""`./invoke test`: format, lint, types and import rules beside the making of engine and components, then pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ENGINE = "from stacks.install import ensure; ensure(lambda text: print(text, flush=True))"
WORKERS = str((os.cpu_count() or 1) + 1)
"""One more than there are cores: most of the time of most tests is a wait for processes."""

CHECKS: tuple[tuple[str, list[str]], ...] = (
    ("ruff format", [str(BIN / "ruff"), "format", "--check", "."]),
    ("ruff check", [str(BIN / "ruff"), "check", "."]),
    ("import rules", [str(BIN / "lint-imports")]),
    ("mypy --strict", [sys.executable, "-m", "mypy"]),
    ("pyright", [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]),
)


class Step:
    """One check in a process of its own."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.command = name, command
        self.code, self.output, self.seconds = 1, "", 0.0

    def run(self) -> None:
        begun = time.monotonic()
        env = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_COLOR": "1"}
        done = subprocess.run(
            self.command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.code, self.output, self.seconds = done.returncode, done.stdout, time.monotonic() - begun

    def say(self) -> None:
        print(f"{'ok    ' if self.code == 0 else 'FAILED'}  {self.name}  {self.seconds:.1f} s", flush=True)
        if self.code:
            print(self.output.rstrip(), flush=True)


def run(values: Any) -> int:
    """All of it; 0 when everything passed. Words and -k go to pytest; --fast leaves checks and engine out."""
    if values.faults:
        from tests.faults import suite

        return suite.run(values, () if values.fast else MADE)
    begun = time.monotonic()
    failed: list[str] = []
    marks: list[str] = []
    if values.fast:
        marks = ["-m", "not engine"]
    else:
        failed += check_all()
    sys.stdout.flush()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        WORKERS,
        "--dist",
        "worksteal",
        "--durations",
        "40",
        *marks,
    ]
    if values.soak:
        command.append("--soak")
    if values.keyword:
        command += ["-k", values.keyword]
    # Hundreds of operations import a cloud's SDK: compiled once it takes a quarter of the time.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    code = subprocess.run([*command, *values.rest], cwd=ROOT, env=env).returncode
    if code:
        failed.append(f"pytest (exit {code})")
    seconds = time.monotonic() - begun
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'all passed'}, {seconds:.0f} s", flush=True)
    return 1 if failed else 0


MADE: tuple[tuple[str, list[str]], ...] = (
    ("engine", [sys.executable, "-c", ENGINE]),
    ("components", [sys.executable, "-m", "tests.components"]),
)
"""Built once per machine, then cached."""


def check_all() -> list[str]:
    """Run the checks one after the other while engine and components are made; the names of those that failed."""
    making = [Step(name, command) for name, command in MADE]
    threads = [threading.Thread(target=step.run) for step in making]
    for thread in threads:
        thread.start()
    failed = []
    for name, command in CHECKS:
        step = Step(name, command)
        step.run()
        step.say()
        if step.code:
            failed.append(step.name)
    for step, thread in zip(making, threads, strict=True):
        if thread.is_alive():
            print(f"waiting for {step.name} (built once, then cached)", flush=True)
        thread.join()
        step.say()
        if step.code:
            failed.append(step.name)
    return failed
