"""`jobs logs`: the output of a job's tasks as it comes, what becomes of the job beside it, and its exit code."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.jobs_shown import number
from skywright.cli.launch import connect
from skywright.cli.output import Output

if TYPE_CHECKING:
    from skywright.control.client import Client

CODES = {"SUCCEEDED": Exit.FINE, "CANCELLED": Exit.CANCELLED}
"""Exit codes of jobs that have ended; of the others RUN_FAILED."""

WAIT_S = 1.0
"""How long one look waits for news."""


class Named:
    """A stream whose lines begin with the name of a task."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self._prefix, self._stream = f"({name}) ".encode(), stream
        self._begins = True

    def write(self, data: bytes) -> int:
        for line in data.splitlines(keepends=True):
            self._stream.write(self._prefix + line if self._begins else line)
            self._begins = line.endswith((b"\n", b"\r"))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


class Follower:
    """Shows a job: `output` its tasks' logs, `told` what becomes of it."""

    def __init__(self, client: Client, job: int, stream: IO[bytes], *, output: bool, told: bool) -> None:
        self.client, self.job, self.stream = client, job, stream
        self.output, self.told = output, told
        self.after = 0
        self.outputs: dict[int, Output] = {}
        self.cursors: dict[int, dict[str, Any] | None] = {}
        self.done: set[int] = set()

    def follow(self, only: int | None = None, *, wait: bool = True) -> dict[str, Any]:
        """Until the job has ended and all is shown, or without `wait` as far as it is now; the job's data."""
        while True:
            idle = not any(at not in self.done for at in self.outputs)
            answer = self.client.follow_job(self.job, self.after, WAIT_S if wait and idle else 0)
            self.after, job = answer["next"], answer["job"]
            for event in answer["events"] if self.told else ():
                for output in self.outputs.values():
                    output.break_line()
                screen.say(f"  {event['text']}")
            stages = [one for one in job["stages"] if only in (None, one["stage"])] if self.output else []
            news = [self._show(job, stage, wait) for stage in stages if stage["made"]]
            shown = all(one["stage"] in self.done for one in stages if one["made"])
            over = job["ended"] is not None or (bool(stages) and all(one["ended"] for one in stages))
            if (over and shown and not answer["events"]) or not (wait or any(news) or answer["events"]):
                return dict(job)

    def _show(self, job: dict[str, Any], stage: dict[str, Any], wait: bool) -> bool:
        """New bytes of one task; were there any?"""
        at = stage["stage"]
        if at in self.done:
            return False
        if at not in self.outputs:
            several = job["together"] and len(job["stages"]) > 1
            stream: Any = Named(stage["name"], self.stream) if several else self.stream
            self.outputs[at] = Output(stage["nodes"] or 1, stream)
        waiting = WAIT_S / (len(job["stages"]) if job["together"] else 1)
        try:
            found, self.cursors[at], ended = self.client.logs(
                stage["deployment"], stage["run"], self.cursors.get(at), waiting if wait else 0
            )
        except Problems as problems:
            if problems.problems[0].code not in ("control/no-such-deployment", "run/no-such-run"):
                raise
            screen.say(f"  what {stage['name']} wrote is not kept any more")
            found, ended = [], True
        for chunk in found:
            self.outputs[at].write(chunk.rank, chunk.attempt, chunk.data)
        if ended:
            self.outputs[at].end()
            self.outputs[at].break_line()
            self.done.add(at)
        return bool(found)


def run(values: Values) -> int:
    """Show the job that is meant."""
    client = connect()
    job = _meant(client, values)
    only = None if values.task is None else _stage(job, values.task)
    if values.json:
        return _as_data(client, job, only)
    told = bool(values.controller) or not values.controller_less
    shown = values.follow is not False
    follower = Follower(
        client, job["id"], sys.stdout.buffer, output=not values.controller, told=told and shown
    )
    if values.controller:
        follower.told = True
    return _settle(follower, only, wait=shown)


def follow(job: int, *, as_data: bool = False) -> int:
    """A job that was just queued, to its end; the exit code."""
    stream = sys.stderr.buffer if as_data else sys.stdout.buffer
    follower = Follower(connect(), job, stream, output=True, told=not as_data)
    return _settle(follower, None, wait=True, as_data=as_data)


def _settle(follower: Follower, only: int | None, *, wait: bool, as_data: bool = False) -> int:
    try:
        job = follower.follow(only, wait=wait)
    except KeyboardInterrupt:
        screen.say(f"\nleft running: {screen.PROGRAM} jobs logs {follower.job}")
        return int(Exit.INTERRUPTED)
    finally:
        for output in follower.outputs.values():
            output.end()
    if as_data:
        screen.data(job)
    judged = job if only is None else job["stages"][only]
    return exit_code(judged)


def exit_code(job: dict[str, Any]) -> int:
    """0 succeeded, 100 failed, 101 not ended, 103 cancelled."""
    if job["ended"] is None:
        return int(Exit.NOT_FINISHED)
    return int(CODES.get(job["status"], Exit.RUN_FAILED))


def _meant(client: Client, values: Values) -> dict[str, Any]:
    """By number, by name, or the newest. Problems run/no-such-job."""
    if values.id is not None:
        return client.job(number(values.id))
    found = client.jobs(all_of_them=True, name=values.name)
    if not found:
        called = f" called `{screen.printable(values.name)[:60]}`" if values.name else ""
        raise Problems(Problem("run/no-such-job", f"there is no job{called}"))
    return found[0]


def _stage(job: dict[str, Any], word: str) -> int:
    """Which of the job's tasks: by its place, or by its name. Problems run/no-such-job."""
    for stage in job["stages"]:
        if word in (stage["name"], str(stage["stage"])):
            return int(stage["stage"])
    names = ", ".join(stage["name"] for stage in job["stages"])
    says = f"job {job['id']} has no task `{screen.printable(word)[:60]}`"
    raise Problems(Problem("run/no-such-job", says, hint=f"it has: {names}"))


def _as_data(client: Client, job: dict[str, Any], only: int | None) -> int:
    from skywright.cli.logs import chunks

    pieces: dict[tuple[int, int, int, str], bytes] = {}
    for stage in job["stages"]:
        if stage["made"] and only in (None, stage["stage"]):
            for chunk in chunks(client, stage["deployment"], stage["run"]):
                key = (stage["stage"], chunk.attempt, chunk.rank, chunk.phase)
                pieces[key] = pieces.get(key, b"") + chunk.data
    names = ("task", "attempt", "rank", "phase")
    logs = [
        {**dict(zip(names, key, strict=True)), "text": text.decode(errors="replace")}
        for key, text in pieces.items()
    ]
    screen.data({"job": job, "logs": logs, "timeline": client.follow_job(job["id"], 0, 0)["events"]})
    return int(Exit.FINE)
