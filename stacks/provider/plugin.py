"""Our provider as the engine's plugin: its name, version, and the executable that the engine starts."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

PACKAGE = "skywright"
VERSION = "0.1.0"
"""The engine finds the plugin by exactly this version."""

TOKEN = "skywright:local:Node"  # noqa: S105 (a type's name)
EXECUTABLE = f"pulumi-resource-{PACKAGE}"

_ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path) -> None:
    """Write a folder that `pulumi plugin install resource skywright VERSION --file FOLDER` accepts.

    It belongs into the engine's cache only: it names this machine's interpreter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / EXECUTABLE
    path.write_text(script())
    path.chmod(0o755)


def script() -> str:
    """The executable's text; where what is installed differs, the plugin must be installed again."""
    start = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from stacks.provider.server import main; main()"
    # Isolated, so that neither the folder it is started in nor PYTHONPATH decides what it imports.
    return f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -c {shlex.quote(start)} "$@"\n'
