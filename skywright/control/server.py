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
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import uvicorn

import stacks
from compiler.problem import Problem, Problems
from skywright.config import own_store
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
            publish(self._ready, self._url, self._control.store.is_shared)
            log.info("ready at %s", self._url)
            print(f"control is ready at {self._url}", flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.end()

    def end(self) -> None:
        self.should_exit = True
        self._control.bell.close()


def publish(ready: Path, url: str, replicas: bool) -> None:
    """Have the home say that control is here, and whether there may be others."""
    who = {**process.identity().to_data(), "url": url, "version": VERSION}
    home.write_json(ready, {**who, "replicas": True} if replicas else who)


def republish(ready: Path, url: str) -> None:
    """The same where the replica that it names is gone."""
    found = home.read_json(ready)
    if found is None or not process.alive(process.Identity.from_data(found)):
        publish(ready, url, True)


LOCAL = "local"
"""Instead of a URL: rows in a file of the home, whatever was served before."""


def where_rows_are(folder: Path) -> str | None:
    """The URL of the store, None for the home's own file: as asked now, else by the settings, else as asked before.

    What is asked for a home holds until another is: a control that starts by itself finds the same rows.
    Problems as of `own_store`.
    """
    kept = folder / "store"
    asked = os.environ.pop("SKYWRIGHT_CONTROL_STORE", "")  # which may hold a password: for no other process
    if asked:
        home.write(kept, asked.encode())
    found = asked or own_store(folder.parent) or (kept.read_text().strip() if kept.exists() else "")
    return None if found in ("", LOCAL) else found


def main(words: Sequence[str] = ()) -> int:
    """Serve until SIGTERM. Returns the exit code; a problem is also left in `refused.json` for who started us.

    With `--replica` also where a control of this home runs: both share its store, which is no file then.
    """
    folder = home.home() / "control"
    folder.mkdir(mode=0o700, exist_ok=True)
    held = _only_one(folder)
    try:
        where = where_rows_are(folder)
    except Problems as problems:
        _refuse(folder / "refused.json", problems)
        print(problems, file=sys.stderr)
        return int(problems.exit)
    if held is None and not (where and "--replica" in words):
        first = home.read_json(folder / "control.json") or {}
        print(f"control runs already: pid {first.get('pid')}, {first.get('url')}")
        return 0
    refused = folder / "refused.json"
    try:
        refused.unlink(missing_ok=True)
        _serve(folder, where, held is not None)
    except Problems as problems:
        _refuse(refused, problems)
        print(problems, file=sys.stderr)
        return int(problems.exit)
    finally:
        if held:
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


def _serve(folder: Path, where: str | None, first: bool) -> None:
    listening = _listen(folder)
    port = listening.getsockname()[1]
    _log_to(folder / ("log.txt" if first else f"log-{port}.txt"))
    url, ready = f"http://127.0.0.1:{port}", folder / "control.json"
    control = Control(folder.parent, operate, stacks.cloud, where=where, url=url)
    token = _token(folder / "token")
    app = application(control, token, lambda: server.end(), lambda: republish(ready, url))
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
    server = Server(config, control, ready, url)
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
    if path.exists() and not path.read_text().strip():
        path.unlink()
    if not path.exists():
        home.write_first(path, secrets.token_urlsafe(32).encode())
    os.chmod(path, 0o600)
    return path.read_text().strip()


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    os.chmod(path, 0o600)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(main(sys.argv[1:]))
