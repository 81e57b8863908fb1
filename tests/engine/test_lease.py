"""One writer per stack: real processes race for a lease and are killed at every step of having one."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from desk import wait

from compiler.problem import Problems
from stacks import lease, process
from stacks.carriers import Entry
from stacks.carriers.files import FileCarrier
from stacks.lease import acquire
from tests.faults.plugin import hit

KEY = "proj/train-local"


@pytest.fixture
def carrier(tmp_path: Path) -> FileCarrier:
    return FileCarrier(tmp_path)


def take(carrier: FileCarrier) -> lease.Lease:
    return acquire(carrier, "proj", "train-local", "up of train")


def record(carrier: FileCarrier) -> dict:
    entry = carrier.read(KEY)
    assert entry is not None
    return json.loads(entry.content)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_held_lease_is_refused_with_holder_and_since(carrier):
    holder = python(
        """
        import sys; from pathlib import Path
        from stacks.carriers.files import FileCarrier
        from stacks.lease import acquire
        acquire(FileCarrier(Path(sys.argv[1])), "proj", "train-local", "destroy of train")
        print("held", flush=True); sys.stdin.read(); import signal; signal.pause()
        """,
        carrier.folder.parents[1],
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Problems) as refused:
            take(carrier)
        (problem,) = refused.value.problems
        assert problem.code == "lock/held"
        assert problem.exit == 5
        assert f"process {holder.pid}" in problem.message
        assert "destroy of train, since 20" in problem.message
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    taken = take(carrier)
    assert taken.previous is not None, "what the dead holder left has to be cleaned up"
    assert taken.previous.owner is not None
    assert taken.previous.owner.pid == holder.pid


def test_tokens_only_grow_also_when_the_stack_was_removed_between(carrier):
    tokens = []
    for end in ("release", "forget", "release", "forget", "forget"):
        held = take(carrier)
        assert held.previous is None
        tokens.append(held.token)
        getattr(held, end)()
        if end == "forget":
            assert carrier.read(KEY) is None
            assert not (carrier.folder / "proj").exists()
    assert all(earlier < later for earlier, later in itertools.pairwise(tokens))


def test_a_holder_elsewhere_keeps_it_until_it_gave_no_sign_for_30_seconds(carrier, monkeypatch):
    held = take(carrier)
    data = record(carrier) | {"place": "other-host boot pid:[1]"}
    path = carrier.folder / f"{KEY}.json"
    path.write_text(json.dumps(data))
    with pytest.raises(Problems) as refused:
        take(carrier)
    assert "on other-host" in refused.value.problems[0].message
    assert "30 s" in (refused.value.problems[0].hint or "")
    monkeypatch.setattr(lease, "SILENT_S", 0.2)
    long_ago = time.time() - lease.EXPIRES_S - 1
    os.utime(path, (long_ago, long_ago))
    taken = take(carrier)
    assert taken.token > held.token
    assert taken.previous is not None


def test_renewing_notices_that_another_has_taken_it(carrier, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    held = take(carrier)
    told: list[str] = []
    held.keep(told.append)
    wait(lambda: record(carrier)["beat"] > 3)
    (carrier.folder / f"{KEY}.json").write_text(json.dumps(record(carrier) | {"token": held.token + 1}))
    wait(lambda: told)
    assert told == ["another operation has taken the lease"]
    with pytest.raises(Problems) as refused:
        held.note_engine(None)
    assert refused.value.problems[0].code == "lock/lost"
    held.release()
    assert record(carrier)["owner"] is not None, "a lease of another is left alone"


def test_a_store_that_cannot_be_written_ends_the_right_to_write(carrier, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    monkeypatch.setattr(lease, "GIVE_UP_S", 0.05)
    held = take(carrier)
    told: list[str] = []

    def refuse(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(carrier, "write", refuse)
    held.keep(told.append)
    wait(lambda: told)
    assert "No space left" in told[0]


def test_a_store_that_hangs_ends_the_right_to_write(carrier, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    monkeypatch.setattr(lease, "GIVE_UP_S", 0.2)
    held = take(carrier)
    told: list[str] = []
    over = threading.Event()
    monkeypatch.setattr(carrier, "write", lambda *_: over.wait(30))
    held.keep(told.append)
    wait(lambda: told)
    over.set()
    assert len(told) == 1
    assert "does not answer" in told[0]


@pytest.mark.fault("control asleep")
def test_a_machine_that_slept_stops_before_it_asks_anybody(carrier, monkeypatch):
    """What it was renewed at is long ago, by the clock that also counts sleep."""
    held = take(carrier)
    told: list[str] = []
    held.keep(told.append)
    now = process.awake
    monkeypatch.setattr(process, "awake", lambda: now() + 3600)
    wait(lambda: told)
    assert "this machine slept" in told[0]
    held.release()


@pytest.mark.parametrize("lost", ["the answer", "the answer, and the client asks again"])
def test_a_renewal_whose_answer_was_lost_is_no_loss(carrier, monkeypatch, lost):
    held = take(carrier)
    write = carrier.write

    def write_and_drop(*given: object) -> bool:
        assert write(*given)
        monkeypatch.setattr(carrier, "write", write)
        if lost == "the answer":
            raise OSError(104, "Connection reset by peer")
        return False

    monkeypatch.setattr(carrier, "write", write_and_drop)
    if lost == "the answer":
        with pytest.raises(OSError, match="reset"):
            held.note_engine(process.identity())
    held.note_engine(process.identity())
    assert record(carrier)["engine"]["pid"] == process.identity().pid
    held.release()
    assert record(carrier)["owner"] is None


@pytest.mark.fault("clock jump")
@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps_takes_no_lease_from_a_living_holder(carrier, monkeypatch, jump):
    """The store's clock says that the lease ended an hour ago, or is yet to come; its holder renews it all the time."""
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    monkeypatch.setattr(lease, "SILENT_S", 0.5)
    here = lease.place()
    monkeypatch.setattr(lease, "place", lambda: "laptop boot pid:[1]")
    held = take(carrier)
    lost: list[str] = []
    held.keep(lost.append)
    monkeypatch.setattr(lease, "place", lambda: here)
    read = FileCarrier._read

    def jumped(self: FileCarrier, key: str) -> Entry | None:
        found = read(self, key)
        return found and replace(found, age_s=max(0.0, found.age_s + jump))

    monkeypatch.setattr(FileCarrier, "_read", jumped)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    with pytest.raises(Problems) as refused:
        take(carrier)
    assert refused.value.problems[0].code == "lock/held"
    assert lost == []
    held.release()
    assert take(carrier).token > held.token


