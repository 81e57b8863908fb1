"""The job's control groups and process tree: limited, killed whole, read for out-of-memory evidence, removed.

A job is a tuple of group folders, one per hierarchy that let us make one: the unified one (kill), and the one that
holds memory (limit, evidence, peak), which are the same on a pure v2 host. Where there is none, the process tree below
the shim, to which the kernel gives every orphan, is what is killed.
"""

from __future__ import annotations

import contextlib
import os
import time


def make(name: str, memory_bytes: int) -> tuple[str, ...]:
    """Make the groups called `name` below our own; `memory_bytes` 0 sets no limit. Never fails: fewer, or none."""
    made = []
    for base in _bases():
        folder = os.path.join(base, name)
        remove((folder,))
        try:
            os.mkdir(folder)
            with open(os.path.join(folder, "cgroup.procs"), "rb"):
                pass
        except OSError:
            continue
        made.append(folder)
        if memory_bytes:
            for limit in ("memory.max", "memory.limit_in_bytes"):
                _write(os.path.join(folder, limit), str(memory_bytes))
            for swap in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
                _write(os.path.join(folder, swap), "0" if swap.endswith("max") else str(memory_bytes))
    return tuple(made)


def find(name: str) -> tuple[str, ...]:
    """The groups called `name` that exist."""
    return tuple(folder for base in _bases() if os.path.isdir(folder := os.path.join(base, name)))


def enter(groups: tuple[str, ...]) -> None:
    """Put the calling process into the groups."""
    for folder in groups:
        _write(os.path.join(folder, "cgroup.procs"), "0")


def kill(groups: tuple[str, ...]) -> None:
    """SIGKILL to everything in the groups, once."""
    for folder in groups:
        if not _write(os.path.join(folder, "cgroup.kill"), "1"):
            for pid in members((folder,)):
                _kill(pid)


def members(groups: tuple[str, ...]) -> list[int]:
    """Process ids in the groups (0 is one outside our process namespace, and left out)."""
    found: set[int] = set()
    for folder in groups:
        found.update(int(pid) for pid in _read(os.path.join(folder, "cgroup.procs")).split())
    return sorted(found - {0})


def remove(groups: tuple[str, ...], patience_s: float = 2.0) -> bool:
    """Kill what is in the groups and remove them; False when that took longer than `patience_s`."""
    end = time.monotonic() + patience_s
    left = [folder for folder in groups if os.path.isdir(folder)]
    while left:
        kill(tuple(left))
        left = [folder for folder in left if not _rmdir(folder)]
        if left and time.monotonic() > end:
            return False
        if left:
            time.sleep(0.002)
    return True


def oom_kills(groups: tuple[str, ...]) -> int:
    """How many processes of the groups the kernel killed for want of memory."""
    return max((_field(folder, "oom_kill") for folder in groups), default=0)


def peak_bytes(groups: tuple[str, ...]) -> int:
    """The most memory the groups held; 0 where nobody counts."""
    return _largest(groups, ("memory.peak", "memory.max_usage_in_bytes"))


def memory_bytes(groups: tuple[str, ...]) -> int:
    """The memory the groups hold now; 0 where nobody counts."""
    return _largest(groups, ("memory.current", "memory.usage_in_bytes"))


def kill_tree(root: int) -> int:
    """SIGKILL to every process below `root`, deepest last; how many there were (zombies not counted)."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            state, _, rest = _read(f"/proc/{name}/stat").rpartition(")")[2].strip().partition(" ")
            if state not in ("", "Z", "X"):
                parents.setdefault(int(rest.split(" ", 1)[0]), []).append(int(name))
    found, rows = [], list(parents.get(root, ()))
    while rows:
        pid = rows.pop()
        found.append(pid)
        rows.extend(parents.get(pid, ()))
    for pid in found:
        _kill(pid)
    return len(found)


def kill_marked(mark: bytes) -> int:
    """SIGKILL to every process whose environment holds `mark`: for what a shim that was killed left behind."""
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark not in file.read():
                        continue
            except OSError:
                continue
            found += 1
            _kill(int(name))
    return found


def _bases() -> list[str]:
    """Our own group's folder in the unified hierarchy and in the one of memory, as this mount namespace shows them."""
    own: dict[str, str] = {}
    for line in _read("/proc/self/cgroup").splitlines():
        _, names, mine = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), mine))
    bases = []
    for line in _read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, options = right.split()[0], right.split()[-1].split(",")
        path = own.get("" if kind == "cgroup2" else "memory")
        if path is None or not (kind == "cgroup2" or (kind == "cgroup" and "memory" in options)):
            continue
        inside = root == "/" or path == root or path.startswith(root + "/")
        below = path[len(root.rstrip("/")) :] if inside and ".." not in path else ""
        base = point + below.rstrip("/")
        if kind == "cgroup2":
            _write(os.path.join(base, "cgroup.subtree_control"), "+memory")
        bases.append(base)
    return sorted(set(bases))


def _field(folder: str, key: str) -> int:
    for name in ("memory.events", "memory.oom_control"):
        for line in _read(os.path.join(folder, name)).splitlines():
            if line.startswith(key + " "):
                return int(line.split()[1])
    return 0


def _largest(groups: tuple[str, ...], names: tuple[str, ...]) -> int:
    texts = [_read(os.path.join(folder, name)).strip() for folder in groups for name in names]
    return max((int(text) for text in texts if text.isdigit()), default=0)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, 9)


def resident() -> int:
    """Bytes of memory that this process holds."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
