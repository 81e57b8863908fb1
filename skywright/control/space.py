"""A full disk: noticed where a write fails, shown as blocked, and over as soon as something can be written again."""

from __future__ import annotations

import errno
from pathlib import Path

from compiler.problem import Problem, Problems
from skywright.control import store
from skywright.control.context import WORK, Control, log
from skywright.control.rows import Deployment

PROBE_BYTES = 256 * 1024
"""Room for this much must be there before work goes on: a few log uploads and changes of the store."""


def is_full(error: BaseException) -> bool:
    """Does the error say that the disk (or the quota) is full?"""
    if isinstance(error, Problems):
        return any(problem.code.endswith("/disk-full") for problem in error.problems)
    if store.is_full(error):
        return True
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def notice(control: Control, error: BaseException) -> bool:
    """Remember a full disk and wake whoever follows. False when the error is another one."""
    if not is_full(error):
        return False
    if control.full is None:
        control.full = f"disk full: there is no space left for {control.folder}"
        log.error("%s", control.full)
        _wake(control)
    return True


def look(control: Control) -> None:
    """Go on when there is space again."""
    if control.full is None or not _writable(control.folder):
        return
    control.full = None
    for row in control.store.find(Deployment, ended=None):
        if not control.holdings.holds(row.uid):
            continue
        control.tell(row, "step", "the disk was full and has space again: going on")
    _wake(control)


def problem(control: Control) -> Problem:
    return Problem(
        "machine/disk-full",
        f"there is no space left for {control.folder}",
        hint="free some space there: what runs goes on by itself",
    )


def _wake(control: Control) -> None:
    control.bell.ring(WORK, *(row.uid for row in control.store.find(Deployment, ended=None)))


def _writable(folder: Path) -> bool:
    probe = folder / "probe"
    try:
        with open(probe, "wb", buffering=0) as file:
            return file.write(b"\1" * PROBE_BYTES) == PROBE_BYTES
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
