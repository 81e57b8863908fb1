"""Starting control as a process of its own, and saying why it could not be started."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems

PASSED_ON = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
        *(
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "GOPROXY",
            "GOFLAGS",
            "GOSUMDB",
            "GOPATH",
            "GOCACHE",
            "GOROOT",
        ),
        *("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    )
)
"""Variables that control gets of its starter; with those that begin with one of the next. Others may be secrets."""

PASSED_ON_PREFIXES = ("LC_", "XDG_", "SKYWRIGHT_")


ROOM_BYTES = 2**20
"""Control needs about so much space for its store and its log until it answers."""

_FULL = re.compile(r"no space left|disk is full|disk quota exceeded", re.I)


def start(home: Path, answering: Callable[[], dict[str, Any] | None], patience_s: float) -> None:
    """Start the home's control unless it answers, and wait for that. Raises Problems that say why it did not."""
    folder = home / "control"
    env = {
        key: value
        for key, value in os.environ.items()
        if key in PASSED_ON or key.startswith(PASSED_ON_PREFIXES)
    }
    env["SKYWRIGHT_HOME"] = str(home.absolute())
    deadline = time.monotonic() + patience_s
    child: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        if found := answering():
            if child:
                _let_go(child, found["pid"])
            return
        child = child or _spawn(folder, env)
        code = child.poll()
        if code == 0:
            child = None  # another one holds the lock: it is starting, or about to end
        elif code is not None:
            raise Problems(_refused(folder, child.pid, code))
        time.sleep(0.02 if child else 0.2)
    raise Problems(_refused(folder, child.pid if child else 0, None))


def _spawn(folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(folder / "output.txt", "wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "skywright.control.server"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # `-m` puts the working directory first on sys.path: never the user's.
                cwd=folder,
                env=dict(env),
                start_new_session=True,
            )
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Problems(_disk_full(folder)) from None
        raise


def _let_go(child: subprocess.Popen[bytes], serving: int) -> None:
    """Control outlives us. One that we started while another came first must not take over when that one ends."""
    if child.pid != serving:
        child.kill()
        child.wait()
    child.returncode = 0  # or the interpreter warns about a child that still runs


def _refused(folder: Path, pid: int, code: int | None) -> tuple[Problem, ...]:
    """Why a started control ended. On a full disk it could not write down why."""
    try:
        output = (folder / "output.txt").read_text(errors="replace")
    except OSError:
        output = ""
    if _FULL.search(output) or _free(folder) < ROOM_BYTES:
        return (_disk_full(folder),)
    try:
        told = json.loads((folder / "refused.json").read_bytes())
        if told["pid"] == pid:
            return tuple(Problem.of(item) for item in told["problems"])
    except (OSError, ValueError, KeyError):
        pass
    last = output.strip().splitlines()[-1:]
    how = "did not answer in time" if code is None else f"ended with exit code {code}"
    return (
        Problem(
            "control/not-started",
            f"control {how}" + (f": {last[0]}" if last else ""),
            hint=f"its log is {folder / 'log.txt'}",
        ),
    )


def _free(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return ROOM_BYTES
    return found.f_bavail * found.f_frsize


def _disk_full(folder: Path) -> Problem:
    return Problem(
        "machine/disk-full",
        f"control cannot start: there is no space left for {folder}",
        hint="free some space there, or name another home with SKYWRIGHT_HOME; then run the command again",
    )
