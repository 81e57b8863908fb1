"""The agent's folder by content hash: what a node runs is copied once and never changes under it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from compiler.problem import Problem, Problems
from stacks.home import sync

_SOURCE = Path(__file__).resolve().parents[2] / "runtime"
ENTRY = "agent.py"


def digest() -> str:
    """SHA-256 over names and contents of the agent's files, in hex: the same wherever the same version is installed."""
    total = hashlib.sha256()
    for path in _files():
        content = path.read_bytes()
        total.update(f"{path.relative_to(_SOURCE).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def folder(home: Path, wanted: str | None = None) -> Path:
    """`agents/<hash>` under `home`, copied when it is not there; today's agent unless `wanted` names another.

    Raises Problems `cloud/agent-missing` for a hash that is neither there nor today's.
    """
    target = home / "agents" / (wanted or digest())
    if (target / ENTRY).is_file():
        return target
    if wanted is not None and wanted != digest():
        raise Problems(
            Problem(
                "cloud/agent-missing",
                f"the agent {wanted[:12]} that this stack was compiled with is not on this machine",
                hint="compile the task again with the skywright that is installed here",
            )
        )
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        for path in _files():
            copy = made / path.relative_to(_SOURCE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        made.chmod(0o755)
        os.replace(made, target)
    except OSError:
        # Another process was first: what it put there has the same content.
        shutil.rmtree(made, ignore_errors=True)
        if not (target / ENTRY).is_file():
            raise
    sync(target.parent)
    return target


def _files() -> list[Path]:
    return sorted(path for path in _SOURCE.rglob("*.py") if "image" not in path.relative_to(_SOURCE).parts)
