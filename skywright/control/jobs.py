"""Managed jobs: what each stage's deployment shows decides what is next; each stage's nodes go when it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compiler.lower import stack_name
from compiler.problem import Problem, Problems
from skywright.control import desk, jobqueue, space, words
from skywright.control.context import WORK, Control, log
from skywright.control.desired import stamp
from skywright.control.orders import read_order
from skywright.control.rows import Deployment, Event, Job, JobFile, JobOrder, JobStage, Run
from skywright.control.store import Broken

OVER = ("SUCCEEDED", "FAILED", "FAILED_SETUP", "FAILED_PRECHECKS", "FAILED_NO_RESOURCE", "CANCELLED")
"""Statuses that do not change any more, by SkyPilot's words."""

AGAIN_S = 60.0
"""A removal that was refused is asked for again after so long."""

NO_ROOM = ("cloud/capacity", "cloud/quota")

SHOWN = {"PENDING": "STARTING", "SETTING_UP": "RUNNING", "RUNNING": "RUNNING", "RECOVERING": "RECOVERING"}
"""Status of a run -> that of its stage; setup belongs to running."""


def turn(control: Control) -> None:
    """Every job one step further; what fails is tried again at the next turn."""
    try:
        open_jobs = control.store.first(Job, phase=("waiting", "going"))
        if open_jobs is None:
            return
        control.used = control.clock.steady()
        jobqueue.begin(control, control.jobs_limit.now())
        jobs = control.store.find(Job, order="id", phase="going")
    except (OSError, Broken) as error:
        if not space.notice(control, error):
            log.exception("jobs could not be looked at")
        return
    for job in jobs:
        try:
            if not _elsewhere(control, job):
                step(control, job)
        except Exception as error:
            if not space.notice(control, error):
                log.exception("job %d: this turn failed, the next one tries again", job.id)


def step(control: Control, job: Job) -> None:
    """Look at everything that is stored of a job and do what is next."""
    for one in stages_of(control, job):
        if one.uid is not None and not one.cleared:
            _look(control, job, one)
    for one in stages_of(control, job):
        if one.wanted == "cancelled" and one.uid is None and one.status not in OVER:
            _end(control, job, one, "CANCELLED", "cancelled before it began")
    if job.together:
        _side_by_side(control, job)
    else:
        _one_after_the_other(control, job)
    _sum_up(control, job)


def _elsewhere(control: Control, job: Job) -> bool:
    """Does another replica look after a deployment of it, until it gives that back?"""
    return any(
        one.uid is not None
        and not control.holdings.holds(one.uid)
        and control.store.first(Deployment, uid=one.uid, ended=None) is not None
        for one in stages_of(control, job)
    )


def stages_of(control: Control, job: Job) -> list[JobStage]:
    return control.store.find(JobStage, order="stage", job=job.id)


def key(job: Job | int) -> str:
    """Under which the timeline has a job, and the bell whoever waits for it."""
    return f"job:{job if isinstance(job, int) else job.id}"


def tell(control: Control, job: Job, text: str, /, **data: Any) -> None:
    """Add a sentence to the job's timeline."""
    with control.store.together():
        seq = control.store.highest(Event, "seq", uid=key(job)) + 1
        control.store.add(Event(key(job), seq, control.clock.now(), "job", text, data))
    log.info("job %d: %s", job.id, text)
    control.bell.ring(key(job))


# A stage that has a deployment.


def _look(control: Control, job: Job, one: JobStage) -> None:
    row = control.store.first(Deployment, uid=one.uid)
    there = row is not None and row.ended is None
    run = control.store.first(Run, uid=one.uid, run=one.run)
    if one.status in OVER:
        if there and row is not None:
            _remove(control, one, row)
        else:
            control.store.change(one, cleared=True)
        return
    if run is None or row is None:
        _end(control, job, one, "CANCELLED", "its deployment was forgotten")
    elif run.ended is not None and one.status != "CANCELLING":
        _judge(control, job, one, row, run)
    elif one.wanted == "cancelled":
        _cancel(control, job, one, row)
    elif one.max_s is not None and run.started and control.clock.now() - run.started > one.max_s:
        reason = f"it ran longer than {words.duration(one.max_s)}"
        _end(control, job, one, "FAILED", reason, recoveries=run.recoveries)
        _remove(control, one, row)
    else:
        _follow(control, job, one, run)


