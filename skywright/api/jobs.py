"""Managed jobs: launch, queue, cancel, tail_logs, wait, by SkyPilot's names. Pools are refused: they do not run yet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from compiler.problem import Exit, Problem, Problems

if TYPE_CHECKING:
    from skywright.api.dag import Dag
    from skywright.api.task import Task
    from skywright.cli.jobs import Planned
    from skywright.control.client import Client

WAIT_S = 20.0

Job = dict[str, Any]
"""`job_id`, `job_name`, `status`, `priority`, `submitted`, `started`, `ended` (seconds since 1970), `recoveries`,
`reason` of a failure, `spent` (USD), and `stages`: what is known of each task, in its order."""


@dataclass(frozen=True, slots=True)
class JobHandle:
    """Queued jobs of one launch. They go on when this program ends."""

    ids: tuple[int, ...]

    @property
    def job_id(self) -> int:
        """The only job, or the first."""
        return self.ids[0]

    def status(self) -> Job:
        """The first job as it is now."""
        return _told(_connect().job(self.job_id))

    def wait(self, timeout_s: float | None = None) -> Job:
        """The first job when all of them have ended. Raises TimeoutError after `timeout_s` seconds."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        ended = [wait(one, None if until is None else max(0.0, until - time.monotonic())) for one in self.ids]
        return ended[0]


def launch(
    task: Task | Dag,
    name: str | None = None,
    pool: str | None = None,
    num_jobs: int | None = None,
    *,
    priority: int | None = None,
    max_duration_s: float | None = None,
) -> JobHandle:
    """Queue a task, or a chain of tasks in a Dag, as a managed job; with `num_jobs` so many, each told its rank.
    Returns when control has accepted it. `priority` is -1000 to 1000, `max_duration_s` holds for each task.

    Nobody is asked about costs: the policy of the configuration is what limits them. Raises Problems task/...,
    plan/..., policy/..., control/... .
    """
    from skywright.api.launching import values_of
    from skywright.cli.jobs import LASTING, submit
    from skywright.cli.launch import connect, ready_engine

    if pool is not None:
        _refuse("launch(pool=...)")
    count = 1 if num_jobs is None else num_jobs
    if count < 1:
        raise Problems(Problem("task/wrong-value", f"num_jobs is 1 or more, not {count}"))
    planned = _planned(task, name)
    if priority is not None:
        planned = replace(planned, priority=priority)
    ready_engine(quiet=True)
    values = values_of("jobs-launch", **dict.fromkeys(LASTING))
    return JobHandle(tuple(submit(connect(), planned, values, count=count, max_s=max_duration_s)))


def _planned(task: Task | Dag, name: str | None) -> Planned:
    from compiler.pipeline import Pipeline, named
    from skywright.api.dag import Dag
    from skywright.api.launching import entry_of
    from skywright.cli.jobs import of_one, of_several

    if not isinstance(task, Dag) or len(task.tasks) == 1:
        return of_one(entry_of(task.tasks[0] if isinstance(task, Dag) else task), name)
    if not task.is_chain() or not task.tasks:
        says = "a Dag whose tasks are not one after the other cannot run yet"
        raise Problems(Problem("plan/not-runnable-yet", says, hint="join them by `a >> b >> c`"))
    entries = [entry_of(one) for one in _in_order(task)]
    tasks = tuple(entry.task for entry in entries)
    called = [replace(entry, name=one) for entry, one in zip(entries, named(tasks), strict=True)]
    return of_several(Pipeline(tasks, task.name), called, name)


def _in_order(dag: Dag) -> list[Task]:
    """The tasks of a chain, each after the one it waits for."""
    then = {id(first): second for first, second in dag.edges}
    seconds = {id(second) for _, second in dag.edges}
    found = [next(one for one in dag.tasks if id(one) not in seconds)]
    while id(found[-1]) in then:
        found.append(then[id(found[-1])])
    return found


