"""The agent's folder by content hash: what a node runs is copied once and never changes under it."""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from py_compile import PycInvalidationMode

from compiler.problem import Problem, Problems
from stacks.home import home, sync, write

ENTRY = "agent.py"

_SOURCE = Path(__file__).resolve().parents[2] / "runtime"


def digest() -> str:
    """SHA-256 over names and contents of the agent's files, in hex: the same wherever that version is."""
    total = hashlib.sha256()
    for path in _files():
        content = path.read_bytes()
        total.update(f"{path.name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def folder(root: Path, wanted: str | None = None) -> Path:
    """`agents/<hash>` under `root`, copied when it is not there; today's agent unless `wanted` names another.

    Raises Problems `cloud/agent-missing` for a hash that is neither there nor today's.
    """
    target = root / "agents" / (wanted or digest())
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
            shutil.copyfile(path, made / path.name)
        # A node sees the folder read-only, so its interpreter could not keep what it compiles.
        compileall.compile_dir(
            made, ddir=str(target), quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )
        made.chmod(0o755)
        os.replace(made, target)
    except OSError:
        with contextlib.suppress(OSError):
            shutil.rmtree(made)
        # Another process may have been first: what it put there has the same content.
        if not (target / ENTRY).is_file():
            raise
    sync(target.parent)
    return target


def archive(wanted: str) -> Path:
    """The files of one agent as `agents/<hash>.tar` of skywright's home, the same bytes wherever that agent is.

    Raises Problems `cloud/agent-missing`.
    """
    target = home() / "agents" / f"{wanted}.tar"
    if target.is_file():
        return target
    source = folder(home(), wanted)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(source.glob("*.py")):
            member = tarfile.TarInfo(path.name)
            member.size, member.mode = path.stat().st_size, 0o644
            with open(path, "rb") as file:
                tar.addfile(member, file)
    write(target, made.getvalue())
    return target


def _files() -> list[Path]:
    """All of the agent, side by side; it is never imported here."""
    return sorted(_SOURCE.glob("*.py"))
