"""Following a run over a pretended control: output, endings, control going away, and Ctrl-C."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from compiler.problem import Problem, Problems
from skywright.cli import follow, screen
from skywright.cli.follow import Follower, settle
from skywright.control.client import Chunk


def run_data(status: str, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "run": 1,
        "name": "t",
        "status": status,
        "attempt": 1,
        "recoveries": 0,
        "submitted": 100.0,
        "started": 101.0,
        "ended": 112.0 if status in follow.ENDED else None,
        "exit_code": 0 if status == "SUCCEEDED" else None,
        "reason": None,
        "failed_rank": None,
        "ranks": [],
        "progress": None,
        "preemptions": 0,
        "lost_work_s": 0.0,
    }
    return {**base, **more}


def deployment_data(state: str, **more: Any) -> dict[str, Any]:
    return {"name": "t", "state": state, "nodes_wanted": 1, "spent": 0.0, "problem": None, **more}


def event(kind: str, text: str, **data: Any) -> dict[str, Any]:
    return {"seq": 1, "at": 100.0, "kind": kind, "text": text, "data": data}


class Control:
    """Answers of a control, one after the other; the last of each kind repeats."""

    def __init__(self, timeline: list[Any], logs: list[Any]) -> None:
        self.timeline, self.chunks = timeline, logs
        self.cancelled: list[Any] = []
        self.pause = threading.Event()

    def _next(self, answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        self.pause.wait(0.01)  # as a long poll would
        return answer

    def follow(self, name: str, after: int, wait_s: float) -> dict[str, Any]:
        events, state, run = self._next(self.timeline)
        return {
            "events": events,
            "next": after + len(events),
            "deployment": state,
            "runs": [run] if run else [],
        }

    def logs(
        self, name: str, run: int, cursor: Any, wait_s: float
    ) -> tuple[list[Chunk], dict[str, Any], bool]:
        chunks, ended = self._next(self.chunks)
        return chunks, {"at": 1}, ended

    def cancel(self, name: str, runs: list[int]) -> list[int]:
        self.cancelled.append(runs)
        self.timeline[:] = [([], deployment_data("idle"), run_data("CANCELLED", reason="cancelled"))]
        self.chunks[:] = [([], True)]
        return runs


def chunk(data: bytes, rank: int = 0) -> Chunk:
    return Chunk(rank, 1, "run", 0, data)


def following(control: Control, ranks: int = 1) -> tuple[Follower, io.BytesIO]:
    stream = io.BytesIO()
    connect: Callable[[], Any] = lambda: control  # noqa: E731
    return Follower(connect, "t", 1, ranks, stream=stream), stream


@pytest.mark.parametrize(
    ("run", "code", "says"),
    [
        (run_data("SUCCEEDED"), 0, "✔ t finished, exit 0 · 12 s · $0"),
        (run_data("FAILED", exit_code=42, failed_rank=1), 100, "✗ t failed: exit 42 on node 1"),
        (run_data("FAILED_SETUP", exit_code=3, failed_rank=0), 100, "✗ t setup failed: exit 3 on node 0"),
        (run_data("CANCELLED", reason="cancelled"), 103, "✗ t cancelled ·"),
        (
            run_data("SUCCEEDED", preemptions=2, lost_work_s=130.0),
            0,
            "2 preemptions, 2 min 10 s of work lost",
        ),
    ],
)
def test_the_ending_decides_the_exit_code(
    run: dict[str, Any], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    follower, _ = following(Control([([], deployment_data("idle"), run)], [([], True)]))
    assert settle(follower) == code
    told = capsys.readouterr()
    assert says in told.err
    assert told.out == ""


def test_output_and_timeline_go_their_ways(capsys: pytest.CaptureFixture[str]) -> None:
    control = Control(
        [
            (
                [event("resource", "node-0 is being made", type="resource", status="started")],
                deployment_data("provisioning"),
                None,
            ),
            (
                [event("resource", "node-0 made in 1 s", type="resource", status="done")],
                deployment_data("running"),
                run_data("RUNNING"),
            ),
            ([event("lost", "node-1 is lost\x1b[2J")], deployment_data("idle"), run_data("SUCCEEDED")),
        ],
        [([chunk(b"a\nb")], False), ([chunk(b"c\n"), chunk(b"x\n", 1)], False), ([], True)],
    )
    follower, stream = following(control, ranks=2)
    assert settle(follower) == 0
    assert stream.getvalue() == b"[0] a\n[0] bc\n[1] x\n"
    told = capsys.readouterr().err
    assert "being made" not in told
    assert "✔ node-0 made in 1 s" in told
    assert "! node-1 is lost" in told
    assert "\x1b" not in told


def test_control_may_go_away_for_a_while() -> None:
    away = Problems(Problem("control/unreachable", "away"))
    control = Control(
        [
            away,
            ([], deployment_data("running"), run_data("RUNNING")),
            away,
            ([], deployment_data("idle"), run_data("SUCCEEDED")),
        ],
        [([chunk(b"a\n")], False), away, ([chunk(b"b\n")], False), ([], True)],
    )
    follower, stream = following(control)
    assert settle(follower) == 0
    assert stream.getvalue() == b"a\nb\n"


def test_what_stopped_the_deployment_is_the_answer() -> None:
    problem = {"code": "cloud/capacity", "message": "no room", "hint": None, "left_behind": "nothing"}
    control = Control([([], deployment_data("failed", problem=problem), run_data("PENDING"))], [([], False)])
    follower, _ = following(control)
    with pytest.raises(Problems) as caught:
        settle(follower)
    assert caught.value.exit == 4
    assert "left behind: nothing" in str(caught.value)


def test_no_such_deployment_ends_at_once() -> None:
    gone = Problems(Problem("control/no-such-deployment", "gone"))
    follower, _ = following(Control([gone], [gone]))
    with pytest.raises(Problems):
        settle(follower)


def interrupted(follower: Follower) -> None:
    """Ctrl-C arrives when the first state is shown."""
    left = [True]

    def state(deployment: dict[str, Any], run: dict[str, Any] | None) -> None:
        if left:
            left.clear()
            raise KeyboardInterrupt

    follower.screen.state = state  # type: ignore[method-assign]


def test_ctrl_c_without_a_terminal_leaves_the_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    control = Control([([], deployment_data("running"), run_data("RUNNING"))], [([], False)])
    follower, _ = following(control)
    interrupted(follower)
    assert settle(follower) == 130
    assert control.cancelled == []
    assert "left running" in capsys.readouterr().err


def test_ctrl_c_on_a_terminal_can_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    control = Control(
        [([], deployment_data("running"), run_data("RUNNING"))], [([chunk(b"a\n")], False), ([], False)]
    )
    follower, stream = following(control)
    monkeypatch.setattr(screen, "asks", lambda: True)
    monkeypatch.setattr(screen, "ask", lambda question: "stop")
    interrupted(follower)
    assert settle(follower) == 103
    assert control.cancelled == [[1]]
    assert stream.getvalue() == b"a\n"


def test_json_tells_the_run_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    follower, _ = following(
        Control([([], deployment_data("idle"), run_data("FAILED", exit_code=3))], [([], True)])
    )
    assert settle(follower, as_data=True) == 100
    told = json.loads(capsys.readouterr().out)
    assert (told["run"]["exit_code"], told["deployment"]["state"]) == (3, "idle")
