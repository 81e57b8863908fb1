"""`logs`: a run's output, its status as an exit code, or its logs as files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.follow import ENDED, Follower, settle
from skywright.cli.launch import connect, timeline_end
from skywright.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skywright.control.client import Chunk, Client


def run(values: Values) -> int:
    """Follow (the default), print what there is, print the status, or write files."""
    numbers = [run_number(word) for word in values.runs]
    client = connect()
    if values.status:
        return _status(values, client, numbers)
    found = _chosen(client.runs(values.name), numbers, values.name)
    if values.sync_down:
        return _sync_down(values, client, found)
    if values.follow is False or values.tail is not None or found[0]["status"] in ENDED or values.json:
        return _print(values, client, found)
    number, ranks = found[0]["run"], client.deployment(values.name)["nodes_wanted"]
    ranks = max(len(found[0]["ranks"]), 1 if found[0]["ranks"] else ranks)
    after = timeline_end(client, values.name)
    return settle(Follower(connect, values.name, number, ranks, after=after))


def run_number(word: str) -> int:
    """A run's number as typed."""
    try:
        number = int(word)
    except ValueError:
        number = 0
    if number < 1:
        raise Problems(Problem("usage/bad-run", f"`{screen.printable(word)}` is not the number of a run"))
    return number


def _chosen(runs: list[dict[str, Any]], numbers: list[int], name: str) -> list[dict[str, Any]]:
    """The runs of these numbers; without numbers the newest."""
    if not numbers:
        if not runs:
            raise Problems(Problem("run/no-such-run", f"`{name}` had no run yet"))
        return [max(runs, key=lambda run: run["run"])]
    by_number = {run["run"]: run for run in runs}
    for number in numbers:
        if number not in by_number:
            hint = f"{screen.PROGRAM} queue {name} lists them"
            raise Problems(Problem("run/no-such-run", f"`{name}` has no run {number}", hint=hint))
    return [by_number[number] for number in numbers]


def _status(values: Values, client: Client, numbers: list[int]) -> int:
    try:
        found = _chosen(client.runs(values.name), numbers, values.name)
    except Problems as problems:
        if problems.problems[0].code == "control/no-such-deployment":
            screen.problems(problems, as_data=bool(values.json))
            return int(Exit.NO_SUCH_RUN)
        raise
    if values.json:
        screen.data({"runs": found})
    else:
        for one in found:
            screen.out(f"run {one['run']}: {one['status']}")
    codes = [int(ENDED.get(one["status"], Exit.NOT_FINISHED)) for one in found]
    return next((code for code in codes if code), int(Exit.FINE))


def _print(values: Values, client: Client, found: list[dict[str, Any]]) -> int:
    """What there is now; the exit code the run ended with, unless only a part was asked for."""
    if values.json:
        screen.data({"logs": [piece for one in found for piece in _pieces(client, values, one)]})
        return int(Exit.FINE)
    code = int(Exit.FINE)
    for one in found:
        output = Output(len(one["ranks"]))
        if values.tail is None:
            for chunk in chunks(client, values.name, one["run"]):
                output.write(chunk.rank, chunk.attempt, chunk.data)
        else:
            for rank, data in sorted(_tails(client, values, one).items()):
                output.write(rank, 0, data)
        output.end()
        if values.follow is not False and values.tail is None:
            code = code or int(ENDED.get(one["status"], Exit.FINE))
    return code


def chunks(client: Client, name: str, number: int) -> Iterator[Chunk]:
    """All log bytes that there are now: attempt after attempt, setup before run, rank after rank."""
    cursor: dict[str, Any] | None = None
    while True:
        found, cursor, ended = client.logs(name, number, cursor, 0)
        yield from found
        if ended or not found:
            return


def _pieces(client: Client, values: Values, one: dict[str, Any]) -> list[dict[str, Any]]:
    texts: dict[tuple[int, int, str], bytes] = {}
    for chunk in chunks(client, values.name, one["run"]):
        key = (chunk.attempt, chunk.rank, chunk.phase)
        texts[key] = texts.get(key, b"") + chunk.data
    return [
        {
            "run": one["run"],
            "attempt": attempt,
            "rank": rank,
            "phase": phase,
            "text": (text if values.tail is None else last_lines(text, values.tail)).decode(errors="replace"),
        }
        for (attempt, rank, phase), text in texts.items()
    ]


def _tails(client: Client, values: Values, one: dict[str, Any]) -> dict[int, bytes]:
    tails: dict[int, bytes] = {}
    for chunk in chunks(client, values.name, one["run"]):
        tails[chunk.rank] = last_lines(tails.get(chunk.rank, b"") + chunk.data, values.tail)
    return tails


def last_lines(data: bytes, count: int) -> bytes:
    """The last `count` lines of `data` (all for 0, as SkyPilot has it)."""
    if count <= 0:
        return data
    lines = data.splitlines(keepends=True)
    return b"".join(lines[-count:])


def _sync_down(values: Values, client: Client, found: list[dict[str, Any]]) -> int:
    made = []
    for one in found:
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(one["submitted"]))
        folder = Path("skywright_logs") / f"{values.name}-{one['run']}-{stamp}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("rank-*.log"):
                old.unlink()
            for chunk in chunks(client, values.name, one["run"]):
                with open(folder / f"rank-{chunk.rank}-attempt-{chunk.attempt}.log", "ab") as file:
                    file.write(chunk.data)
        except OSError as error:
            message = f"`{error.filename or folder}` cannot be written: {error.strerror}"
            raise Problems(Problem("machine/cannot-write", message)) from None
        made.append({"run": one["run"], "folder": str(folder)})
    if values.json:
        screen.data({"folders": made})
    else:
        for one in made:
            screen.out(str(one["folder"]))
    return int(Exit.FINE)
