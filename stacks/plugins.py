"""Puts our own Pulumi provider into Pulumi's plugin cache, where the engine finds it by its exact version."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from stacks.provider import plugin


def keep(pulumi_home: Path) -> Path:
    """Make `plugins/resource-skywright-v<version>` hold today's provider; the folder is returned.

    A provider whose content differs (its interpreter moved) is replaced file by file, so that an engine which
    starts meanwhile finds the old or the new one.
    """
    plugins = pulumi_home.expanduser() / "plugins"
    plugins.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = plugins / f"resource-skywright-v{plugin.VERSION}"
    draft = Path(tempfile.mkdtemp(prefix=".skywright-", dir=plugins))
    try:
        plugin.write(draft)
        draft.chmod(0o755)
        try:
            os.rename(draft, target)
        except OSError:  # it is there
            for file in draft.iterdir():
                there = target / file.name
                if _same(file, there):
                    continue
                os.replace(file, there)
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(draft)
    return target


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes() and one.stat().st_mode == other.stat().st_mode
    except FileNotFoundError:
        return False
