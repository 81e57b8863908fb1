"""A container engine for tests, as `docker`: notes how it is called, and holds real namespaces open over this root.

Its files lie in the folder that STANDIN_ENGINE names: `calls` (a JSON list per line), `images` (names that it has or
can fetch, one per line), `<container>.pid`. What it holds open has a file system of its own at `<folder>/own`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ.get("STANDIN_ENGINE", "."))
SPACES = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--propagation", "private"]


def main(words: list[str]) -> int:
    given = "" if words[0] != "login" else sys.stdin.read()
    kept = [f"{one}={os.environ[one]}" for one in ("DOCKER_CONFIG",) if one in os.environ]
    with open(FOLDER / "calls", "a") as file:
        file.write(json.dumps([*words, *kept]) + "\n")
    if words[0] == "login":
        return 0 if given == "pass word" else said("unauthorized: wrong password")
    if words[0] == "pull":
        return (
            0 if words[-1] in (FOLDER / "images").read_text().split() else said(f"no such image {words[-1]}")
        )
    if words[0] == "image":
        return 1
    if words[0] == "run":
        return hold(words[words.index("--name") + 1], words[words.index("-c") + 1])
    if words[:2] == ["container", "inspect"]:
        return look(words[-1])
    if words[0] == "rm":
        return remove(words[-1])
    return said(f"not known here: {words}")


def said(text: str) -> int:
    sys.stderr.write(f"some words before\n{text}\n")
    return 125


def hold(name: str, keeper: str) -> int:
    own = FOLDER / "own"
    own.mkdir(exist_ok=True)
    script = f'mount -t tmpfs none "{own}" && echo inside > "{own}/mark" && exec /bin/sh -c "$0"'
    process = subprocess.Popen(
        [*SPACES, "/bin/sh", "-c", script, keeper],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + 10
    while (
        not children.read_text()
        or not Path(f"/proc/{children.read_text().split()[0]}/root{own}/mark").exists()
    ):
        if time.monotonic() > end or process.poll() is not None:
            return said("namespaces cannot be had")
        time.sleep(0.005)
    (FOLDER / f"{name}.pid").write_text(f"{process.pid} {children.read_text()}")
    print("0" * 64)
    return 0


def look(name: str) -> int:
    path = FOLDER / f"{name}.pid"
    if not path.exists():
        return said("no such container")
    pid = int(path.read_text().split()[1])
    up = os.path.exists(f"/proc/{pid}")
    env = ["PATH=/image/bin:/usr/bin:/bin", "OF_IMAGE=yes", "HOME=/of/image"]
    print(json.dumps([{"State": {"Pid": pid if up else 0, "Running": up}, "Config": {"Env": env}}]))
    return 0


def remove(name: str) -> int:
    path = FOLDER / f"{name}.pid"
    if path.exists():
        for pid in reversed(path.read_text().split()):
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
