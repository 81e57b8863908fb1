"""What people can ask of managed jobs: each wish is checked and written down; control/jobs.py does the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from compiler.problem import Problem, Problems
from compiler.task import deployment_name
from skywright.control import words
from skywright.control.context import WORK, Control
from skywright.control.cost import spent
from skywright.control.jobs import OVER, forget_batch, scope, stages_of, tell
from skywright.control.orders import Order, read_order
from skywright.control.rows import Deployment, Job, JobFile, JobOrder, JobStage

MOST = 10_000
"""Jobs of one launch."""

RECENT = 20
"""So many jobs that have ended are listed when nobody asks for all."""

AT_ONCE = 500
"""Jobs whose stages are read by one statement."""

PRIORITIES = range(-1000, 1001)
_LONG = 40
"""Letters of a deployment's name."""


def submit(control: Control, data: Mapping[str, Any]) -> dict[str, Any]:
    """Queue one job or several of one launch; returns {ids}. A repeated call queues nothing again.

    Raises Problems control/bad-request, control/blob-missing.
    """
    call = str(data["call"]) if data.get("call") else None
    if call and (before := control.store.first(Job, call=call)):
        found = control.store.find(Job, order="id", batch=before.batch)
        return {"ids": [one.id for one in found]}
    orders = _read(data)
    _files_are_here(control, orders)
    now, count = control.clock.now(), int(data.get("count") or 1)
    with control.store.together():
        newest = control.store.first(Job, order="-id")
        first = newest.id + 1 if newest else 1
        for stage, order in enumerate(orders):
            body = {**data["stages"][stage]["order"], "run": {**order.run.body}}
            body.pop("env", None)
            control.store.add(JobOrder(first, stage, body))
            sealed = {"secrets": order.run.secrets, "env": order.env}
            control.vault.put(scope(first, stage), {name: kept for name, kept in sealed.items() if kept})
            for digest in order.run.digests:
                control.store.add(JobFile(first, digest))
        for number in range(count):
            _add(control, data, orders, first, number, count, now, call)
    control.bell.ring(WORK)
    return {"ids": list(range(first, first + count))}


def _read(data: Mapping[str, Any]) -> list[Order]:
    """The orders of all stages, checked whole. Problems control/bad-request and those of an order."""
    try:
        orders = [read_order(one["order"]) for one in data["stages"]]
        names = [str(one["name"]) for one in data["stages"]]
        wrong = not names or not str(data["name"]) or (data.get("together") and len(set(names)) < len(names))
        count = int(data.get("count") or 1)
        if wrong or not 1 <= count <= MOST or int(data.get("priority") or 0) not in PRIORITIES:
            raise ValueError(f"name, stages, count {count} or priority")
        return orders
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hint = "command and control are of different versions? end control and run the command again"
        raise Problems(
            Problem("control/bad-request", f"the job is not complete: {error!r}", hint=hint)
        ) from None


def _files_are_here(control: Control, orders: list[Order]) -> None:
    missing = control.blobs.missing({digest for order in orders for digest in order.run.digests})
    if missing:
        says = f"{words.few(len(missing), 'archive')} of the order did not arrive"
        raise Problems(Problem("control/blob-missing", says, hint="run the command again"))


def _add(
    control: Control,
    data: Mapping[str, Any],
    orders: list[Order],
    first: int,
    number: int,
    count: int,
    now: float,
    call: str | None,
) -> None:
    job = Job(
        id=first + number,
        name=str(data["name"]),
        project=orders[0].project,
        owner=orders[0].owner,
        submitted=now,
        batch=first,
        priority=int(data.get("priority") or 0),
        number=number,
        siblings=count,
        together=bool(data.get("together")),
        primaries=[str(one) for one in data.get("primaries") or ()],
        delays={str(name): float(value) for name, value in (data.get("delays") or {}).items()},
        call=call,
    )
    control.store.add(job)
    for stage, told in enumerate(data["stages"]):
        name = str(told["name"])
        lasts = None if told.get("max_s") is None else float(told["max_s"])
        called = _deployment(job.id, None if len(orders) == 1 else stage, name)
        control.store.add(JobStage(job.id, stage, name, called, max_s=lasts))
    stages = f", {words.few(len(orders), 'task')}" if len(orders) > 1 else ""
    tell(control, job, f"job {job.id} ({job.name}{stages}) is queued", status="PENDING")


def _deployment(job: int, stage: int | None, name: str) -> str:
    """`job-7-train`, `job-7-1-eval`: no two stages of all jobs have one name."""
    begin = f"job-{job}-" if stage is None else f"job-{job}-{stage}-"
    return re.sub(r"-+$", "", begin + deployment_name(name)[: _LONG - len(begin)])


