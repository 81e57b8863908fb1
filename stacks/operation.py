"""One engine operation as a process of its own: `python -m stacks.operation FOLDER`."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
from pathlib import Path

from stacks import home, operate
from stacks.operate import Request
from stacks.performing import Operation


def main(folder: Path) -> int:
    """Carry out the request in `folder`. Returns the exit code; the answer is in the folder's result."""
    with open(folder / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0  # started twice: the other one is at it
        if operate.result(folder) is not None:
            return 0
        request = Request.from_data(home.read_json(folder / operate.REQUEST))
        operation = Operation(folder, request)
        signal.signal(signal.SIGTERM, lambda *_: operation.stop())
        signal.signal(signal.SIGINT, lambda *_: operation.stop())
        return operation.run()


if __name__ == "__main__":
    code = 1
    # A cloud's SDK is thousands of classes that all stay: looking through them again and again costs 0.1 s.
    gc.set_threshold(500_000, 10, 10)
    try:
        code = main(Path(sys.argv[1]).absolute())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if sys.exc_info()[0] is None:
            # Not joined by a normal exit: threads of gRPC that wait for an engine which was killed.
            os._exit(code)
