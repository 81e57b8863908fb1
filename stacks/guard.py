"""Ends the engine of an operation that is dead, hangs, or no longer renews its lease: a process beside each operation.

`python -m stacks.guard SECONDS` reads lines from the operation: `beat` after every renewal, `engine {identity}` when
one starts, `done` at the end. Without any for so many seconds, or at the end of the pipe, the engine is ended: whoever
takes the lease elsewhere cannot reach it, and nobody else would.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path

from stacks import process
from stacks.process import Identity

TICK_S = 0.5
LATER_S = 3.0
"""So much longer than the operation itself the guard waits: it is for those that cannot act any more."""

START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from stacks import guard; guard.watch(float(sys.argv[2]))"
)


class Guard:
    """The operation's side. A guard that is gone hinders nothing."""

    def __init__(self, give_up_s: float) -> None:
        root = str(Path(__file__).resolve().parents[1])
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", START, root, str(give_up_s + LATER_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def beat(self) -> None:
        """The lease was renewed."""
        self._tell("beat")

    def engine(self, who: Identity | None) -> None:
        """This engine runs now."""
        self._tell(f"engine {json.dumps(who.to_data() if who else None)}")

    def done(self) -> None:
        """Nothing runs any more."""
        self._tell("done")
        with contextlib.suppress(OSError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        self._child.wait()

    def _tell(self, line: str) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            os.write(self._child.stdin.fileno(), f"{line}\n".encode())


def watch(limit_s: float) -> None:
    """Follow what stands on stdin, to its end."""
    engine: Identity | None = None
    heard, rest = process.awake(), b""
    while True:
        ready, _, _ = select.select([0], [], [], TICK_S)
        if ready:
            said = os.read(0, 65536)
            if not said:
                break
            *lines, rest = (rest + said).split(b"\n")
            for line in lines:
                word, _, value = line.partition(b" ")
                if word == b"done":
                    return
                if word == b"engine":
                    found = json.loads(value)
                    engine = Identity.from_data(found) if found else None
                else:
                    heard = process.awake()
        if process.awake() - heard > limit_s:
            break
    if engine:
        process.end_family(engine)