def _follow(control: Control, job: Job, one: JobStage, run: Run) -> None:
    """What the run shows is what the stage shows."""
    status = SHOWN.get(run.status, one.status)
    if (status, run.recoveries) == (one.status, one.recoveries):
        return
    began = one.running_since or (control.clock.now() if status == "RUNNING" else None)
    control.store.change(one, status=status, recoveries=run.recoveries, running_since=began)
    if status != one.status:
        tell(control, job, f"{_called(job, one)} is {status}", stage=one.stage, status=status)


def _judge(control: Control, job: Job, one: JobStage, row: Deployment, run: Run) -> None:
    """Its run has ended: how, and with what words."""
    status, reason = run.status, run.reason
    if status == "CANCELLED" and one.wanted != "cancelled" and row.stage == "failed":
        problem = row.problem or {}
        status = "FAILED_NO_RESOURCE" if problem.get("code") in NO_ROOM else "FAILED_PRECHECKS"
        reason = str(problem.get("message") or reason)
    _end(control, job, one, status, reason, exit_code=run.exit_code, recoveries=run.recoveries)
    if row.ended is None:
        _remove(control, replace(one, status=status), row)


def _cancel(control: Control, job: Job, one: JobStage, row: Deployment) -> None:
    """Its nodes go, and then it is cancelled; what cannot be removed does not hold that up."""
    if row.ended is not None:
        _end(control, job, one, "CANCELLED", "cancelled")
        return
    if one.status != "CANCELLING":
        control.store.change(one, status="CANCELLING")
        tell(control, job, f"{_called(job, one)} is being cancelled", stage=one.stage, status="CANCELLING")
    elif row.stage == "failed" and row.wanted == "gone":
        _end(control, job, one, "CANCELLED", "cancelled")
        return
    _remove(control, one, row)


def _remove(control: Control, one: JobStage, row: Deployment) -> None:
    """Ask for the removal, and again after a time when it was refused."""
    now = control.clock.now()
    if (row.wanted == "gone" and row.stage != "failed") or (one.retry_at or 0.0) > now:
        return
    with control.store.together():
        control.store.change(one, retry_at=now + AGAIN_S)
        desk.down(control, row.name, False, {})


def _end(control: Control, job: Job, one: JobStage, status: str, reason: str | None, **more: Any) -> None:
    """The stage's result: its last status."""
    now = control.clock.now()
    with control.store.together():
        if not control.store.change(
            one,
            when={"ended": None},
            status=status,
            reason=reason,
            ended=now,
            cleared=one.uid is None,
            **more,
        ):
            return
        because = f": {reason}" if reason and status != "CANCELLED" else ""
        tell(control, job, f"{_called(job, one)} is {status}{because}", stage=one.stage, status=status)
    control.bell.ring(WORK)


# Whose turn it is.


def _one_after_the_other(control: Control, job: Job) -> None:
    """The next stage begins when the one before has succeeded and its nodes are gone; a failed one is the last."""
    for one in stages_of(control, job):
        if one.status not in OVER:
            if one.uid is None:
                _begin(control, job, one)
            return
        if one.status != "SUCCEEDED":
            for later in stages_of(control, job)[one.stage + 1 :]:
                if later.status not in OVER:
                    _end(control, job, later, "CANCELLED", f"{one.name} did not succeed")
            return
        if not one.cleared and not _stuck(control, one):
            return


def _stuck(control: Control, one: JobStage) -> bool:
    """Was the removal of its nodes refused? What comes next does not wait for that."""
    row = control.store.first(Deployment, uid=one.uid)
    return row is not None and (row.stage == "failed" or (row.wanted == "up" and one.retry_at is not None))


def _side_by_side(control: Control, job: Job) -> None:
    """All at once; when the primary ones have ended, the others go after their delay."""
    found = stages_of(control, job)
    for one in found:
        if one.uid is None and one.status not in OVER:
            _begin(control, job, one)
    first = [one for one in found if _is_primary(job, one)]
    if not all(one.status in OVER for one in first):
        return
    ended = max(one.ended or 0.0 for one in first)
    for one in found:
        delay = float(job.delays.get(one.name, job.delays.get("default", 0.0)))
        if one.status not in OVER and one.wanted == "done" and control.clock.now() >= ended + delay:
            control.store.change(one, wanted="cancelled")
            tell(control, job, f"{_called(job, one)} goes: the primary tasks have ended", stage=one.stage)


def _is_primary(job: Job, one: JobStage) -> bool:
    return not job.primaries or one.name in job.primaries


