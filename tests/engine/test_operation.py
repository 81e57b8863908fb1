"""Operations on the real engine: what they make, say, cost and leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import wait
from killpoints import Killer, Point

from stacks import backend, engine, operate, process

pytestmark = pytest.mark.engine


def test_a_deployment_lives_and_goes_without_a_trace(desk):
    preview = desk.well("preview", desk.spec(2))
    assert preview["changes"] == {"create": 2}
    assert [step["resource"] for step in preview["steps"]] == ["node-0", "node-1"]
    assert not (desk.state / ".pulumi" / "stacks").exists(), "a preview writes no state"
    assert desk.nodes() == []

    up = desk.well("up", desk.spec(2))
    assert [row["rank"] for row in up["nodes"]] == [0, 1]
    assert all(row["address"].startswith("127.") for row in up["nodes"])
    assert desk.nodes() == [(row["rank"], row["id"], True) for row in up["nodes"]]
    assert up["resources"] == 2

    again = desk.well("up", desk.spec(2))
    assert again["changes"] == {"same": 2}
    assert again["nodes"] == up["nodes"]

    down = desk.well("destroy", desk.spec(2))
    assert down["changes"] == {"delete": 2}
    assert down["resources"] == 0
    assert desk.nodes() == []
    left = [path.name for path in desk.state.rglob("*") if path.is_file()]
    assert [name for name in left if "train" in name] == []
    assert desk.well("destroy", desk.spec(2))["changes"] == {}, "what is gone may be removed again"


def test_events_tell_each_resource_while_it_happens(desk):
    folder = desk.begin("up", desk.spec())
    desk.ended(folder)
    events, end = operate.read(folder, 0)
    assert operate.read(folder, end) == ([], end)
    resources = [(e["resource"], e["op"], e["status"]) for e in events if e["type"] == "resource"]
    assert resources == [("node-0", "create", "started"), ("node-0", "create", "done")]
    steps = [(e["name"], e["status"]) for e in events if e["type"] == "step"]
    assert steps == [
        (name, status) for name in ("engine", "lease", "init", "up") for status in ("started", "done")
    ]


def test_only_the_lost_node_is_replaced(desk):
    before = desk.well("up", desk.spec(2))["nodes"]
    lost = (before[1]["id"],)
    preview = desk.well("preview", desk.spec(2), lost=lost)
    assert [(s["resource"], s["op"]) for s in preview["steps"] if s["op"] != "same"] == [
        ("node-1", "replace")
    ]
    after = desk.well("up", desk.spec(2), lost=lost)["nodes"]
    assert after[0] == before[0]
    assert after[1]["id"] != before[1]["id"]
    assert desk.nodes() == [(row["rank"], row["id"], True) for row in after]
    # Driven by what the state shows: the same wish again finds nothing that is lost.
    assert desk.well("up", desk.spec(2), lost=lost)["nodes"] == after
    assert desk.well("preview", desk.spec(2))["changes"] == {"same": 2}


def test_a_preview_gives_the_property_that_forces_a_replacement(desk):
    desk.well("up", desk.spec())
    preview = desk.well("preview", desk.spec(cpus=1.0))
    assert [(s["op"], s["reasons"]) for s in preview["steps"]] == [("replace", ["cpus"])]
    preview = desk.well("preview", desk.spec(labels={"team": "nlp"}))
    assert [(s["op"], s["reasons"]) for s in preview["steps"]] == [("update", ["labels"])]


def test_refresh_learns_that_a_node_is_gone(desk):
    from stacks import local

    node = desk.well("up", desk.spec(2))["nodes"][1]["id"]
    local.remove(node)
    assert [row["rank"] for row in desk.well("refresh", desk.spec(2))["nodes"]] == [0]
    assert desk.well("up", desk.spec(2))["changes"] == {"same": 1, "create": 1}


def test_a_resource_that_fails_says_what_is_left_and_how_to_remove_it(desk):
    result = desk.run("up", desk.spec(agent="0000"))
    assert result["problem"]["code"] == "cloud/agent-missing"
    assert "node-0" in result["problem"]["message"]
    assert result["failure"] == "not-found"
    desk.well("up", desk.spec(1))
    result = desk.run("up", desk.spec(2, agent="0000"))
    assert "invoke down train" in result["problem"]["left_behind"]
    assert desk.well("up", desk.spec(2))["resources"] == 2


def test_sigterm_ends_the_operation_cleanly_and_it_can_be_repeated(desk):
    folder = desk.begin("up", desk.spec(2))

    def creating():
        return [e for e in operate.read(folder, 0)[0] if e["type"] == "step" and e["name"] == "up"]

    wait(creating)
    operate.stop(folder)
    result = desk.ended(folder)
    assert result is not None
    assert result["ok"] or result["problem"]["code"] == "engine/stopped"
    assert desk.locks() == []
    up = desk.well("up", desk.spec(2))
    assert desk.nodes() == [(row["rank"], row["id"], True) for row in up["nodes"]]


def test_no_environment_stays_in_the_folder_and_no_passphrase_in_the_state(desk):
    folder = desk.begin("up", desk.spec(), env={"PULUMI_CONFIG_PASSPHRASE": "tell-nobody"})
    desk.ended(folder)
    assert json.loads((folder / "request.json").read_text())["env"] == {}
    texts = [
        path.read_bytes() for path in desk.root.rglob("*") if path.is_file() and path.stat().st_size < 1e6
    ]
    assert not any(b"tell-nobody" in text for text in texts)
    assert (folder / "request.json").stat().st_mode & 0o077 == 0


def test_two_at_once_on_one_stack_are_told_apart(desk):
    first = desk.begin("up", desk.spec())
    wait(lambda: any(e.get("name") == "up" for e in operate.read(first, 0)[0]))
    wait(lambda: any(e["type"] == "resource" for e in operate.read(first, 0)[0]))
    who = operate.owner(first)
    os.kill(who.pid, signal.SIGSTOP)
    try:
        second = desk.run("up", desk.spec())
        assert second["problem"]["code"] == "lock/held"
        assert str(who.pid) in second["problem"]["message"]
        assert "up of train" in second["problem"]["message"]
        other = desk.well("up", desk.spec(deployment="other"))
        assert len(other["nodes"]) == 1
    finally:
        os.kill(who.pid, signal.SIGCONT)
    assert desk.ended(first)["ok"]


def test_an_operation_whose_lease_was_taken_kills_its_engine_also_one_that_does_not_answer(desk):
    folder = desk.begin("up", desk.spec())
    path = desk.state / ".skywright" / "leases" / "proj" / "train-local.json"
    wait(lambda: any(e.get("name") == "up" for e in operate.read(folder, 0)[0]))
    for who in wait(lambda: engine.leftovers(desk.mark)):
        process.send(who, signal.SIGSTOP)
    path.unlink()
    result = desk.ended(folder)
    assert result["problem"]["code"] == "lock/lost"
    assert engine.leftovers(desk.mark) == []


def test_starting_a_folder_twice_does_the_work_once(desk):
    folder = desk.begin("up", desk.spec())
    first = operate.owner(folder)
    second = operate.start(operate.Request("x", operate.Kind.UP, desk.spec()), folder)
    wait(lambda: not process.alive(first) and not process.alive(second))
    assert operate.result(folder)["ok"]
    assert len(desk.nodes()) == 1


def test_what_the_provider_cannot_delete_needs_a_purge(desk, tmp_path: Path):
    desk.well("up", desk.spec())
    at = 1 + ["GetPluginInfo", "Configure", "Delete"].index("Delete")

    def broken(name: str) -> dict[str, str]:
        return Killer(tmp_path / name, Point(at, "before", ("provider",))).env

    result = desk.run("destroy", desk.spec(), env=broken("one"))
    assert not result["ok"]
    assert "invoke down train" in result["problem"]["left_behind"]
    assert len(desk.nodes()) == 1
    assert desk.well("destroy", desk.spec(), env=broken("two"), purge=True)["resources"] == 0
    assert desk.nodes() == []
    assert desk.well("up", desk.spec())["changes"] == {"create": 1}


PROBLEMS = {
    "engine/no-secrets-provider": lambda root: {"PULUMI_BACKEND_URL": f"file://{root}"},
    "engine/backend-unreachable": lambda root: {
        "PULUMI_BACKEND_URL": f"file://{root}/absent",
        "PULUMI_CONFIG_PASSPHRASE": "x",
    },
}


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_backend_that_cannot_work_is_one_problem(desk, tmp_path: Path, code):
    for kind in ("preview", "up"):
        result = desk.run(kind, desk.spec(), env=PROBLEMS[code](tmp_path))
        assert result["problem"]["code"] == code
        assert (result["resources"], result["problem"]["left_behind"]) == (0, None)
    assert desk.nodes() == []


def test_a_wrong_passphrase_before_anything_exists_leaves_nothing_behind(desk, tmp_path: Path):
    result = desk.run("up", desk.spec(), env={"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "absent")})
    assert not result["ok"]
    assert (result["resources"], result["problem"]["left_behind"]) == (0, None)


def test_a_wrong_passphrase_is_told(desk):
    desk.well("up", desk.spec(), env={"PULUMI_CONFIG_PASSPHRASE": "one"})
    result = desk.run("up", desk.spec(2), env={"PULUMI_CONFIG_PASSPHRASE": "another"})
    assert result["problem"]["code"] == "engine/wrong-passphrase"
    assert len(desk.nodes()) == 1


def test_a_state_server_that_does_not_answer_is_told(desk):
    env = {"PULUMI_BACKEND_URL": "postgres://127.0.0.1:9/none", "PULUMI_CONFIG_PASSPHRASE": "x"}
    assert desk.run("up", desk.spec(), env=env)["problem"]["code"] == "engine/backend-unreachable"


def test_a_folder_of_ones_own_serves_as_backend(desk, tmp_path: Path):
    shared = tmp_path / "shared"
    shared.mkdir()
    env = {"PULUMI_BACKEND_URL": f"file://{shared}", "PULUMI_CONFIG_PASSPHRASE": "x"}
    desk.well("up", desk.spec(), env=env)
    assert (shared / ".pulumi" / "stacks" / "proj" / "train-local.json").exists()
    assert (shared / ".skywright" / "leases" / "proj" / "train-local.json").exists()
    desk.well("destroy", desk.spec(), env=env)
    assert desk.nodes() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A home on a file system of 2 MB."""
    place = tmp_path / "home"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, free: int) -> Path:
    """Leave `free` bytes; the file to remove for the rest."""
    ballast = disk / "ballast"
    facts = os.statvfs(disk)
    ballast.write_bytes(b"x" * max(0, facts.f_bavail * facts.f_frsize - free))
    return ballast


