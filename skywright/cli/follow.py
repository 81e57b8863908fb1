"""Following a run: timeline on stderr, the task's output on stdout, to its end; then the exit code."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.live import Display, display, line_of
from skywright.cli.output import Output

if TYPE_CHECKING:
    from skywright.control.client import Client

ENDED = {
    "SUCCEEDED": Exit.FINE,
    "FAILED": Exit.RUN_FAILED,
    "FAILED_SETUP": Exit.RUN_FAILED,
    "CANCELLED": Exit.CANCELLED,
}
"""Statuses after which a run changes no more, with the exit code that follows them."""

WAIT_S = 20.0
PATIENCE_S = 60.0
"""How long control may be away while somebody follows (it is started again, or starts itself)."""


class Follower:
    """Follows one run of one deployment with a thread per stream, and shows both from the calling thread."""

    def __init__(
        self,
        connect: Callable[[], Client],
        name: str,
        run: int,
        ranks: int,
        *,
        after: int = 0,
        stream: IO[bytes] | None = None,
    ) -> None:
        self.connect = connect
        self.name, self.number, self.after = name, run, after
        self.output = Output(ranks, stream)
        self.screen: Display = display()
        self.queue: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=16)
        self.stopping = threading.Event()
        self.deployment: dict[str, Any] = {}
        self.run: dict[str, Any] | None = None
        self.cursor: dict[str, Any] | None = None

    def follow(self) -> dict[str, Any] | None:
        """Until the run and its logs have ended: the run's data, or None when it was left running."""
        for work in (self._timeline, self._logs):
            threading.Thread(target=self._guarded, args=(work,), daemon=True).start()
        try:
            while True:
                try:
                    return self._show()
                except KeyboardInterrupt:
                    self.screen.close()
                    if not _stop_wanted():
                        return None
                    self.connect().cancel(self.name, [self.number])
                    screen.say("stopping …")
        finally:
            self.stopping.set()
            self.screen.close()
            self.output.end()
            self.output.break_line()

    def _show(self) -> dict[str, Any]:
        logs_ended = False
        while True:
            try:
                kind, value = self.queue.get(timeout=0.1)
            except queue.Empty:
                self.screen.tick()
                continue
            if kind == "failed":
                raise value
            if kind == "timeline":
                self._take_timeline(value)
            else:
                chunks, logs_ended = value
                self._take_logs(chunks)
            if self.run and self.run["status"] in ENDED and logs_ended:
                return self.run
            if waits_for_login(self.deployment) and not screen.asks():
                raise Problems(Problem.of(self.deployment["problem"]))
            if self.deployment.get("state") in ("failed", "gone") and not self._run_is_on():
                return self.run or {
                    "run": self.number,
                    "status": "CANCELLED",
                    "exit_code": None,
                    "reason": None,
                }

    def _run_is_on(self) -> bool:
        return bool(self.run and self.run["status"] not in ("PENDING", *ENDED))

    def _take_timeline(self, answer: dict[str, Any]) -> None:
        self.deployment = answer["deployment"]
        self.run = next((run for run in answer["runs"] if run["run"] == self.number), None)
        if any(line_of(event) for event in answer["events"]):
            self.output.break_line()
        for event in answer["events"]:
            self.screen.event(event)
        self.screen.state(self.deployment, self.run)

    def _take_logs(self, chunks: list[Any]) -> None:
        if not chunks:
            return

        def put() -> None:
            for chunk in chunks:
                self.output.write(chunk.rank, chunk.attempt, chunk.data)

        self.screen.write(put, lambda: self.output.mid_line)

    def _guarded(self, work: Callable[[Client], None]) -> None:
        since: float | None = None
        while not self.stopping.is_set():
            try:
                work(self.connect())
                return
            except Problems as found:
                code = found.problems[0].code
                since = since or time.monotonic()
                away = code.startswith("control/") and code not in ("control/no-such-deployment",)
                if not away or time.monotonic() - since > PATIENCE_S:
                    self._put(("failed", found))
                    return
                self.stopping.wait(0.2)
            except Exception as error:
                self._put(("failed", error))
                return

    def _put(self, item: tuple[str, Any]) -> None:
        """Hand over, unless nobody follows any more."""
        while not self.stopping.is_set():
            try:
                self.queue.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def _timeline(self, client: Client) -> None:
        while not self.stopping.is_set():
            answer = client.follow(self.name, self.after, WAIT_S)
            self.after = answer["next"]
            self._put(("timeline", answer))

    def _logs(self, client: Client) -> None:
        ended = False
        while not ended and not self.stopping.is_set():
            chunks, self.cursor, ended = client.logs(self.name, self.number, self.cursor, WAIT_S)
            self._put(("logs", (chunks, ended)))


