"""The process of control: `python -m skywright.control.server`. One per home, on loopback, found by control.json."""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import logging.handlers
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import IO

import uvicorn

import stacks
from compiler.problem import Problem, Problems
from skywright.control import VERSION
from skywright.control.app import application
from skywright.control.context import Control, log
from stacks import home, operate, process

KEEP_ALIVE_S = 75
"""More than three times the time that a node's call is held: a kept connection must not end under it."""

LOG_BYTES = 5 * 2**20


class Server(uvicorn.Server):
    """Ends at once when asked to: calls that are held are answered first."""

    def __init__(self, config: uvicorn.Config, control: Control, ready: Path, url: str) -> None:
        super().__init__(config)
        self._control, self._ready, self._url = control, ready, url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            me = process.identity()
            home.write_json(self._ready, {**me.to_data(), "url": self._url, "version": VERSION})
            log.info("ready at %s", self._url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.end()

    def end(self) -> None:
        self.should_exit = True
        self._control.bell.close()


def main() -> int:
    """Serve until SIGTERM. Returns the exit code; a problem is also left in `refused.json` for who started us."""
    folder = home.home() / "control"
    folder.mkdir(mode=0o700, exist_ok=True)
    held = _only_one(folder)
    if held is None:
        first = home.read_json(folder / "control.json") or {}
        print(f"control runs already: pid {first.get('pid')}, {first.get('url')}")
        return 0
    refused = folder / "refused.json"
    try:
        refused.unlink(missing_ok=True)
        _serve(folder)
    except Problems as problems:
        _refuse(refused, problems)
        print(problems, file=sys.stderr)
        return int(problems.exit)
    finally:
        held.close()
    return 0


def _only_one(folder: Path) -> IO[str] | None:
    """The lock that makes this the home's only control, or None when another holds it."""
    lock = open(folder / "lock", "a")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def _refuse(path: Path, problems: Problems) -> None:
    try:
        home.write_json(
            path, {"pid": os.getpid(), "problems": [item.to_data() for item in problems.problems]}
        )
    except OSError:
        log.exception("the reason could not be written")


def _serve(folder: Path) -> None:
    _log_to(folder / "log.txt")
    listening = _listen(folder)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    control = Control(folder.parent, operate, stacks.cloud)
    app = application(control, _token(folder / "token"), lambda: server.end())
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,
    )
    server = Server(config, control, folder / "control.json", url)
    gc.collect()
    gc.freeze()  # what was imported stays: no collection needs to look at it again
    server.run(sockets=[listening])


def _listen(folder: Path) -> socket.socket:
    """A listening socket: on SKYWRIGHT_CONTROL_PORT, else on the port of the last time, else on a free one."""
    wanted = os.environ.get("SKYWRIGHT_CONTROL_PORT")
    if wanted:
        try:
            return bind(int(wanted))
        except (OSError, ValueError, OverflowError) as error:
            raise Problems(
                Problem(
                    "control/port-taken",
                    f"control cannot listen on port {wanted} of 127.0.0.1: {error}",
                    hint="unset SKYWRIGHT_CONTROL_PORT to take any free port, or choose another one",
                )
            ) from None
    try:
        last = json.loads((folder / "control.json").read_bytes())
        return bind(int(last["url"].rpartition(":")[2]))
    except (OSError, ValueError, KeyError):
        return bind(0)


def bind(port: int) -> socket.socket:
    # Named as TCP, or asyncio does not switch off Nagle: 40 ms in every answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(512)
    except (OSError, OverflowError):
        listening.close()
        raise
    listening.set_inheritable(False)
    return listening


def _token(path: Path) -> str:
    """The user's token, made on first use with mode 0600."""
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        token = ""
    if not token:
        token = secrets.token_urlsafe(32)
        home.write(path, token.encode())
    os.chmod(path, 0o600)
    return token


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    os.chmod(path, 0o600)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(main())
