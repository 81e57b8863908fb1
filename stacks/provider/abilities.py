"""What this machine can do for local nodes, said in the lines of `check`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from stacks.cloud import Check
from stacks.home import home
from stacks.provider import addresses, room, starting

_CGROUPS = Path("/sys/fs/cgroup")


def check() -> tuple[Check, ...]:
    """Isolation, addresses, limits, disk and buckets: one line each."""
    return (_isolation(), _addresses(), _limits(), _disk(), _buckets())


def _isolation() -> Check:
    best = starting.isolations()[0]
    if best == "namespaces" and _may_unshare():
        return Check(
            True, "nodes are kept apart: a root of their own (overlay), processes, /tmp and hostname"
        )
    if "bubblewrap" in starting.isolations() and _wraps():
        return Check(
            True,
            "nodes are kept apart by bubblewrap: processes, /tmp and hostname; not what setup installs",
            hint="as root on Linux a node has a root file system of its own, too",
        )
    why = (
        "this system has no namespaces"
        if sys.platform != "linux"
        else "making namespaces and an overlay takes root"
    )
    if best == "namespaces":
        why = "this system refuses namespaces, even to root (a container without CAP_SYS_ADMIN?)"
    if os.environ.get("SKYWRIGHT_ISOLATION"):
        why = "SKYWRIGHT_ISOLATION asks for it"
    return Check(
        True,
        f"nodes are plain directories with a HOME of their own ({why}): what setup installs, "
        "/tmp and /etc are the host's",  # noqa: S108
        hint="run as root on Linux to keep nodes apart" if sys.platform == "linux" and os.geteuid() else None,
    )


def _buckets() -> Check:
    if not shutil.which("rclone"):
        hint = "Debian, Ubuntu: `apt install rclone fuse3`"
        return Check(True, "buckets are neither copied nor mounted: rclone is not installed", hint=hint)
    lacking = ""
    if not os.path.exists("/dev/fuse"):
        lacking = "this machine has no /dev/fuse"
    elif not (shutil.which("fusermount3") or shutil.which("fusermount")):
        lacking = "fuse3 is not installed"
    elif starting.isolations()[0] != "namespaces":
        lacking = "nodes have no mounts of their own; that takes root on Linux"
    if lacking:
        return Check(True, f"buckets are copied, not mounted: {lacking}", hint="`mode: COPY` works")
    return Check(True, "buckets are copied and mounted (rclone, fuse3)")


def _wraps() -> bool:
    words = ["bwrap", "--unshare-pid", "--dev-bind", "/", "/", "true"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _may_unshare() -> bool:
    # In a process of its own: this one may have threads, and would keep the new namespaces.
    script = (
        f"import sys; sys.path.insert(0, {str(Path(room.__file__).parent)!r}); import room; "
        "room.unshare(room.NEWNS | room.NEWPID)"
    )
    words = [sys.executable, "-I", "-S", "-c", script]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _addresses() -> Check:
    if addresses.own_addresses():
        return Check(True, "each node has an address of its own in 127.0.0.0/8")
    return Check(
        True,
        "only 127.0.0.1 answers here: nodes share it, so tasks of several nodes need distinct ports",
        hint="Linux answers on all of 127.0.0.0/8",
    )


def _limits() -> Check:
    kinds = []
    if (_CGROUPS / "memory").is_dir() and os.access(_CGROUPS / "memory", os.W_OK):
        kinds.append("memory and cpu limits (cgroup v1)")
    controllers = _CGROUPS / "cgroup.controllers"
    if controllers.is_file() and os.access(_CGROUPS, os.W_OK) and "memory" in controllers.read_text().split():
        kinds.append("memory and cpu limits (cgroup v2)")
    if kinds:
        return Check(True, f"{', '.join(kinds)} are kept, and jobs end by control group")
    return Check(True, "no control groups for us: cpus and memory are not enforced, jobs end by process tree")


def _disk() -> Check:
    free = shutil.disk_usage(home()).free / 1e9
    if free < 1:
        return Check(False, f"{free:.1f} GB free in {home()}", hint="free some space, or set SKYWRIGHT_HOME")
    return Check(True, f"{os.cpu_count()} cpus, {free:.0f} GB free for nodes")