def find(control: Control, number: int) -> Job:
    """Raises Problems run/no-such-job."""
    job = control.store.first(Job, id=number)
    if job is None:
        hint = "`skywright jobs queue -a` lists them"
        raise Problems(Problem("run/no-such-job", f"there is no job {number}", hint=hint))
    return job


def cancel(control: Control, numbers: list[int] | None, name: str | None) -> list[int]:
    """Cancel jobs by number or name, with neither all; returns those that had not ended. Problems run/no-such-job."""
    if numbers is not None:
        jobs = [find(control, number) for number in numbers]
    elif name is not None:
        jobs = control.store.find(Job, order="id", name=name)
        if not jobs:
            raise Problems(Problem("run/no-such-job", f"there is no job called `{name[:60]}`"))
    else:
        jobs = control.store.find(Job, order="id", phase=("waiting", "going"))
    going = [job for job in jobs if job.ended is None]
    with control.store.together():
        for job in going:
            _cancelled(control, job)
        for batch in {job.batch for job in going}:
            forget_batch(control, batch)
    control.bell.ring(WORK)
    return [job.id for job in going]


def _cancelled(control: Control, job: Job) -> None:
    """One that waits is over; of one that goes, jobs.py removes what there is."""
    now = control.clock.now()
    if control.store.change(job, when={"phase": "waiting"}, phase="over", status="CANCELLED", ended=now):
        reason = "cancelled before it began"
        for one in stages_of(control, job):
            control.store.change(one, status="CANCELLED", ended=now, reason=reason, cleared=True)
        tell(control, job, f"job {job.id} is CANCELLED before it began", status="CANCELLED")
        return
    for one in stages_of(control, job):
        if one.status not in OVER:
            control.store.change(one, wanted="cancelled")
    control.store.change(job, status="CANCELLING")
    tell(control, job, f"job {job.id} is to be cancelled", status="CANCELLING")


def listed(control: Control, *, all_of_them: bool, name: str | None = None) -> list[dict[str, Any]]:
    """Jobs, newest first: all that have not ended and the newest that have, or all of them."""
    where: dict[str, Any] = {} if name is None else {"name": name}
    if all_of_them:
        found = control.store.find(Job, order="-id", **where)
    else:
        going = control.store.find(Job, order="-id", ended=None, **where)
        limit = RECENT + len(going)
        past = [job for job in control.store.find(Job, order="-id", limit=limit, **where) if job.ended]
        found = sorted((*going, *past[:RECENT]), key=lambda job: -job.id)
    stages: dict[int, list[JobStage]] = {}
    for begin in range(0, len(found), AT_ONCE):
        ids = tuple(job.id for job in found[begin : begin + AT_ONCE])
        for one in control.store.find(JobStage, order="stage", job=ids):
            stages.setdefault(one.job, []).append(one)
    return [_shown(control, job, stages[job.id]) for job in found]


def shown(control: Control, job: Job) -> dict[str, Any]:
    """The Job-dict of the client. Times are seconds since 1970, `spent` is USD as far as it is still known."""
    return _shown(control, job, stages_of(control, job))


def _shown(control: Control, job: Job, found: list[JobStage]) -> dict[str, Any]:
    stages = [_stage(control, one) for one in found]
    now = next((one for one in stages if one["status"] not in OVER), stages[-1])
    reasons = (one["reason"] for one in stages if one["status"].startswith("FAILED"))
    return {
        "id": job.id,
        "name": job.name,
        "status": job.status,
        "priority": job.priority,
        "number": job.number,
        "siblings": job.siblings,
        "together": job.together,
        "project": job.project,
        "owner": job.owner,
        "submitted": job.submitted,
        "started": job.started,
        "ended": job.ended,
        "over": job.phase == "over",
        "task": now["stage"],
        "recoveries": sum(one["recoveries"] for one in stages),
        "spent": sum(one["spent"] for one in stages),
        "reason": next(reasons, None),
        "stages": stages,
    }


def _stage(control: Control, one: JobStage) -> dict[str, Any]:
    row = control.store.first(Deployment, uid=one.uid) if one.uid else None
    names = ("stage", "name", "deployment", "status", "run", "started", "running_since", "ended")
    more = ("exit_code", "reason", "recoveries", "max_s")
    return {
        **{name: getattr(one, name) for name in (*names, *more)},
        "made": one.uid is not None,
        "cleared": one.cleared,
        "nodes": row.nodes_wanted if row else None,
        "where": row.place if row else None,
        "market": row.market if row else None,
        "blocked": row.blocked if row and row.ended is None else None,
        "problem": row.problem if row and row.ended is None else None,
        "spent": spent(control, row) if row else 0.0,
    }