@pytest.mark.fault("clock jump")
def test_a_holder_elsewhere_that_is_silent_is_proved_so_by_our_own_clock(carrier, monkeypatch):
    monkeypatch.setattr(lease, "SILENT_S", 0.3)
    monkeypatch.setattr(lease, "EXPIRES_S", 0.0)
    here = lease.place()
    monkeypatch.setattr(lease, "place", lambda: "laptop boot pid:[1]")
    old = take(carrier)
    monkeypatch.setattr(lease, "place", lambda: here)
    begun = time.monotonic()
    mine = take(carrier)
    assert time.monotonic() - begun >= 0.3
    assert mine.token > old.token
    with pytest.raises(Problems) as refused:
        old.note_engine(None)
    assert refused.value.problems[0].code == "lock/lost"


def test_release_ends_the_renewing(carrier, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    before = set(threading.enumerate())
    held = take(carrier)
    held.keep(lambda why: pytest.fail(why))
    renewing = set(threading.enumerate()) - before
    assert renewing
    held.forget()
    for one in renewing:
        one.join(5)
    assert not any(one.is_alive() for one in renewing)
    assert carrier.read(KEY) is None


RACER = """
    import fcntl, os, random, sys, time
    from pathlib import Path
    from compiler.problem import Problems
    from stacks.carriers.files import FileCarrier
    from stacks.lease import acquire
    root = Path(sys.argv[1])
    log = os.open(root / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        try:
            held = acquire(FileCarrier(root), "proj", "train-local", "race")
        except Problems:
            continue
        with open(root / "critical", "w") as critical:
            try:
                fcntl.flock(critical, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.write(log, b"0 TWO WRITERS\\n")
            os.write(log, f"{held.token} {os.getpid()}\\n".encode())
        held.release()
"""


@pytest.mark.fault("operation killed")
@pytest.mark.parametrize("killing", [False, True])
def test_racing_writers_never_write_together(carrier, killing):
    root = carrier.folder.parents[1]
    racers = [python(RACER, root, 2.0) for _ in range(4)]
    log = root / "log"
    try:
        if killing:
            for racer in racers[:3]:
                size = wait(lambda: log.exists() and log.stat().st_size)
                wait(lambda size=size: log.stat().st_size > size + 200)
                os.kill(racer.pid, signal.SIGKILL)
                hit()
        codes = [racer.wait(60) for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
            assert racer.stdout is not None
            racer.stdout.close()
    assert codes == ([-9] * 3 + [0] if killing else [0] * 4)
    tokens = [int(line.split()[0]) for line in log.read_text().splitlines()]
    assert len(tokens) > 20
    assert all(earlier < later for earlier, later in itertools.pairwise(tokens))


KILLED = """
    import fcntl, os, signal, sys, tempfile
    from pathlib import Path
    from stacks.carriers.files import FileCarrier
    from stacks.lease import acquire
    at = int(sys.argv[2])
    count = 0
    def counted(act):
        def call(*arguments, **more):
            global count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*arguments, **more)
        return call
    for module, name in ((os, "fsync"), (os, "replace"), (os, "unlink"), (os, "utime"), (os, "fchmod"),
                         (os, "rmdir"), (fcntl, "flock"), (tempfile, "mkstemp")):
        setattr(module, name, counted(getattr(module, name)))
    held = acquire(FileCarrier(Path(sys.argv[1])), "proj", "train-local", "up")
    held.note_engine(None)
    held.release()
    print(held.token)
"""


@pytest.mark.fault("operation killed")
def test_killed_at_every_step_the_next_one_gets_it_at_once(carrier):
    root = carrier.folder.parents[1]
    last, step = 0, 1
    while True:
        child = python(KILLED, root, step)
        code = child.wait(30)
        assert child.stdout is not None
        child.stdout.close()
        held = take(carrier)
        assert held.token > last
        last = held.token
        held.release()
        drafts = [path.name for path in carrier.folder.rglob(".*")]
        assert drafts == [], "the next writer clears what was half written"
        if code == 0:
            break
        hit()
        step += 1
    assert step > 15


def test_an_identity_is_not_only_a_pid(carrier):
    held = take(carrier)
    path = carrier.folder / f"{KEY}.json"
    data = record(carrier)
    data["owner"]["start"] += 1  # the pid was given to another process
    path.write_text(json.dumps(data))
    assert take(carrier).token > held.token
    assert process.alive(process.identity())


def test_a_holder_may_leave_the_cleaning_up_to_the_next_one(carrier):
    take(carrier).release(dirty=True)
    held = take(carrier)
    assert held.previous is not None
    held.release()
    assert take(carrier).previous is None
