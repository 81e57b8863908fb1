"""A PostgreSQL server of its own for tests: an empty cluster on a loopback port, ended with its context."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import need

PATIENCE_S = 30.0
USER = "postgres"


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian keeps them out of PATH."""
    there = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    there += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in there if (one / "initdb").exists() and (one / "postgres").exists()), None)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of a server's database. It runs as another user where this one is root, as PostgreSQL wants it."""
    found = programs()
    need(found is not None, "PostgreSQL is not installed (Debian: apt install postgresql)")
    assert found is not None
    data = folder / "postgres"
    data.mkdir()
    prefix: list[str] = []
    if os.geteuid() == 0:
        who = pwd.getpwnam(USER)
        os.chown(data, who.pw_uid, who.pw_gid)
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        prefix = ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"]
    make = [found / "initdb", "-D", data, "-U", USER, "-A", "trust", "-N", "--locale=C", "-E", "UTF8"]
    subprocess.run([*prefix, *map(str, make)], check=True, capture_output=True, cwd="/")
    port = _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": data,
        "fsync": "off",
    }
    words = [str(found / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        words += ["-c", f"{name}={value}"]
    with open(folder / "postgres.txt", "wb") as said:
        child = subprocess.Popen([*prefix, *words], stdout=said, stderr=said, cwd="/")
    try:
        url = f"postgres://{USER}@127.0.0.1:{port}/postgres?sslmode=disable"
        _wait(url, child, folder)
        yield url
    finally:
        child.send_signal(signal.SIGINT)  # fast: sessions are ended
        child.wait(PATIENCE_S)


def _wait(url: str, child: subprocess.Popen[bytes], folder: Path) -> None:
    import psycopg

    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if child.poll() is not None or time.monotonic() > end:
                said = (folder / "postgres.txt").read_text()
                raise AssertionError(f"PostgreSQL does not come up: {error}\n{said}") from None
            time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
