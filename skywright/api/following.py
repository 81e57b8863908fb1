"""Handle: one accepted run. Waits for it, streams its output; `get` and `stream_and_get` do the same by name."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TextIO, TypedDict, TypeVar, cast, overload

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from skywright.control.client import Client

T = TypeVar("T")

WAIT_S = 20.0
LOG_WAIT_S = 1.0


class Run(TypedDict):
    """One run. `status` is PENDING, SETTING_UP, RUNNING, RECOVERING, SUCCEEDED, FAILED, FAILED_SETUP or CANCELLED.

    `submitted`, `started` and `ended` are seconds since 1970; `lost_work_s` is seconds; `exit_code` is that of
    the first rank that failed, `failed_rank`; None is not known (yet).
    """

    run: int
    name: str
    status: str
    attempt: int
    recoveries: int
    submitted: float | None
    started: float | None
    ended: float | None
    exit_code: int | None
    reason: str | None
    failed_rank: int | None
    ranks: list[dict[str, Any]]
    progress: dict[str, Any] | None
    preemptions: int
    lost_work_s: float


@dataclass(frozen=True, slots=True)
class Handle:
    """Run number `run` of the deployment `name`, accepted by control. It goes on when this program ends."""

    name: str
    run: int

    @property
    def cluster_name(self) -> str:
        """The deployment, by SkyPilot's word."""
        return self.name

    @property
    def job_id(self) -> int:
        """The run, by SkyPilot's word."""
        return self.run

    def status(self) -> Run:
        """The run as it is now. Raises Problems control/no-such-deployment, run/no-such-run."""
        found = next((one for one in _connect().runs(self.name) if one["run"] == self.run), None)
        if found is None:
            raise Problems(Problem("run/no-such-run", f"`{self.name}` has no run {self.run}"))
        return cast(Run, found)

    def wait(self, timeout_s: float | None = None) -> Run:
        """The run when it has ended; how it ended is in `status` and `exit_code`.

        Raises Problems of the deployment when the run never began (no capacity, a stack that failed), and
        TimeoutError after `timeout_s` seconds; the run goes on then.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        client, after = _connect(), 0
        while True:
            left = WAIT_S if until is None else max(0.0, until - time.monotonic())
            answer = client.follow(self.name, after, min(WAIT_S, left))
            after = answer["next"]
            ended = self._ended(answer)
            if ended is not None:
                return ended
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"run {self.run} of {self.name} has not ended after {timeout_s:g} s")

    def stream(self, stream: TextIO | None = None) -> Run:
        """Write the output of setup and run to `stream` (default stdout) as it comes; the run when it has ended.

        Raises as `wait` does. With several nodes every line begins with its rank, `[0] `.
        """
        from skywright.cli.output import Output

        client = _connect()
        output = Output(client.deployment(self.name)["nodes_wanted"], bytes_of(stream or sys.stdout))
        cursor: dict[str, Any] | None = None
        ended = False
        try:
            while not ended:
                chunks, cursor, ended = client.logs(self.name, self.run, cursor, LOG_WAIT_S)
                for chunk in chunks:
                    output.write(chunk.rank, chunk.attempt, chunk.data)
                if not ended and not chunks and self._never_runs(client):
                    break
        finally:
            output.end()
        return self.wait()

    def _never_runs(self, client: Client) -> bool:
        """Is the deployment gone or failed, so that no more output can come?"""
        return client.deployment(self.name)["state"] in ("gone", "failed")

    def _ended(self, answer: dict[str, Any]) -> Run | None:
        from skywright.cli.follow import ENDED

        deployment = answer["deployment"]
        run = next((one for one in answer["runs"] if one["run"] == self.run), None)
        if run is None:
            raise Problems(Problem("run/no-such-run", f"`{self.name}` has no run {self.run}"))
        over = run["status"] in ENDED
        if not over and not (deployment["state"] in ("failed", "gone") and run["status"] == "PENDING"):
            return None
        problem = deployment.get("problem")
        if problem and run["status"] not in ("SUCCEEDED", "FAILED", "FAILED_SETUP"):
            raise Problems(Problem.of(problem))
        return cast(Run, {**run, "status": run["status"] if over else "CANCELLED"})


@overload
def get(asked: Handle, timeout_s: float | None = None) -> Run: ...
@overload
def get(asked: T, timeout_s: float | None = None) -> T: ...
def get(asked: Any, timeout_s: float | None = None) -> Any:
    """Wait for the run or the job of a handle, as its `wait`; anything else is an answer already, and given back."""
    from skywright.api.jobs import JobHandle

    return asked.wait(timeout_s) if isinstance(asked, (Handle, JobHandle)) else asked


@overload
def stream_and_get(asked: Handle, output_stream: TextIO | None = None) -> Run: ...
@overload
def stream_and_get(asked: T, output_stream: TextIO | None = None) -> T: ...
def stream_and_get(asked: Any, output_stream: TextIO | None = None) -> Any:
    """As `get`, with the run's output on `output_stream` (default stdout) meanwhile."""
    return asked.stream(output_stream) if isinstance(asked, Handle) else asked


class _Text:
    """Bytes onto a stream of text. A character that comes in two pieces is written when it is whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decode: Callable[[bytes], str] = codecs.getincrementaldecoder("utf-8")("replace").decode

    def write(self, data: bytes) -> int:
        self._stream.write(self._decode(data))
        return len(data)

    def flush(self) -> None:
        self._stream.flush()


def bytes_of(stream: TextIO) -> IO[bytes]:
    binary = getattr(stream, "buffer", None)
    if binary is None:
        return cast("IO[bytes]", _Text(stream))
    stream.flush()
    return cast("IO[bytes]", binary)


def _connect() -> Client:
    from skywright.cli.launch import connect

    return connect()
