"""Processes are told apart for ever: by pid, start time and boot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from stacks import process
from stacks.process import Identity


@pytest.fixture
def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield child
    child.kill()
    child.wait()


def test_this_process_lives_and_round_trips_as_data():
    me = process.identity()
    assert me.pid == os.getpid()
    assert process.alive(me)
    assert Identity.from_data(me.to_data()) == me


def test_another_start_or_another_boot_is_another_process():
    me = process.identity()
    assert not process.alive(replace(me, start=me.start - 1))
    assert not process.alive(replace(me, boot_id="before"))


def test_a_reused_pid_is_never_signalled(sleeper):
    who = process.identity(sleeper.pid)
    assert not process.send(replace(who, start=who.start - 1), signal.SIGKILL)
    assert process.alive(who)


def test_a_zombie_is_dead_but_still_has_an_identity(sleeper):
    who = process.identity(sleeper.pid)
    process.end(who)
    assert not process.alive(who)
    assert process.identity(sleeper.pid) == who, "nobody has waited for it yet"
    sleeper.wait()
    with pytest.raises(ProcessLookupError):
        process.identity(sleeper.pid)


def test_end_gives_a_grace_before_it_kills():
    polite = subprocess.Popen(
        [sys.executable, "-c", "import signal; print(1, flush=True); signal.pause()"], stdout=-1
    )
    stubborn = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\nwhile 1: signal.pause()",
        ],
        stdout=-1,
    )
    for child, grace, code in ((polite, 30.0, -signal.SIGTERM), (stubborn, 0.05, -signal.SIGKILL)):
        assert child.stdout is not None
        child.stdout.readline()
        process.end(process.identity(child.pid), grace)
        assert child.wait() == code
        child.stdout.close()


def test_descendants_are_found_however_deep():
    code = "import subprocess, sys; subprocess.run(['sh', '-c', 'sleep 600 & wait'])"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 20
        while len(found := process.descendants(child.pid)) < 2:
            assert time.monotonic() < deadline
    finally:
        for who in (*process.descendants(child.pid), process.identity(child.pid)):
            process.end(who)
        child.wait()
    assert not any(process.alive(who) for who in found)
