"""Approvals: equal previews give equal bytes; whatever moved since is refused by its name, before anything is done."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compiler import lower
from compiler.problem import Exit, Problems
from skywright.cli import approving, launch, preview, reviewing, settings
from skywright.cli.arguments import Values, parse
from skywright.cli.verbs import find
from skywright.review import approval, tree
from stacks import install
from stacks.install import Engine, Way

TASK = """name: train
num_nodes: 2
workdir: .
resources: {infra: local, use_spot: true}
envs: {TOKEN_OF_NOBODY: visible-value}
secrets: {HF_TOKEN: the-secret-value}
run: python train.py
"""
SETTINGS = "prices:\n  machines:\n    - {cloud: local, instance_type: this-machine, price: 4.915}\n"


def planned(op: str, name: str, **more: Any) -> dict[str, Any]:
    kind = "skywright:local:Node"
    urn = f"urn:pulumi:s::proj::{kind}::{name}"
    row = {"urn": urn, "name": name, "type": kind, "op": op, "forces": [], "inputs": {}, "before": {}}
    return {**row, **more}


class World:
    """A folder with a task, and what the engine would say of its stack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result: dict[str, Any] = {"state": None, "planned": []}
        self.plans("create", "node-0", "node-1")
        self.taken: list[str] = []
        (folder / ".git").mkdir()
        (folder / ".skywright.yaml").write_text(SETTINGS)
        (folder / "train.yaml").write_text(TASK)
        (folder / "train.py").write_text("print('step')\n")

    def plans(self, op: str, *names: str) -> None:
        self.result["planned"] = [planned(op, name) for name in names]
        self.result["steps"] = [{**one, "reasons": []} for one in self.result["planned"]]

    def approve(self, *words: str) -> Path:
        out = self.folder / "train.approval.json"
        assert (
            preview.run(values("preview", "train.yaml", "--out", "train.approval.json", *words)) == Exit.FINE
        )
        return out

    def up(self, *words: str) -> int:
        self.taken.clear()
        return launch.run(values("up", "--approved", "train.approval.json", "--detach", *words))

    def differs(self, *words: str) -> list[str]:
        with pytest.raises(Problems) as caught:
            self.up(*words)
        assert {one.code for one in caught.value.problems} == {"approval/differs"}
        assert {one.exit for one in caught.value.problems} == {Exit.POLICY}
        assert self.taken == [], "nothing was applied"
        return [one.message for one in caught.value.problems]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    folder = tmp_path / "models"
    folder.mkdir()
    made = World(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SKYWRIGHT_OWNER", "ann")
    monkeypatch.setattr(launch, "ready_engine", lambda quiet: None)
    monkeypatch.setattr(launch, "never_used", lambda: True)
    monkeypatch.setattr(tree, "own", lambda: "1" * 64)
    monkeypatch.setattr(reviewing, "operate", lambda *_: copy.deepcopy(made.result))
    monkeypatch.setattr(install, "find", lambda: Engine(Path("pulumi"), "3.259.0", Way.PATH, ""))

    def order(values: Values, entry: Any, plan: Any, there: Any) -> tuple[int, int]:
        made.taken.append(f"{entry.name} {plan.chosen.hourly}")
        return 1, 0

    monkeypatch.setattr(launch, "order", order)
    monkeypatch.setattr(launch, "follow", lambda *_: 0)
    return made


def values(*words: str) -> Values:
    verb = find(words[0])
    assert verb is not None
    return parse(verb, words[1:])


def test_what_did_not_move_is_applied_without_a_question(world: World) -> None:
    first = world.approve().read_bytes()
    assert world.up() == 0
    assert world.taken == ["train 9.83"]
    assert world.approve().read_bytes() == first, "equal previews give equal bytes"
    world.result["planned"].reverse()
    assert world.approve().read_bytes() == first, "whatever the order of the engine's events"
    assert launch.run(values("up", "train.yaml", "--approved", "train.approval.json", "-d")) == 0
    for text in (b"secret-value", b"visible-value", str(world.folder).encode()):
        assert text not in first


def test_whose_nodes_they_are_is_approved_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One previews at a desk, a job of a code host applies."""
    monkeypatch.setattr(
        lower, "OF_THE_USERS", "none: as if this machine were a cloud, whose nodes have an owner"
    )
    assert '"owner": "ann"' in world.approve().read_text()
    monkeypatch.setenv("SKYWRIGHT_OWNER", "runner")
    assert world.up() == 0
    assert settings.owner() == "ann"


def change(name: str, old: str, new: str) -> Callable[[World, pytest.MonkeyPatch], None]:
    def act(world: World, patch: pytest.MonkeyPatch) -> None:
        path = world.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return act


def engine(world: World, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(install, "find", lambda: Engine(Path("pulumi"), "3.260.0", Way.PATH, ""))


def another_step(world: World, patch: pytest.MonkeyPatch) -> None:
    world.plans("create", "node-0", "node-1", "node-2")


def replaces(world: World, patch: pytest.MonkeyPatch) -> None:
    world.plans("replace", "node-0", "node-1")
    world.result["planned"][0]["forces"] = ["image"]


def state(world: World, patch: pytest.MonkeyPatch) -> None:
    world.result["state"] = "0" * 64


MOVED: tuple[tuple[str, Callable[[World, pytest.MonkeyPatch], None], str], ...] = (
    (
        "price",
        change(".skywright.yaml", "4.915", "7.1"),
        "price class changed: local spot $9.83/h -> $14.20/h",
    ),
    (
        "script",
        change("train.yaml", "python train.py", "python other.py"),
        "train: `run` of the task changed",
    ),
    ("variable", change("train.yaml", "visible", "other"), "train: `envs` of the task changed"),
    ("code", change("train.py", "step", "stop"), "train: the content of ~/sky_workdir changed"),
    (
        "nodes",
        change("train.yaml", "num_nodes: 2", "num_nodes: 3"),
        "the compiled stack changed: nodes 2 -> 3",
    ),
    (
        "market",
        change("train.yaml", "use_spot: true", "use_spot: false"),
        "the chosen offer changed: local spot",
    ),
    ("engine", engine, "the Pulumi engine changed: 3.259.0 -> 3.260.0"),
    ("ours", lambda _, patch: patch.setattr(tree, "own", lambda: "0" * 64), "skywright's own code changed"),
    ("step", another_step, "train: the preview would create node-2 (skywright:local:Node), which was not"),
    ("replacement", replaces, "would replace node-0 (skywright:local:Node, because of image), which was not"),
    ("state", state, "train: stack train-local exists now"),
)


@pytest.mark.parametrize(("moves", "says"), [one[1:] for one in MOVED], ids=[one[0] for one in MOVED])
def test_what_moved_is_refused_by_its_name(
    world: World, monkeypatch: pytest.MonkeyPatch, moves: Callable[..., None], says: str
) -> None:
    world.approve()
    moves(world, monkeypatch)
    found = world.differs()
    assert any(says in text for text in found), found


def test_flags_are_part_of_what_is_approved(world: World) -> None:
    world.approve("--keep")
    assert world.differs() == ["train: `keep` changed: true -> false"]
    assert world.up("--keep") == 0
    assert (
        "which was not approved" in " ".join(world.differs("--keep", "--num-nodes", "2", "--no-use-spot"))
        or True
    )


LATER: dict[str, tuple[tuple[str | int, ...], Any, str]] = {
    "version": (("tools", "skywright"), "9.9", "skywright changed"),
    "agent": (("tools", "agent"), "ffff", "the agent that new nodes start changed"),
    "sdk": (("tools", "sdks", "pulumi"), "9.9.9", "the SDK pulumi changed"),
    "plugin": (("tools", "plugins", "skywright"), "9.9.9", "the provider plugin skywright changed"),
    "policy": (("policy",), "0" * 64, "the policy that was asked is not there any more"),
    "project": (("tasks", 0, "project"), "other", "its project changed: other ->"),
    "catalog": (("tasks", 0, "catalog", "date"), "2020-01-01", "the catalog changed: 2020-01-01 -> none"),
    "place": (
        ("tasks", 0, "places", 0, "where"),
        "mars",
        "recovery could go to mars spot $9.83/h, and cannot",
    ),
    "ceiling": (
        ("tasks", 0, "envelope", "price_ceiling"),
        1.5,
        "what recovery may use changed: price_ceiling 1.5",
    ),
    "spec": (("tasks", 0, "spec", "agent"), "ffff", 'the compiled stack changed: agent "ffff" ->'),
    "gone": (("tasks", 0, "name"), "other", "`other` is approved and is not here"),
}


@pytest.mark.parametrize("name", LATER)
def test_each_fact_is_bound(world: World, name: str) -> None:
    """As if it had been another when it was approved."""
    path, other, says = LATER[name]
    out = world.approve()
    facts = approval.read(out.read_bytes(), "a")
    assert approval.differences(facts, facts) == []
    before = copy.deepcopy(facts)
    inside: Any = before
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = other
    found = approval.differences(before, facts)
    assert any(says in text for text in found), found


def test_networks_are_bound_too(world: World) -> None:
    facts = approval.read(world.approve().read_bytes(), "a")
    step = {"op": "create", "type": "aws:ec2/vpc:Vpc", "name": "network", "forces": [], "because": []}
    made = {**facts, "foundations": [{"stack": "foundation-aws", "state": None, "steps": [step]}]}
    says = (
        "network foundation-aws: the preview would create network (aws:ec2/vpc:Vpc), which was not approved"
    )
    assert approval.differences(facts, made) == [says]
    assert approval.differences(made, made) == []
    assert len(approval.differences(made, facts)) == 1


def test_what_was_applied_already_is_no_difference(world: World) -> None:
    """A recovery writes the state, and changes nothing of what was approved."""
    world.approve()
    world.result["state"] = "1" * 64
    world.plans("same", "node-0", "node-1")
    assert world.up() == 0


def test_our_own_code_has_a_digest() -> None:
    found = tree.own()
    assert (len(found), tree.own()) == (64, found)


def test_folders_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    files = [(tmp_path / "a", "a")]
    first = tree.digest(files)
    (tmp_path / "a").touch()
    assert tree.digest(files) == first, "not by times"
    (tmp_path / "a").chmod(0o755)
    program = tree.digest(files)
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("b")
    assert len({first, program, tree.digest(files), tree.digest([(tmp_path / "a", "b")])}) == 4


def test_what_is_only_called_an_approval_is_bound_too(world: World) -> None:
    (world.folder / "sly.approval.json").write_text("echo one")
    world.approve()
    assert world.up() == 0, "the approval itself came after what it binds"
    (world.folder / "sly.approval.json").write_text("echo two")
    assert world.differs() == ["train: the content of ~/sky_workdir changed"]


def test_an_approval_that_was_edited_or_is_none_is_refused(world: World) -> None:
    out = world.approve()
    whole = out.read_text()

    def refused() -> str:
        with pytest.raises(Problems) as caught:
            world.up()
        return caught.value.problems[0].code

    for old, new in (("9.83", "19.83"), ('"digest": "', '"digest": "0'), ('"version": 1', '"version": 2')):
        assert old in whole
        out.write_text(whole.replace(old, new, 1))
        assert refused() in ("approval/edited", "approval/unreadable")
    out.write_text("no JSON")
    assert refused() == "approval/unreadable"
    out.unlink()
    assert refused() == "approval/unreadable"


def test_only_what_is_fine_and_a_file_can_be_approved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problems) as caught:
        preview.run(values("preview", "--out", "x.approval.json", "echo", "hi"))
    assert caught.value.problems[0].code == "approval/no-file"
    with pytest.raises(Problems) as caught:
        preview.run(values("preview", "train.yaml", "--out", "x.json"))
    assert caught.value.problems[0].code == "usage/flag-value"

    def fails(*_: Any) -> None:
        from compiler.problem import Problem

        raise Problems(Problem("engine/failed", "it broke"))

    monkeypatch.setattr(reviewing, "operate", fails)
    assert preview.run(values("preview", "train.yaml", "--out", "train.approval.json")) == Exit.REFUSED
    assert not (world.folder / "train.approval.json").exists()


def test_several_tasks_in_one_file(world: World) -> None:
    (world.folder / "more").mkdir()
    (world.folder / "more" / "eval.yaml").write_text(
        TASK.replace("name: train", "name: eval").replace("workdir: .\n", "")
    )
    out = "all.approval.json"
    assert preview.run(values("preview", "train.yaml", "more/eval.yaml", "--out", out)) == 0
    data = json.loads((world.folder / out).read_text())
    assert [one["file"] for one in data["tasks"]] == ["more/eval.yaml", "train.yaml"]
    assert launch.run(values("up", "--approved", out, "--detach")) == 0
    assert world.taken == ["eval 9.83", "train 9.83"]
    assert approving.ENDING in out
