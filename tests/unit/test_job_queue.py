"""The queue of managed jobs: its order against a plain sort, and how many run at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skywright.control import joblimit, jobqueue
from skywright.control.rows import Job
from skywright.control.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store") / "control.db")


def job(number: int, priority: int) -> Job:
    return Job(number, "j", "p", "me", 0.0, number, priority=priority)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-1000, 1000) | st.integers(-1, 1), st.integers(0, 3)), max_size=12))
def test_the_highest_priority_begins_first_and_then_the_oldest(
    store: Store, told: list[tuple[int, int]]
) -> None:
    """Jobs come one by one, and after each some places become free: what begins is what a sort would choose."""
    with store.together():
        store.remove(Job, phase=("waiting", "going"))
        waiting: list[tuple[int, int]] = []
        for number, (priority, free) in enumerate(told, 1):
            store.add(job(number, priority))
            waiting.append((-priority, number))
            begun = jobqueue.due(store, free)
            waiting.sort()
            assert [one.id for one in begun] == [number for _, number in waiting[:free]]
            for one in begun:
                store.change(one, phase="going")
            waiting = waiting[free:]
        assert jobqueue.going(store) == len(told) - len(waiting)


def test_the_limit_is_the_homes_setting_or_follows_memory(tmp_path: Path) -> None:
    assert [joblimit.by_memory(gib * 2**30) for gib in (1, 8, 64, 4096)] == [2, 8, 64, 200]
    limit = joblimit.Limit(tmp_path)
    assert limit.now() == joblimit.by_memory()
    (tmp_path / "config.yaml").write_text("jobs: {parallel: 7}\n")
    assert limit.now() == 7
    (tmp_path / "config.yaml").write_text("jobs: {parallel: none at all}\n")
    assert limit.now() == 7
    (tmp_path / "config.yaml").unlink()
    assert limit.now() == joblimit.by_memory()
