"""What there is and what to do with it: status, queue, logs, cancel, autostop, down, and what deployments cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypedDict, cast

from compiler.problem import Problem, Problems
from skywright.api.following import Handle, Run, bytes_of

if TYPE_CHECKING:
    from skywright.control.client import Client

WAIT_S = 20.0
DEFAULT_MINUTES = 5

Names = str | Sequence[str] | None


class Deployment(TypedDict):
    """A named set of nodes. `state` is pending, provisioning, setup, running, degraded, blocked, idle, stopped,
    removing, gone or failed. `hourly` is USD per hour for all nodes, `spent` USD so far; `up_s` and `idle_s` are
    seconds, `created` is seconds since 1970; `run` is the newest run.
    """

    name: str
    project: str
    state: str
    wanted: str
    where: str
    market: str
    nodes: list[dict[str, Any]]
    nodes_wanted: int
    hourly: float
    spent: float
    created: float
    up_s: float
    idle_s: float | None
    autostop: dict[str, Any] | None
    blocked: str | None
    last_event: dict[str, Any] | None
    problem: dict[str, Any] | None
    run: Run | None
    kept: dict[str, Any] | None


class Cost(TypedDict):
    """What one deployment has cost: `hourly` USD per hour, `spent` USD, `up_s` seconds; `created` and `ended` are
    seconds since 1970, `ended` is None for one that is there.

    `spent` is `compute` with `disk`, `address` and `transfer`, which are as planned; `idle` of it went without a run.
    `estimate` is what plans said for `planned` of the `runs`; `saved` is `on_demand` less `compared`, the part of
    `compute` whose price on demand is known. Times of nodes end in `_s`."""

    name: str
    where: str
    market: str
    nodes: int
    hourly: float
    spent: float
    created: float
    ended: float | None
    up_s: float
    gone: bool
    project: str
    owner: str
    task: str
    compute: float
    disk: float
    address: float
    transfer: float
    idle: float
    estimate: float
    on_demand: float
    compared: float
    saved: float
    bargain: float
    running_s: float
    idle_s: float
    stopped_s: float
    lost_work_s: float
    preemptions: int
    recoveries: int
    runs: int
    planned: int


def status(cluster_names: Names = None, refresh: bool = False) -> list[Deployment]:
    """Deployments that exist: all, or those of the names (patterns match). `refresh` asks the clouds first.

    Raises Problems control/no-such-deployment.
    """
    from skywright.cli.names import pick

    client = _there()
    living = client.deployments(refresh) if client else []
    found = living if cluster_names is None else pick(living, _listed(cluster_names))
    return cast("list[Deployment]", found)


def queue(cluster_name: str, skip_finished: bool = False) -> list[Run]:
    """The runs of a deployment, oldest first. Raises Problems control/no-such-deployment."""
    from skywright.cli.follow import ENDED

    runs = _needed(cluster_name).runs(cluster_name)
    return cast("list[Run]", [run for run in runs if not skip_finished or run["status"] not in ENDED])


def job_status(cluster_name: str, job_ids: Sequence[int] | None = None) -> dict[int, str]:
    """Run number -> status, of the runs asked for (default: the newest).

    Raises Problems control/no-such-deployment, run/no-such-run.
    """
    return {run["run"]: run["status"] for run in _chosen(cluster_name, job_ids)}


def cancel(cluster_name: str, all: bool = False, job_ids: Sequence[int] | None = None) -> list[int]:
    """Stop runs: all, those of the numbers, or the newest that has not ended. Returns the numbers of those stopped.

    Raises Problems control/no-such-deployment, run/no-such-run.
    """
    client = _needed(cluster_name)
    numbers = None if job_ids is None else list(job_ids)
    if numbers is None and not all:
        numbers = [run["run"] for run in queue(cluster_name, skip_finished=True)][-1:]
    if numbers == []:
        return []
    return client.cancel(cluster_name, None if all else numbers)


def tail_logs(
    cluster_name: str,
    job_id: int | None = None,
    follow: bool = True,
    tail: int = 0,
    output_stream: TextIO | None = None,
) -> int:
    """Write the output of a run (default: the newest) to `output_stream` (default stdout), with `follow` until it
    ends. `tail` writes the last lines of each node that there are now, so many, and does not wait.

    Returns the exit code of `skywright logs`: 0 succeeded, 100 failed, 101 not finished, 103 cancelled. Raises
    Problems control/no-such-deployment, run/no-such-run.
    """
    from compiler.problem import Exit
    from skywright.cli.follow import ENDED
    from skywright.cli.logs import chunks, last_lines
    from skywright.cli.output import Output

    (run,) = _chosen(cluster_name, None if job_id is None else [job_id])
    if follow and not tail:
        run = Handle(cluster_name, run["run"]).stream(output_stream)
    else:
        output = Output(len(run["ranks"]), bytes_of(output_stream or sys.stdout))
        whole: dict[int, bytes] = {}
        for chunk in chunks(_needed(cluster_name), cluster_name, run["run"]):
            if tail:
                whole[chunk.rank] = last_lines(whole.get(chunk.rank, b"") + chunk.data, tail)
            else:
                output.write(chunk.rank, chunk.attempt, chunk.data)
        for rank, data in sorted(whole.items()):
            output.write(rank, 0, data)
        output.end()
    return int(ENDED.get(run["status"], Exit.NOT_FINISHED))


def download_logs(
    cluster_name: str, job_ids: Sequence[int] | None = None, folder: str | Path = "skywright_logs"
) -> dict[int, Path]:
    """Write the logs of runs (default: the newest) below `folder`, a file for each node and attempt.

    Returns run number -> its folder. Raises Problems control/no-such-deployment, run/no-such-run,
    machine/cannot-write.
    """
    from skywright.cli.logs import chunks

    made: dict[int, Path] = {}
    for run in _chosen(cluster_name, job_ids):
        place = Path(folder).expanduser() / f"{cluster_name}-{run['run']}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            for old in place.glob("rank-*.log"):
                old.unlink()
            for chunk in chunks(_needed(cluster_name), cluster_name, run["run"]):
                with open(place / f"rank-{chunk.rank}-attempt-{chunk.attempt}.log", "ab") as file:
                    file.write(chunk.data)
        except OSError as error:
            says = f"`{error.filename or place}` cannot be written: {error.strerror}"
            raise Problems(Problem("machine/cannot-write", says)) from None
        made[run["run"]] = place
    return made


def autostop(cluster_name: str, idle_minutes: int | None = DEFAULT_MINUTES, down: bool = False) -> None:
    """Give the nodes back after `idle_minutes` minutes without a run; negative or None: never.

    They are stopped where the cloud can, else (and with `down`) removed. Raises Problems
    control/no-such-deployment.
    """
    idle_s = None if idle_minutes is None or idle_minutes < 0 else idle_minutes * 60
    _needed(cluster_name).autostop(cluster_name, idle_s, down)


def down(cluster_name: str, purge: bool = False) -> None:
    """Remove a deployment, and return when it is gone. `purge` deletes its kept checkpoint folder too.

    Raises Problems control/no-such-deployment, and those of the removal where it failed.
    """
    from skywright.cli.launch import timeline_end

    client = _needed(cluster_name)
    after = timeline_end(client, cluster_name)
    client.down(cluster_name, purge)
    wait_s = 0.0
    while True:
        answer = client.follow(cluster_name, after, wait_s)
        after, wait_s, deployment = answer["next"], WAIT_S, answer["deployment"]
        if deployment["state"] == "gone":
            return
        if deployment["state"] == "failed" or deployment["wanted"] == "up":
            problem = deployment["problem"]
            says = f"`{cluster_name}` could not be removed"
            raise Problems(Problem.of(problem) if problem else Problem("engine/failed", says))


def stop(cluster_name: str) -> None:
    """Stop the nodes of a deployment, whose disks stay; return when they rest. Unfinished runs are cancelled.

    Raises Problems cloud/cannot-stop where the cloud cannot, control/no-such-deployment, control/not-up.
    """
    _rest(cluster_name, stops=True)


def start(cluster_name: str) -> None:
    """Start the stopped nodes of a deployment, and return when they are there. Raises Problems as `stop` does."""
    _rest(cluster_name, stops=False)


def _rest(name: str, *, stops: bool) -> None:
    from skywright.cli.launch import timeline_end
    from skywright.cli.stop import is_done, wait

    client = _needed(name)
    after = timeline_end(client, name)
    (client.stop if stops else client.start)(name)
    ended = wait(client, name, after, stops=stops, show=lambda event: None)
    if not is_done(ended, stops=stops):
        problem = ended["problem"]
        says = f"`{name}` could not be {'stopped' if stops else 'started'}"
        raise Problems(Problem.of(problem) if problem else Problem("engine/failed", says))


def endpoints(cluster_name: str, port: int | str | None = None) -> dict[int, str]:
    """Port -> `address:port` of the first node, for each port that the deployment opens, or for `port` alone.

    Raises Problems control/no-such-deployment, and control/no-such-port for a `port` that is not open.
    """
    from skywright.cli.ssh import covered

    rows = [row for row in _needed(cluster_name).endpoints(cluster_name) if row["rank"] == 0]
    found = {number: f"{row['address']}:{number}" for row in rows for number in covered(row["port"])}
    if port is None:
        return found
    if int(port) not in found:
        says = f"`{cluster_name}` does not open port {port}"
        raise Problems(Problem("control/no-such-port", says, hint="`ports` of the task opens it"))
    return {int(port): found[int(port)]}


def cost_report(days: float | None = None) -> list[Cost]:
    """What deployments cost, also those that are gone, newest first; with `days` those of the last days."""
    import time

    client = _there()
    rows = client.cost() if client else []
    now = time.time()
    return cast(
        "list[Cost]",
        [row for row in rows if days is None or (row["ended"] or now) >= now - days * 86400],
    )


def _chosen(name: str, numbers: Sequence[int] | None) -> list[Run]:
    runs = queue(name)
    if numbers is None:
        if not runs:
            raise Problems(Problem("run/no-such-run", f"`{name}` had no run yet"))
        return runs[-1:]
    found = {run["run"]: run for run in runs}
    wrong = [number for number in numbers if number not in found]
    if wrong:
        raise Problems(Problem("run/no-such-run", f"`{name}` has no run {number}") for number in wrong)
    return [found[number] for number in numbers]


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _there() -> Client | None:
    """Control, or None where nothing was ever launched."""
    from skywright.cli.launch import connect, never_used

    return None if never_used() else connect()


def _needed(name: str) -> Client:
    client = _there()
    if client is None:
        from skywright.cli.names import absent

        raise Problems(absent(name, ()))
    return client