def _begin(control: Control, job: Job, one: JobStage) -> None:
    """Make its deployment, in one transaction with the note that it has one."""
    now = control.clock.now()
    try:
        with control.store.together():
            if control.store.first(JobStage, job=one.job, stage=one.stage, uid=None, ended=None) is None:
                return  # another replica of control was faster
            if control.store.first(Deployment, name=one.deployment, ended=None):
                says = f"there is a deployment `{one.deployment}` that does not belong to the job"
                raise Problems(Problem("lock/name-in-use", says))
            accepted = desk.launch(control, read_order(_order(control, job, one)))
            row = desk.living(control, one.deployment)
            begun = {"uid": row.uid, "run": accepted["run"], "status": "STARTING", "started": now}
            control.store.change(one, when={"uid": None}, **begun)
            tell(control, job, f"{_called(job, one)} is STARTING", stage=one.stage, status="STARTING")
    except Problems as problems:
        if space.is_full(problems):
            raise
        _end(control, job, one, "FAILED_PRECHECKS", problems.problems[0].message)


def _order(control: Control, job: Job, one: JobStage) -> dict[str, Any]:
    """The batch's order as one of a deployment of this job's own, which autostop removes if the job cannot."""
    kept = control.store.first(JobOrder, batch=job.batch, stage=one.stage)
    if kept is None:
        raise Problems(Problem("control/bad-request", f"the order of job {job.id} is not kept any more"))
    sealed = control.vault.get(scope(job.batch, one.stage))
    body, name = kept.body, one.deployment
    envs = {
        **body["run"]["envs"],
        "SKYPILOT_MANAGED_JOB_ID": str(job.id),
        "SKYPILOT_ROOT_JOB_ID": str(job.id),
    }
    if job.siblings > 1:
        envs |= {"SKYPILOT_JOB_RANK": str(job.number), "SKYPILOT_NUM_JOBS": str(job.siblings)}
    if job.together:
        envs["SKYPILOT_JOBGROUP_NAME"] = job.name
    called = one.name if one.name == job.name else f"{job.name}_{one.name}"
    task_id = f"sky-managed-{stamp(job.submitted)}_{called}_{job.id}-{one.stage}"
    run = {**body["run"], "envs": envs, "secrets": sealed.get("secrets") or {}, "task_id": task_id}
    return {
        **body,
        "name": name,
        "spec": _renamed(body["spec"], name),
        "choices": [{**choice, "spec": _renamed(choice["spec"], name)} for choice in body["choices"]],
        "run": {**run, "call": f"job:{job.id}:{one.stage}"},
        "options": {**body["options"], "keep": False, "idle_s": None, "down": True, "retry_until_up": True},
        "env": sealed.get("env") or {},
    }


def _renamed(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return {**spec, "deployment": name, "stack": stack_name(name, spec["cloud"], spec.get("region"))}


def scope(batch: int, stage: int) -> str:
    """Where the vault keeps the secrets and variables of a stage's order."""
    return f"job:{batch}:{stage}"


# The job as a whole.


def _sum_up(control: Control, job: Job) -> None:
    """The job's status follows from its stages; when nothing is left of them it is over."""
    found = stages_of(control, job)
    status = status_of(job, found)
    ended = job.ended or (control.clock.now() if status in OVER else None)
    if (status, ended) != (job.status, job.ended):
        control.store.change(job, status=status, ended=ended)
    if ended is not None and job.ended is None:
        took = words.duration(ended - (job.started or ended))
        tell(control, job, f"job {job.id} is {status} after {took}", status=status)
    if ended is not None and all(one.cleared for one in found):
        with control.store.together():
            control.store.change(job, phase="over")
            forget_batch(control, job.batch)


def status_of(job: Job, found: list[JobStage]) -> str:
    """That of the first stage that has not ended, else of the first that did not succeed."""
    going = [one for one in found if one.status not in OVER]
    if going:
        if job.together and not any(_is_primary(job, one) for one in going):
            return "WINDING_DOWN"
        return "STARTING" if going[0].status == "PENDING" else going[0].status
    judged = [one for one in found if _is_primary(job, one)]
    return next((one.status for one in judged if one.status != "SUCCEEDED"), "SUCCEEDED")


def forget_batch(control: Control, batch: int) -> None:
    """Drop orders and secrets that no job of the batch needs any more."""
    if control.store.first(Job, batch=batch, phase=("waiting", "going")):
        return
    for order in control.store.find(JobOrder, batch=batch):
        control.vault.forget(scope(batch, order.stage))
    control.store.remove(JobOrder, batch=batch)
    control.store.remove(JobFile, batch=batch)


def _called(job: Job, one: JobStage) -> str:
    """What a stage is called in sentences; the only one is the job."""
    several = one.deployment.startswith(f"job-{job.id}-{one.stage}-")
    return f"{one.name} of job {job.id}" if several else f"job {job.id}"
