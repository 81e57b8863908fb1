"""The reconcilers' loop: every living deployment one step further, on every wake-up and at least every second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from compiler.problem import Problems
from skywright.control import deployment, jobs, operations, retention, space
from skywright.control.context import WORK, Control, log
from skywright.control.holdings import JOBS
from skywright.control.rows import Deployment, JobStage
from skywright.control.store import Broken, Lost

EVERY_S = 1.0

FAST_S = 0.1
"""While an engine operation runs its events are looked at so often."""


STEP_S = 1.0
"""How long a turn waits for the step of one deployment."""

CLEAN_S = 600.0
"""How often archives and folders that nobody needs are looked for; every removal looks too."""

UNUSED_S = 1800.0
"""A control that nobody called and that has nothing to look after for so long ends by itself."""


async def run(control: Control, stop: Callable[[], None]) -> None:
    """Until the bell is closed. What fails is logged and tried again at the next turn: all is level-triggered."""
    cleaned = -CLEAN_S
    while not control.bell.closed:
        if control.clock.steady() - cleaned > CLEAN_S:
            cleaned = control.clock.steady()
            _clean(control)
        count = control.bell.count(WORK)
        _look_at_space(control)
        try:
            busy = await turn(control)
        except Broken:  # a server that is started again, perhaps
            log.exception("the store cannot be used; trying again")
            busy = False
        if not control.store.is_shared and control.clock.steady() - control.used > UNUSED_S:
            log.info("nobody needs this control: it ends")
            stop()
        await control.bell.wait(WORK, count, FAST_S if busy else EVERY_S)
    for task in control.steps.values():
        task.cancel()
    await asyncio.gather(*control.steps.values(), return_exceptions=True)


def _look_at_space(control: Control) -> None:
    try:
        space.look(control)
    except (OSError, Broken) as error:
        space.notice(control, error)


def _clean(control: Control) -> None:
    try:
        retention.clean(control)
    except (OSError, Broken):
        log.exception("what nobody needs could not be removed")


async def turn(control: Control) -> bool:
    """One step of every job and of every living deployment, these side by side. Is an operation running?"""
    rows = control.store.find(Deployment, order="created", ended=None)
    ours = control.holdings.claim({JOBS, *(row.uid for row in rows)} - _not_ours(control))
    if JOBS in ours:
        with control.holdings.guard(JOBS):
            jobs.turn(control)
    rows = [row for row in rows if row.uid in ours]
    if rows:
        control.used = control.clock.steady()
    for row in rows:
        if row.uid not in control.steps:
            control.steps[row.uid] = asyncio.ensure_future(_step(control, row))
    if control.steps:
        # One that waits for its cloud does not hold up the others: it is looked at again when it is done.
        await asyncio.wait(control.steps.values(), timeout=STEP_S)
    for uid, task in list(control.steps.items()):
        if task.done():
            del control.steps[uid]
            task.result()
    return any(operations.unfinished(control, row.uid) for row in rows)


def _not_ours(control: Control) -> set[str]:
    """Deployments of jobs, where another replica looks after the jobs: what is held of them is given back."""
    if control.holdings.holds(JOBS):
        return set()
    stages = control.store.find(JobStage, cleared=False)
    return {one.uid for one in stages if one.uid is not None} - control.steps.keys()


async def _step(control: Control, row: Deployment) -> None:
    try:
        with control.holdings.guard(row.uid):
            await _guarded(control, row)
    except Lost:
        control.holdings.lost(row.uid)
        log.info("%s: another replica looks after it", row.name)
    except Exception as error:
        if not space.notice(control, error):
            log.exception("%s: this turn failed, the next one tries again", row.name)


async def _guarded(control: Control, row: Deployment) -> None:
    try:
        await deployment.step(control, row.uid)
        if row.uid in control.troubled:
            control.troubled.discard(row.uid)
            control.store.change(row, problem=None)
    except Problems as problems:
        if space.is_full(problems):
            raise
        problem = problems.problems[0]
        if row.uid not in control.troubled:
            control.store.change(row, problem=problem.to_data())
            control.tell(row, "problem", problem.message, problem=problem.to_data())
            control.troubled.add(row.uid)