def waits_for_login(deployment: dict[str, Any]) -> bool:
    """Does nothing go on before somebody renews its credentials?"""
    return bool(deployment.get("problem")) and str(deployment.get("blocked")).startswith("credentials: ")


def settle(follower: Follower, *, as_data: bool = False) -> int:
    """Follow, say how it ended, and give the exit code."""
    run = follower.follow()
    if run is None:
        screen.say(f"left running: {screen.PROGRAM} logs {follower.name} {follower.number}")
        return int(Exit.INTERRUPTED)
    _say_tries(follower.deployment, run)
    problem = follower.deployment.get("problem")
    if problem and run["status"] not in ("SUCCEEDED", "FAILED", "FAILED_SETUP"):
        raise Problems(Problem.of(problem))
    if as_data:
        screen.data({"name": follower.name, "run": run, "deployment": follower.deployment})
        return int(ENDED.get(run["status"], Exit.NOT_FINISHED))
    return say_end(follower.name, run, follower.deployment)


def _say_tries(deployment: dict[str, Any], run: dict[str, Any]) -> None:
    """Which places had no room since the run was ordered."""
    since = run.get("submitted") or 0
    tries = [one for one in deployment.get("tries") or () if one["at"] >= since]
    if tries:
        screen.say(f"  {screen.plural(len(tries), 'place')} had no room:")
    for one in tries:
        screen.say(f"    {one['where']} {one['market']}: {screen.printable(one['reason'])}")


def _stop_wanted() -> bool:
    if not screen.asks():
        return False
    try:
        return screen.ask("\nstop the task, or leave it running? [stop/LEAVE]") in ("stop", "s")
    except KeyboardInterrupt:
        return False


def say_end(name: str, run: dict[str, Any], deployment: dict[str, Any]) -> int:
    """The last lines: how the run ended, what it took, what to do next."""
    from skywright.cli.cost import exact, losses

    code = ENDED.get(run["status"], Exit.NOT_FINISHED)
    good = code is Exit.FINE
    mark = screen.paint("✔" if good else "✗", screen.GREEN if good else screen.RED, sys.stderr)
    parts = [f"{mark} {name} {ending(run)}"]
    if run.get("ended") and run.get("submitted"):
        parts.append(screen.span(run["ended"] - run["submitted"]))
    parts.append(exact(deployment.get("spent") or 0))
    if run.get("preemptions"):
        parts.append(losses(run))
    screen.say(" · ".join(parts))
    if deployment.get("state") not in ("gone", "removing"):
        sky = screen.PROGRAM
        screen.say(f"  again: {sky} exec {name} …   logs: {sky} logs {name}   remove: {sky} down {name}")
    return int(code)


def ending(run: dict[str, Any]) -> str:
    """`finished, exit 0`, `failed: exit 42 on node 1`, `cancelled`."""
    status = run["status"]
    if status == "SUCCEEDED":
        return "finished, exit 0"
    if status == "CANCELLED":
        reason = run.get("reason")
        return "cancelled" + (f": {screen.printable(reason)}" if reason and reason != status.lower() else "")
    part = "setup failed" if status == "FAILED_SETUP" else "failed"
    if run.get("reason"):
        return f"{part}: {screen.printable(run['reason'])}"
    where = f" on node {run['failed_rank']}" if run.get("failed_rank") is not None else ""
    return f"{part}: exit {run.get('exit_code')}{where}"
