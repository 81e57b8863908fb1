"""PostgreSQL is killed while it carries leases, and comes back: the holder keeps its lease, nobody else gets it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compiler.problem import Problems
from stacks import carriers, lease
from tests.faults.plugin import hit
from tests.standins import postgres

PATIENCE_S = 60.0


def until(what: Callable[[], object], says: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, f"never came true: {says}"
        time.sleep(0.02)


class Server:
    """The server of `postgres.serving(folder)`, killed and started again on the same files."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "postgres"
        self.words = [
            os.fsdecode(word) for word in Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0") if word
        ]
        self.again: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """SIGKILL to it and to every process that serves a session."""
        pids = [self.pid]
        os.kill(pids[0], signal.SIGSTOP)  # it starts nothing more while those that it has started are counted
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                pids += [int(entry.name)] if parent == pids[0] else []
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        until(lambda: not any(alive(pid) for pid in pids), "the server is dead")
        # A zombie still has its pid, and the next server would believe that it lives.
        if self.again:
            self.again.wait(PATIENCE_S)
        else:
            os.waitpid(pids[0], 0)

    def start(self) -> None:
        who = self.data.stat()
        same = who.st_uid == os.geteuid()
        more = {} if same else {"user": who.st_uid, "group": who.st_gid, "extra_groups": ()}
        with open(self.data.parent / "again.txt", "ab") as said:
            self.again = subprocess.Popen(self.words, stdout=said, stderr=said, cwd="/", **more)  # type: ignore[call-overload]

    def end(self) -> None:
        if self.again:
            self.again.send_signal(signal.SIGINT)
            self.again.wait(PATIENCE_S)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that the server's own user may enter: pytest's are closed to others whenever it starts somewhere."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.fault("PostgreSQL killed")
def test_leases_outlive_a_killed_server(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    monkeypatch.setattr(lease, "GIVE_UP_S", PATIENCE_S)
    lost: list[str] = []
    renewed = threading.Semaphore(0)
    with postgres.serving(open_folder) as url:
        carrier = carriers.carrier(None, url)
        held = lease.acquire(carrier, "proj", "train-aws", "up of train")
        held.keep(lost.append, renewed.release)
        server = Server(open_folder)
        try:
            for _ in range(3):
                server.kill()
                hit()
                with pytest.raises(OSError, match="PostgreSQL"):
                    carrier.read("proj/train-aws")
                server.start()
                while renewed.acquire(blocking=False):
                    pass
                assert renewed.acquire(timeout=PATIENCE_S), "the holder renews its lease again"
                with pytest.raises(Problems) as refused:
                    lease.acquire(carrier, "proj", "train-aws", "destroy of train")
                assert refused.value.problems[0].code == "lock/held"
            assert lost == []
            held.release()
            following = lease.acquire(carrier, "proj", "train-aws", "destroy of train")
            assert following.token > held.token
            assert following.previous is None, "nothing was left behind"
            following.forget()
        finally:
            server.end()