def queue(
    refresh: bool = False, skip_finished: bool = False, *, job_ids: Sequence[int] | None = None
) -> list[Job]:
    """All jobs of this home, newest first, or those of the numbers. It is never old, with or without `refresh`."""
    from skywright.cli.launch import never_used

    found = [] if never_used() else [_told(one) for one in _connect().jobs(all_of_them=True)]
    wanted = None if job_ids is None else set(job_ids)
    return [
        job
        for job in found
        if (wanted is None or job["job_id"] in wanted) and not (skip_finished and job["ended"] is not None)
    ]


queue_v2 = queue


def cancel(name: str | None = None, job_ids: Sequence[int] | None = None, all: bool = False) -> list[int]:
    """Cancel jobs by number, by name, or all; the numbers of those that had not ended. Raises Problems
    run/no-such-job, task/wrong-value."""
    if (name is not None) + (job_ids is not None) + all != 1:
        raise Problems(Problem("task/wrong-value", "one of name, job_ids and all says which jobs"))
    return _connect().cancel_jobs(None if job_ids is None else list(job_ids), name)


def wait(job_id: int, timeout_s: float | None = None) -> Job:
    """The job when it has ended. Raises Problems run/no-such-job, and TimeoutError after `timeout_s` seconds."""
    until = None if timeout_s is None else time.monotonic() + timeout_s
    client, after = _connect(), 0
    while True:
        left = WAIT_S if until is None else max(0.0, until - time.monotonic())
        answer = client.follow_job(job_id, after, min(WAIT_S, left))
        after = answer["next"]
        if answer["job"]["ended"] is not None:
            return _told(answer["job"])
        if until is not None and time.monotonic() >= until:
            raise TimeoutError(f"job {job_id} has not ended after {timeout_s:g} s")


def tail_logs(
    name: str | None = None,
    job_id: int | None = None,
    follow: bool = True,
    controller: bool = False,
    *,
    output_stream: TextIO | None = None,
) -> int:
    """Write a job's output (the newest job's, or the newest of that name) to `output_stream` (default stdout), with
    `controller` what became of it. The exit code of `jobs logs`: 0, 100 failed, 101 not ended, 103 cancelled.

    Raises Problems run/no-such-job.
    """
    import sys

    from skywright.api.following import bytes_of
    from skywright.cli.joblogs import Follower, exit_code

    client = _connect()
    if job_id is None:
        found = client.jobs(all_of_them=True, name=name)
        if not found:
            raise Problems(Problem("run/no-such-job", "there is no such job"))
        return tail_logs(None, int(found[0]["id"]), follow, controller, output_stream=output_stream)
    stream = output_stream or sys.stdout
    follower = Follower(client, job_id, bytes_of(stream), output=not controller, told=False)
    job = follower.follow(wait=follow)
    if controller:
        for event in client.follow_job(job_id, 0, 0)["events"]:
            stream.write(f"{event['text']}\n")
    for output in follower.outputs.values():
        output.end()
    return exit_code(job) if follow else int(Exit.FINE)


def _told(job: Job) -> Job:
    return {"job_id": job["id"], "job_name": job["name"], **job}


def _connect() -> Client:
    from skywright.cli.launch import connect

    return connect()


def _refuse(name: str) -> NoReturn:
    says = f"`sky.jobs.{name}`: pools do not run yet"
    hint = "without a pool every job gets nodes of its own"
    raise Problems(Problem("plan/not-runnable-yet", says, hint=hint))


def download_logs(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    says = "`sky.jobs.download_logs`: logs of jobs are not written to files yet"
    raise Problems(Problem("plan/not-runnable-yet", says, hint="`sky.jobs.tail_logs` takes a stream"))


def pool_apply(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    _refuse("pool_apply")


def pool_status(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    _refuse("pool_status")


def pool_down(*args: Any, **options: Any) -> NoReturn:
    """Raises Problems plan/not-runnable-yet."""
    _refuse("pool_down")
