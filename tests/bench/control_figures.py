"""Prints control's figures as JSON: {control_rss_mb, ready_s}, medians of five starts in a scratch home."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from skywright.control.client import Client
from stacks import process
from stacks.process import Identity

STARTS = 5


def measure(home: Path) -> tuple[float, float]:
    """(seconds until it answers, resident MB after a few calls)."""
    os.environ["SKYWRIGHT_HOME"] = str(home)
    started = time.monotonic()
    client = Client.connect(home)
    ready = time.monotonic() - started
    for _ in range(20):
        client.deployments()
    who = Identity.from_data(json.loads((home / "control" / "control.json").read_text()))
    status = Path(f"/proc/{who.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    process.end(who, grace_s=5)
    return ready, resident


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(Path(folder) / str(number)) for number in range(STARTS)]
    ready, resident = zip(*found, strict=True)
    print(
        json.dumps(
            {
                "control_rss_mb": round(statistics.median(resident), 1),
                "ready_s": round(statistics.median(ready), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
