"""Which process is meant: pid, start time and boot, so that a reused pid is never taken for another."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for ever. `start` is in clock ticks since boot (without /proc: seconds since 1970)."""

    pid: int
    start: int
    boot_id: str

    def to_data(self) -> dict[str, Any]:
        return {"pid": self.pid, "start": self.start, "boot_id": self.boot_id}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Identity:
        return cls(pid=data["pid"], start=data["start"], boot_id=data["boot_id"])


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """Another text after every boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # macOS: `{ sec = 1700000000, usec = 0 } Tue ...`; the date part depends on the locale.
        said = _output(["sysctl", "-n", "kern.boottime"])
        return said.partition("}")[0].strip("{ ") or "unknown"


def identity(pid: int | None = None) -> Identity:
    """The identity of a process that nobody has waited for, by default this one. ProcessLookupError."""
    pid = os.getpid() if pid is None else pid
    found = _start(pid, zombie=True)
    if found is None:
        raise ProcessLookupError(f"no process {pid}")
    return Identity(pid, found, boot_id())


def alive(who: Identity) -> bool:
    """Does exactly this process still run? A zombie does not."""
    return who.boot_id == boot_id() and _start(who.pid) == who.start


def send(who: Identity, number: int) -> bool:
    """Signal exactly this process; False when it is gone."""
    if not alive(who):
        return False
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(who.pid)
        except ProcessLookupError:
            return False
        except OSError:  # a kernel or sandbox without pidfd
            return _kill(who.pid, number)
        try:
            # The handle pins the process: compare again, now that the pid cannot be given to another.
            if not alive(who):
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
    return _kill(who.pid, number)


def end(who: Identity, grace_s: float = 0.0) -> None:
    """Stop exactly this process: SIGTERM when there is a grace, then SIGKILL; returns when it is gone."""
    if grace_s > 0 and send(who, signal.SIGTERM) and _gone_within(who, grace_s):
        return
    if send(who, signal.SIGKILL):
        _gone_within(who, 10)


def end_family(who: Identity) -> None:
    """End a process and all it started at once, also what runs in process groups of its own."""
    # Stopped first, so that it starts nothing more while its family is counted.
    if send(who, signal.SIGSTOP):
        for member in descendants(who.pid):
            end(member)
        end(who)


def awake() -> float:
    """Seconds that only grow, also while the machine sleeps, whatever happens to its clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def descendants(pid: int) -> list[Identity]:
    """Living children of `pid`, their children and so on. Where there is no /proc it asks ps."""
    parents = _parents()
    found: list[Identity] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        for child, its_parent in parents.items():
            if its_parent == parent:
                todo.append(child)
                with contextlib.suppress(ProcessLookupError):
                    found.append(identity(child))
    return found


def _gone_within(who: Identity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    pause = 0.001
    while alive(who):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


def _kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _start(pid: int, zombie: bool = False) -> int | None:
    if sys.platform == "linux":
        fields = _stat(pid)
        # Fields count from the state, number 3: the name before it may hold spaces and brackets.
        return None if fields is None or (fields[0] in (b"Z", b"X") and not zombie) else int(fields[19])
    said = _output(["ps", "-o", "stat=,lstart=", "-p", str(pid)]).strip()
    state, _, started = said.partition(" ")
    if not started or (state.startswith("Z") and not zombie):
        return None
    return int(time.mktime(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y")))


def _parents() -> dict[int, int]:
    if sys.platform == "linux":
        found = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(int(entry))):
                found[int(entry)] = int(fields[1])
        return found
    lines = _output(["ps", "-A", "-o", "pid=,ppid="]).splitlines()
    return {int(pid): int(parent) for pid, parent in (line.split() for line in lines)}


def _stat(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _output(command: list[str]) -> str:
    env = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False).stdout
