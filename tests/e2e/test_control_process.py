"""The control process: started when absent, one per home, killed and back, small, and clear when it cannot start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Exit, Problems
from skywright.control import VERSION
from skywright.control.client import Client
from skywright.control.server import bind
from stacks import process
from stacks.process import Identity
from tests.e2e.control_fakes import order, until
from tests.faults.plugin import hit


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SKYWRIGHT_HOME", str(tmp_path))
    monkeypatch.delenv("SKYWRIGHT_CONTROL_PORT", raising=False)
    yield tmp_path
    if (tmp_path / "control" / "control.json").exists():
        process.end(identity(tmp_path), grace_s=5)


def address(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "control" / "control.json").read_text())
    return found


def identity(home: Path) -> Identity:
    return Identity.from_data(address(home))


def test_connecting_starts_it_privately(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problems, match="control/not-running"):
        Client.connect(home, start=False)
    monkeypatch.setenv("MY_SECRET", "do not pass on")
    client = Client.connect(home)
    assert client.health() == {"version": VERSION, "pid": address(home)["pid"], "deployments": 0}
    assert process.alive(identity(home))
    control = home / "control"
    for name in ("control.json", "token", "control.db", "log.txt"):
        assert (control / name).stat().st_mode & 0o077 == 0, name
    assert control.stat().st_mode & 0o077 == 0
    environ = Path(f"/proc/{address(home)['pid']}/environ").read_bytes()
    assert b"MY_SECRET" not in environ
    assert os.getsid(address(home)["pid"]) != os.getsid(0)
    # It uses the one that is there.
    assert Client.connect(home, start=False).health()["pid"] == address(home)["pid"]


def test_many_at_once_start_one(home: Path) -> None:
    pids: list[int] = []

    def connect() -> None:
        pids.append(Client.connect(home).health()["pid"])

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_a_second_start_names_the_first_and_ends(home: Path) -> None:
    Client.connect(home)
    done = subprocess.run(
        [sys.executable, "-m", "skywright.control.server"],
        capture_output=True,
        text=True,
        cwd=home,
        check=False,
    )
    assert done.returncode == 0
    assert str(address(home)["pid"]) in done.stdout


def test_a_taken_port_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("SKYWRIGHT_CONTROL_PORT", port)
        with pytest.raises(Problems) as refused:
            Client.connect(home)
        [problem] = refused.value.problems
        assert problem.code == "control/port-taken"
        assert port in problem.message
        assert refused.value.exit is Exit.REFUSED
        done = subprocess.run(
            [sys.executable, "-m", "skywright.control.server"],
            capture_output=True,
            text=True,
            cwd=home,
            check=False,
        )
        assert done.returncode == Exit.REFUSED
        assert "control/port-taken" in done.stderr
    assert Client.connect(home).health()
    assert address(home)["url"].endswith(port)


@pytest.mark.fault("control killed")
def test_calls_go_on_when_it_is_killed(home: Path) -> None:
    client = Client.connect(home)
    for _ in range(3):
        killed = identity(home)
        process.send(killed, signal.SIGKILL)
        hit()
        until(lambda killed=killed: not process.alive(killed))
        assert client.deployments() == []
        assert client.health()["pid"] != killed.pid


def test_another_version_is_replaced(home: Path) -> None:
    Client.connect(home)
    old = identity(home)
    # An older program's control answers with its own version.
    client = Client(home)
    client._replace()
    until(lambda: not process.alive(old))
    assert Client.connect(home).health()["pid"] != old.pid


def test_a_stranger_on_its_old_port_is_not_taken_for_it(home: Path) -> None:
    Client.connect(home)
    url = address(home)["url"]
    process.end(identity(home), grace_s=5)
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))) as stranger:
        stranger.settimeout(0.1)

        def answer() -> None:
            while not done.is_set():
                try:
                    connection, _ = stranger.accept()
                except TimeoutError:
                    continue
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                connection.close()

        done = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            client = Client.connect(home)
        finally:
            done.set()
            thread.join()
        assert client.health()["pid"] == address(home)["pid"]
        assert address(home)["url"] != url


def test_a_newer_store_is_refused_with_a_word(home: Path) -> None:
    import sqlite3

    (home / "control").mkdir()
    store = sqlite3.connect(home / "control" / "control.db")
    store.execute("CREATE TABLE schema_version (version INTEGER)")
    store.execute("INSERT INTO schema_version VALUES (99)")
    store.commit()
    store.close()
    with pytest.raises(Problems, match="control/store-newer"):
        Client.connect(home)


def test_a_broken_store_is_refused_with_a_word(home: Path) -> None:
    (home / "control").mkdir()
    (home / "control" / "control.db").write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(Problems, match="control/store-unusable"):
        Client.connect(home)


def test_bad_orders_are_refused(home: Path) -> None:
    client = Client.connect(home)
    for spoil in ("spec", "run", "project"):
        broken = order()
        del broken[spoil]
        with pytest.raises(Problems, match="control/bad-request"):
            client.launch(broken)
    broken = order()
    broken["name"] = "../x y"
    with pytest.raises(Problems, match="usage/bad-name"):
        client.launch(broken)
    with pytest.raises(Problems, match="no-such-deployment"):
        client.deployment("a/../b?c")
    assert client.deployments() == []


def test_it_is_small(home: Path) -> None:
    client = Client.connect(home)
    client.deployments()
    status = Path(f"/proc/{address(home)['pid']}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    assert resident < 60


def test_small_answers_do_not_wait_for_acknowledgements(home: Path) -> None:
    with bind(0) as listening:
        # asyncio switches Nagle's algorithm off only on sockets that are named as TCP.
        assert listening.proto == socket.IPPROTO_TCP


@pytest.mark.fault("disk full")
def test_without_space_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "small"
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", home], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        with pytest.raises(Problems) as refused:
            Client.connect(home)
        (home / "fill").write_bytes(b"")
        with contextlib.suppress(OSError), open(home / "fill", "wb", buffering=0) as file:
            while file.write(b"1" * 4096):
                pass
        with pytest.raises(Problems) as still:
            Client.connect(home)
    finally:
        subprocess.run(["umount", "-l", home], check=True)
    for found in (refused, still):
        assert [problem.code for problem in found.value.problems] == ["machine/disk-full"]
        assert found.value.exit is Exit.REFUSED
