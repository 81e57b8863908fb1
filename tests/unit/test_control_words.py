"""Numbers as people read them, logs as files, and contacts that fall silent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from skywright.control import words
from skywright.control.bell import Bell
from skywright.control.logbook import Logbook, Part
from skywright.control.nodes import ending, uploaded
from skywright.control.presence import HUNG_UP_S, LEASE_S, Presence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (11_430, "3 h 10 min"),
        (190_000, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_sizes_and_counts() -> None:
    assert [words.size(n) for n in (0, 999, 1500, 20_000_000, 3e12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "20 MB",
        "3000 GB",
    ]
    assert (words.few(1, "node"), words.few(2, "node")) == ("1 node", "2 nodes")


def test_how_a_rank_ended() -> None:
    assert ending({"exit_code": 3}) == "failed with exit code 3"
    assert ending({"exit_code": 1, "message": "setup"}) == "failed in setup with exit code 1"
    assert ending({"message": "fetch: no space"}) == "failed while fetching files (no space)"
    assert ending({"exit_code": None, "signal": 9}) == "failed by signal 9"
    assert ending({"oom": True, "signal": 9}) == "failed: out of memory"


def test_uploads_are_told_where_they_matter() -> None:
    assert uploaded({}) == uploaded({"uploads": {"files_left": 0, "waited_s": 0.4}}) == ""
    assert uploaded({"uploads": {"files_left": 0, "waited_s": 12.0}}) == "; uploads took 12 s more"
    assert uploaded({"uploads": {"files_left": 2, "waited_s": 3.0}}) == "; 2 files did not reach their bucket"


def test_a_log_trims_overlap_and_refuses_gaps(tmp_path: Path) -> None:
    book, part = Logbook(tmp_path), Part(1, 0, "run")
    assert book.append("u", 1, part, 0, b"hello ") == (True, 6)
    assert book.append("u", 1, part, 9, b"late") == (False, 6)
    assert book.append("u", 1, part, 3, b"lo world") == (True, 11)
    assert book.append("u", 1, part, 0, b"hello") == (True, 11)
    assert book.append("u", 1, part, 11, b"") == (True, 11)
    assert Logbook(tmp_path).read("u", 1, part, 2, 5) == b"llo w"
    assert book.size("u", 1, Part(2, 0, "run")) == 0


def test_parts_are_listed_in_the_order_they_were_written(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    for attempt, rank, phase in (
        (2, 0, "run"),
        (1, 1, "run"),
        (1, 0, "run"),
        (1, 1, "setup"),
        (10, 0, "setup"),
    ):
        book.append("u", 1, Part(attempt, rank, phase), 0, b"x")
    names = [part.name for part in book.parts("u", 1)]
    assert names == ["1-1-setup", "1-0-run", "1-1-run", "2-0-run", "10-0-setup"]
    assert book.parts("u", 2) == []


def test_a_contact_falls_silent_by_time_or_by_hanging_up() -> None:
    presence = Presence()
    assert not presence.silent("n", 100.0)
    assert presence.silent("n", 100.0 + LEASE_S)
    contact = presence.heard("n", 200.0, 5.0)
    presence.broke_off("n", contact.calls, 201.0)
    assert not presence.silent("n", 201.0)
    assert presence.silent("n", 201.0 + HUNG_UP_S)
    # Its next call came before the server saw the old one break: it is not silent.
    presence.heard("n", 210.0, 6.0)
    presence.broke_off("n", contact.calls - 1, 211.0)
    assert not presence.silent("n", 220.0)
    assert (presence.last("n"), presence.last("other")) == (6.0, None)


def test_a_ring_between_looking_and_waiting_is_not_missed() -> None:
    async def story() -> list[bool]:
        bell = Bell()
        count = bell.count("k")
        bell.ring("k")
        missed = await bell.wait("k", count, 5)
        nothing = await bell.wait("k", bell.count("k"), 0.01)
        waiting = asyncio.create_task(bell.wait("k", bell.count("k"), 5))
        await asyncio.sleep(0)
        bell.ring("other", "k")
        rang = await waiting
        waiting = asyncio.create_task(bell.wait("k", bell.count("k"), 60))
        await asyncio.sleep(0)
        bell.close()
        await waiting
        return [missed, nothing, rang, bell.closed]

    assert asyncio.run(story()) == [True, False, True, True]
