"""The engine's own words, as it says them today, become the right Problems; a session without an operation."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest
from desk import wait

from compiler.problem import Problem, Problems
from stacks import OURS, backend, engine, operate, plugins, process, refusal
from stacks.cloud import Failure
from stacks.engine import Session
from stacks.events import Listener
from stacks.refusal import Refused
from stacks.state import State

pytestmark = pytest.mark.engine


def cloud_that(build, monkeypatch) -> str:
    module = types.ModuleType("cloud_of_a_test")
    module.build = build  # type: ignore[attr-defined]
    module.configured = lambda: True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(OURS, "pretended", module.__name__)
    return "pretended"


@pytest.fixture
def session(desk, cli, tmp_path: Path):
    def make(**changes) -> Session:
        return Session(cli.path, desk.spec(**changes), backend.settle({}), tmp_path / "work")

    return make


def test_a_stack_is_made_read_and_removed(session):
    one = session()
    assert one.state() is None
    one.init()
    state = one.state()
    assert state is not None
    assert (state.counted, state.pending) == ((), ())
    assert "encryptionsalt" in state.encryption()
    one.remove()
    assert one.state() is None


def test_pending_operations_are_cleared_by_giving_the_state_back(desk, session):
    one = session()
    one.init()
    path = desk.state / ".pulumi" / "stacks" / "proj" / "train-local.json"
    checkpoint = json.loads(path.read_text())
    node = {"urn": URN.format(0), "custom": True, "type": "skywright:local:Node"}
    checkpoint["checkpoint"]["latest"]["pending_operations"] = [{"type": "creating", "resource": node}]
    path.write_text(json.dumps(checkpoint))
    state = one.state()
    assert state.pending == ("creating",)
    one.restore(state.settled())
    assert one.state().pending == ()


def test_half_written_files_of_a_killed_engine_do_not_hide_the_state(desk, tmp_path: Path):
    shared = tmp_path / "shared"
    shared.mkdir()
    env = {"PULUMI_BACKEND_URL": f"file://{shared}", "PULUMI_CONFIG_PASSPHRASE": "x"}
    desk.well("up", desk.spec(), env=env)
    stacks = shared / ".pulumi" / "stacks" / "proj"
    (stacks / "train-local.json.attrs").write_bytes(b"")
    (stacks / "train-local.json.18ea.tmp").write_text("{")
    lease = shared / ".skywright" / "leases" / "proj" / "train-local.json"
    lease.write_text(json.dumps(json.loads(lease.read_text()) | {"dirty": True}))
    assert desk.well("up", desk.spec(), env=env)["changes"] == {"same": 1}
    assert list(stacks.glob("*.tmp")) == []


def test_what_a_program_raises_is_a_problem(session, monkeypatch):
    def fails(spec) -> None:
        raise ZeroDivisionError("in a cloud's file")

    one = session(cloud=cloud_that(fails, monkeypatch))
    one.init()
    with pytest.raises(Problems) as refused:
        one.preview(lambda event: None)
    (problem,) = refused.value.problems
    assert problem.code == "engine/program-failed"
    assert "ZeroDivisionError: in a cloud's file" in problem.message

    def refuses(spec) -> None:
        raise Problems(Problem("cloud/quota", "no"))

    one = session(cloud=cloud_that(refuses, monkeypatch))
    with pytest.raises(Problems) as refused:
        one.up(lambda event: None)
    assert refused.value.problems[0].code == "cloud/quota", "a cloud's own words stay as they are"


def test_a_lock_of_somebody_elses_pulumi_is_left_alone(desk):
    desk.well("up", desk.spec())
    lock = desk.state / ".pulumi" / "locks" / "organization" / "proj" / "train-local" / "x.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(
        '{"pid": 1, "username": "ann", "hostname": "elsewhere", "timestamp": "2026-01-01T00:00:00Z"}'
    )
    result = desk.run("up", desk.spec())
    assert result["problem"]["code"] == "lock/engine-lock"
    assert "ann@elsewhere" in result["problem"]["message"]
    assert lock.exists()


def test_a_provider_that_does_not_start_is_told(desk, tmp_path: Path):
    broken = tmp_path / "path"
    broken.mkdir()
    (broken / "pulumi-resource-skywright").write_text("#!/bin/sh\nexit 3\n")
    (broken / "pulumi-resource-skywright").chmod(0o755)
    result = desk.run("preview", desk.spec(), env={"PATH": f"{broken}:/usr/bin:/bin"})
    assert result["problem"]["code"] == "engine/plugin-missing", result["problem"]


def test_a_pulumi_server_that_does_not_answer_is_told(desk):
    env = {"PULUMI_BACKEND_URL": "https://127.0.0.1:9", "PULUMI_ACCESS_TOKEN": "x"}
    result = desk.run("preview", desk.spec(), env=env)
    assert result["problem"]["code"] == "engine/backend-unreachable", result["problem"]


def test_an_engine_is_ended_with_what_it_started(desk):
    folder = desk.begin("up", desk.spec())
    wait(lambda: any(e.get("name") == "up" for e in operate.read(folder, 0)[0]))
    family = wait(
        lambda: [who for who in engine.leftovers(desk.mark) if len(engine.leftovers(desk.mark)) > 1]
    )
    process.end(operate.owner(folder))
    engine.end_leftovers(desk.mark, None)
    assert engine.leftovers(desk.mark) == []
    assert not any(process.alive(who) for who in family)
    desk.well("up", desk.spec())


def test_the_plugin_is_kept_once_by_its_exact_version(tmp_path: Path):
    first = plugins.keep(tmp_path)
    (executable,) = first.iterdir()
    inode = executable.stat().st_ino
    assert plugins.keep(tmp_path) == first
    assert executable.stat().st_ino == inode, "what is right is not written again"
    assert [path.name for path in (tmp_path / "plugins").iterdir()] == [first.name]


class Sorting:
    """A cloud that knows one word."""

    @staticmethod
    def sort(error: str) -> Failure:
        return Failure.CAPACITY if "InsufficientCapacity" in error else Failure.OTHER


URN = "urn:pulumi:s::p::aws:ec2/instance:Instance::node-{}"


@pytest.mark.parametrize(
    ("errors", "text", "code", "failure"),
    [
        ([(URN.format(1), "InsufficientCapacity in us-west-2c")], "", "cloud/capacity", Failure.CAPACITY),
        ([(URN.format(1), "the instance broke")], "", "engine/resource-failed", Failure.OTHER),
        ([], "error: write /x/y: no space left on device", "machine/disk-full", None),
        ([], "error: getting secrets manager: incorrect passphrase", "engine/wrong-passphrase", None),
        ([], "error: something new", "engine/failed", None),
    ],
)
def test_refusals_are_sorted(errors, text, code, failure):
    problem, sorted_as = refusal.problem(Refused("up", text), errors, Sorting)  # type: ignore[arg-type]
    assert (problem.code, sorted_as) == (code, failure)


def test_what_our_provider_says_comes_out_once_as_it_was_said():
    text = "InsufficientCapacity: desc = [machine/disk-full] no space left on the disk that holds /x\nhint: free some"
    errors = [(URN.format(rank), f"{text}\n{text}") for rank in (0, 1)]
    again = Refused("up", f"{text}\nno space left on device")
    problem, sorted_as = refusal.problem(again, errors, Sorting)  # type: ignore[arg-type]
    assert problem.code == "machine/disk-full"
    assert problem.message == "node-0: no space left on the disk that holds /x (and 1 more)"
    assert problem.hint == "free some"
    assert sorted_as is Failure.CAPACITY


def test_several_failing_resources_are_counted():
    errors = [(URN.format(rank), f"broke {rank}") for rank in (1, 2, 3)]
    problem, _ = refusal.problem(Refused("up", ""), errors, Sorting)  # type: ignore[arg-type]
    assert problem.message == "node-1: broke 1 (and 2 more)"


def test_a_replacement_counts_once_and_its_parts_are_shown():
    rows: list[dict] = []
    listener = Listener(rows.append)
    metadata = {"urn": URN.format(1), "type": "aws:ec2/instance:Instance", "keys": ["ami"]}
    for op in ("delete-replaced", "replace", "create-replacement"):
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            listener.hear({kind: {"metadata": {**metadata, "op": op}}})
    assert listener.changes == {"replace": 1}
    assert [(row["op"], row["status"]) for row in rows] == [
        ("delete", "started"),
        ("delete", "done"),
        ("replace", "started"),
        ("replace", "done"),
    ]
    assert listener.steps[0]["reasons"] == ["ami"]


def test_what_waits_to_be_deleted_is_known_but_is_no_node():
    def node(rank: int, identity: str, **more) -> dict:
        return {
            "urn": URN.format(rank),
            "type": "t",
            "id": identity,
            "outputs": {"address": "10.0.0.1"},
            **more,
        }

    state = State.from_data(
        {"deployment": {"resources": [node(1, "new"), node(1, "old", delete=True), node(0, "zero")]}}
    )
    assert state.ids == {"new", "old", "zero"}
    assert [(row["rank"], row["id"]) for row in state.nodes()] == [(0, "zero"), (1, "new")]
    assert state.urns(["old", "zero"]) == [URN.format(0)]
