"""Pulumi's plugin cache: our own provider is put there, and those of clouds in the version that their SDK has."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from compiler.problem import Problem, Problems
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


def providers(extra: str) -> tuple[tuple[str, str], ...]:
    """(name, version) of the provider plugins that an extra's SDK goes with, as the distribution pins it."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = requires("skywright") or []
    except PackageNotFoundError:
        return ()
    found = []
    for text in wanted:
        pinned = re.match(r"pulumi-([a-z0-9-]+)==([0-9.]+)", text)
        if pinned and re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", text):
            found.append((pinned[1], pinned[2]))
    return tuple(found)


def is_there(pulumi_home: Path, name: str, version: str) -> bool:
    return (pulumi_home.expanduser() / "plugins" / f"resource-{name}-v{version}").is_dir()


def fetch(cli: Path, env: Mapping[str, str], name: str, version: str) -> None:
    """Have the engine download a provider. Raises Problems engine/plugin-missing."""
    command = [str(cli), "--non-interactive", "plugin", "install", "resource", name, version]
    done = subprocess.run(
        command, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise Problems(
            Problem(
                "engine/plugin-missing",
                f"the provider {name} {version} could not be fetched: {lines[-1][:300]}",
                hint="the engine tries again when it is first needed; get.pulumi.com has to be reachable",
            )
        )


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes() and one.stat().st_mode == other.stat().st_mode
    except FileNotFoundError:
        return False
