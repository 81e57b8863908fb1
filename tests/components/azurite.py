"""Azurite: Azure's own emulator of Blob Storage, on the machine's node."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.components.building import Component, Missing, Progress, run

PINS = Path(__file__).parent / "azurite"
NAMES = ("package.json", "package-lock.json")
FLAGS = ("--ignore-scripts", "--omit=optional", "--omit=dev", "--no-audit", "--no-fund")


class NodePackage:
    """What the lock names, installed by npm; no script of a package runs."""

    def digest(self) -> str:
        made = hashlib.sha256(" ".join(FLAGS).encode())
        for name in NAMES:
            made.update((PINS / name).read_bytes())
        return made.hexdigest()[:16]

    def make(self, folder: Path, progress: Progress) -> None:
        npm, node = shutil.which("npm"), shutil.which("node")
        if not npm or not node:
            raise Missing("no `npm` and `node` on PATH")
        for name in NAMES:
            shutil.copy(PINS / name, folder / name)
        run([npm, "ci", *FLAGS], folder, {}, "azurite: installing from its lock", progress)
        program = folder / "bin" / "azurite-blob"
        program.parent.mkdir()
        entry = "node_modules/azurite/dist/src/blob/main.js"
        program.write_text(f'#!/bin/sh\nexec node "$(dirname "$0")/../{entry}" "$@"\n')
        program.chmod(0o755)


def component() -> Component:
    return Component("azurite", ("azurite-blob",), NodePackage())
