"""Which jobs may begin: higher priority first, within one priority in the order in which they came, so many at once."""

from __future__ import annotations

from skywright.control.context import Control
from skywright.control.rows import Job
from skywright.control.store import Store


def due(store: Store, free: int) -> list[Job]:
    """The next `free` waiting jobs, in their order."""
    return store.find(Job, order="-priority id", limit=free, phase="waiting") if free > 0 else []


def going(store: Store) -> int:
    """How many jobs have begun and have no result yet."""
    return len(store.find(Job, phase="going", ended=None))


def begin(control: Control, limit: int) -> list[Job]:
    """Let the next jobs begin, as far as there are places. Their stages begin with their next step."""
    if control.store.first(Job, phase="waiting") is None:
        return []
    now = control.clock.now()
    with control.store.together():
        begun = due(control.store, limit - going(control.store))
        for job in begun:
            control.store.change(job, phase="going", status="STARTING", started=now)
    return begun
