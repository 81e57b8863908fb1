"""A job floods its log with what no terminal likes, or its machine with processes: bytes are exact, the node obeys."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.faults.plugin import hit

MB = 1 << 20
GROWS = 16 * MB

FLOOD = r"""
import hashlib, os, sys
size, written, number = int(sys.argv[1]), 0, 0
mark = hashlib.sha256()
line = b"x" * 200_000 + b"\n"
bars = b"".join(b"\r%3d%% |%s|" % (n, b"#" * (n // 2)) for n in range(100)) + b"\n"
odd = bytes(range(256)) * 16 + b"\0" * 4096 + b"\xff\xfe\xc3\x28\xe2\x98" + "\u2603".encode()[:2]
out = open(1, "wb", buffering=0)
while written < size:
    number += 1
    piece = b"".join((b"%d " % number, line, bars, odd))
    left = memoryview(piece)
    while left:
        left = left[out.write(left):]
    mark.update(piece)
    written += len(piece)
with open(os.path.expanduser("~/mark"), "w") as file:
    file.write("%d %s" % (written, mark.hexdigest()))
"""

BOMB = r"""
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""
MOST = 120
"""Processes that the machine of the bomb can have."""


def resident(pid: int, name: str = "VmHWM") -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


@pytest.mark.fault("log flood")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "size",
    [50 * MB, pytest.param(1024 * MB, marks=pytest.mark.fault("log flood", long=True))],
    ids=("50MB", "1GB"),
)
def test_a_flood_of_odd_bytes_is_exact_and_costs_no_memory(control, node, kit, size):
    (node.home / "flood.py").write_text(FLOOD)
    control.want(kit.order(f"echo up; while [ ! -e ~/go ]; do sleep 0.02; done; python3 ~/flood.py {size}"))
    node.start()
    kit.until(lambda: control.log() == b"up\n")
    before, shim = resident(node.process.pid, "VmRSS"), node.claim()
    shim_before = resident(shim, "VmRSS")
    shim_peak = agent_peak = 0
    (node.home / "go").touch()

    def over() -> bool:
        nonlocal shim_peak, agent_peak
        agent_peak = max(agent_peak, resident(node.process.pid))
        with contextlib.suppress(OSError, StopIteration):
            shim_peak = max(shim_peak, resident(shim))
        return control.phases()[-1] not in ("ready", "running")

    kit.until(over, "the end of the flood", 400)
    assert control.phases()[-1] == "succeeded"
    expected = control.of()[-1]["log_bytes"]["run"]
    held = control.logs[(1, 1, "run")]  # not a copy of it
    kit.until(lambda: len(held) >= expected, "the whole log", 200)
    written, mark = (node.home / "mark").read_text().split()
    assert len(held) == int(written) + 3 >= size
    assert hashlib.sha256(memoryview(held)[3:]).hexdigest() == mark
    assert agent_peak - before <= GROWS
    assert shim_peak - shim_before <= GROWS
    assert (node.state / "runs/1.1/run/log").stat().st_blocks * 512 <= 8 * MB, "what control has is freed"


@contextlib.contextmanager
def few_processes(name: str) -> Iterator[Path]:
    """A control group that can have MOST processes."""
    for root in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        group = root / name
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / "pids.max").write_text(str(MOST))
            except OSError:
                group.rmdir()
                continue
            try:
                yield group
            finally:
                while True:
                    try:
                        group.rmdir()
                        break
                    except OSError:
                        for pid in (group / "cgroup.procs").read_text().split():
                            with contextlib.suppress(OSError):
                                os.kill(int(pid), 9)
            return
    need(False, "a control group that counts processes")


@pytest.mark.fault("fork bomb")
def test_a_fork_bomb_is_lived_with_and_ended(control, node, kit):
    """The machine can have no more processes; the agent needs none to report, and none to end the job."""
    with few_processes(f"faults-{os.getpid()}") as group:
        (node.home / "bomb.py").write_text(BOMB)
        node.prefix = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
        run = kit.order("echo up; exec python3 ~/bomb.py", grace_s=0.5)
        control.want(run)
        node.start()
        kit.until(lambda: control.log())
        full = group / "pids.current"
        kit.until(lambda: int(full.read_text()) >= MOST, "there is room for no process more")
        hit(int((group / "pids.events").read_text().split()[1]) or 1)
        syncs = control.syncs
        control.want({**run, "grace_s": 0.4})
        kit.until(lambda: control.syncs > syncs + 1, "the agent reports all the same")
        control.want({**run, "cancel": True})
        last = control.ended()
        assert last["phase"] == "cancelled"
        kit.until(lambda: node.processes() == [])
        assert node.groups() == []
        control.want(kit.order("echo after", id=2))
        assert control.ended(run=2)["phase"] == "succeeded"
        node.kill()
