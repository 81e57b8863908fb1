"""The namespaces of a container, joined by a job that its shim starts."""

from __future__ import annotations

import ctypes
import os

KINDS = ("uts", "mnt")
"""Joined by the job itself; network and shared memory are the node's."""


def open_all(pid: int) -> tuple[int, ...] | None:
    """Namespaces of the container that the process `pid` holds open, for `enter`. Whatever the caller forks next is
    among the container's processes already. None when there is no such container any more."""
    try:
        if os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
            return None
        found = tuple(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in KINDS)
        fd = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        _join(fd)
        os.close(fd)
    except OSError:
        return None
    return found


def enter(found: tuple[int, ...] | None) -> None:
    """In the forked process: its root is the container's from now on. Raises OSError."""
    if found is None:
        raise OSError("the container is gone")
    for fd in found:
        _join(fd)


def _join(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0):
        raise OSError(ctypes.get_errno(), "the container cannot be joined")
