"""The journal after a crash at every byte, on a full disk, and over a long life."""

from __future__ import annotations

import os

import pytest

from runtime.journal import COMPACT, Journal
from tests.faults.plugin import hit


def write(path) -> list[int]:
    """Three records; the file's size after each."""
    journal = Journal(str(path))
    sizes = [path.stat().st_size]
    for number in range(1, 4):
        journal.append({"n": number}, [{"kind": "phase", "text": "é" * number}], "boot-1")
        sizes.append(path.stat().st_size)
    journal.close()
    return sizes


@pytest.mark.fault("agent killed")
def test_a_crash_at_every_byte_loses_only_what_was_being_written(tmp_path):
    path = tmp_path / "journal"
    sizes = write(path)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        hit()
        journal = Journal(str(path))
        kept = sum(size <= length for size in sizes[1:])
        assert journal.state == ({"n": kept} if kept else None)
        assert [event["seq"] for event in journal.events] == list(range(1, kept + 1))
        again = journal.append({"n": 9}, [{"kind": "boot"}])
        assert again[0]["seq"] == kept + 1
        journal.close()
        found = Journal(str(path))
        assert found.state == {"n": 9}
        assert [event["seq"] for event in found.events] == list(range(1, kept + 2))
        found.close()


def test_a_byte_that_changed_is_noticed(tmp_path):
    path = tmp_path / "journal"
    sizes = write(path)
    content = bytearray(path.read_bytes())
    content[sizes[2] + 20] ^= 1
    path.write_bytes(content)
    journal = Journal(str(path))
    assert journal.state == {"n": 2}
    journal.close()


def test_acknowledged_events_go_and_numbers_do_not_come_back(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(str(path))
    for number in range(1500):
        journal.append({"n": number}, [{"kind": "phase", "text": "x" * 400}])
        journal.acknowledge(number - 1)
    assert path.stat().st_size < 2 * COMPACT
    journal.acknowledge(1500)
    journal.close()
    again = Journal(str(path))
    assert again.events == []
    assert again.append({}, [{"kind": "boot"}])[0]["seq"] == 1501
    again.close()


@pytest.mark.fault("disk full")
def test_a_disk_that_refuses_costs_nothing_once_it_takes_again(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal(str(path))
    journal.append({"n": 1}, [{"kind": "boot"}])
    real = os.write
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    journal.append({"n": 2}, [{"kind": "phase"}])
    assert [event["seq"] for event in journal.events] == [1, 2]
    monkeypatch.setattr(os, "write", real)
    journal.append({"n": 3}, [{"kind": "phase"}])
    journal.close()
    found = Journal(str(path))
    assert found.state == {"n": 3}
    assert [event["seq"] for event in found.events] == [1, 2, 3]
    found.close()