@pytest.mark.fault("disk full")
@pytest.mark.parametrize("free", [0, 32768])
def test_a_full_disk_is_one_problem_and_does_not_keep_nodes_from_being_removed(
    small_disk: Path, desk, free: int
):
    desk.well("up", desk.spec())
    ballast = fill(small_disk, free)
    problem = desk.run("up", desk.spec(2))["problem"]
    assert problem["code"] == "machine/disk-full"
    assert str(small_disk) in problem["message"]
    assert "SKYWRIGHT_HOME" in problem["hint"]
    ballast.unlink()
    fill(small_disk, free)
    assert desk.well("destroy", desk.spec())["resources"] == 0
    assert desk.nodes() == []
    ballast.unlink()
    assert desk.well("up", desk.spec(2))["changes"] == {"create": 2}


@pytest.mark.fault("disk full")
def test_a_state_that_was_cut_off_by_a_full_disk_is_put_back(desk):
    """What the engine does there: it puts what it could write of the state in the place of the whole one."""
    before = desk.well("up", desk.spec())["nodes"]
    path = desk.state / ".pulumi" / "stacks" / "proj" / "train-local.json"
    backend.keep(desk.state, "proj", "train-local")
    content = path.read_bytes()
    draft = path.with_suffix(".draft")
    draft.write_bytes(content[: len(content) // 2])
    draft.replace(path)
    assert desk.well("up", desk.spec(2))["nodes"][0] == before[0]
    assert not list((desk.state / ".skywright" / "kept").iterdir())


def test_what_a_node_could_not_be_made_for_is_said_once_in_our_words(desk):
    folder = desk.begin("up", desk.spec(2, agent="absent"))
    result = desk.ended(folder)
    told = [
        e["text"] for e in operate.read(folder, 0)[0] if e["type"] == "diagnostic" and "absent" in e["text"]
    ]
    assert told == ["the agent absent that this stack was compiled with is not on this machine"]
    assert result["problem"]["code"] == "cloud/agent-missing"
    assert result["problem"]["message"].count("absent") == 1
    assert "rpc error" not in json.dumps(result["problem"])
    assert result["failure"] == "not-found"
    assert (result["resources"], result["problem"]["left_behind"]) == (0, None)


def test_a_moved_interpreter_refreshes_the_provider_in_the_cache(desk):
    desk.well("preview", desk.spec())
    (plugin,) = (desk.root / "home" / "pulumi" / "plugins").glob("*/pulumi-resource-skywright")
    good = plugin.read_bytes()
    plugin.write_text("#!/nowhere/python\n")
    desk.well("preview", desk.spec())
    assert plugin.read_bytes() == good
