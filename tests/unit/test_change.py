"""What each changed field means for a deployment that lives."""

from __future__ import annotations

from dataclasses import replace

import pytest

import schemas
from compiler.change import Meaning, changes, meaning, worst
from compiler.load import load
from compiler.task import Task

BASE = """
name: t
num_nodes: 2
resources: {infra: aws/us-west-2, accelerators: A100:8, cpus: 8, memory: 16, disk_size: 100, labels: {a: b}}
envs: {A: x}
secrets: {S: one}
workdir: .
file_mounts: {/a: b}
setup: one
run: one
"""


def task(text: str = BASE) -> Task:
    return load(text.encode(), "t.yaml", clouds=("local", "aws"))


@pytest.mark.parametrize(
    ("old", "new", "field", "meaning"),
    [
        ("name: t", "name: u", "name", Meaning.IN_PLACE),
        ("run: one", "run: two", "run", Meaning.RESTARTS),
        ("setup: one", "setup: two", "setup", Meaning.RESTARTS),
        ("A: x", "A: y", "envs", Meaning.RESTARTS),
        ("workdir: .", "workdir: ..", "workdir", Meaning.RESTARTS),
        ("/a: b", "/a: c", "file_mounts", Meaning.RESTARTS),
        ("run: one", "run: one\ncheckpoint: ~/ck", "checkpoint", Meaning.RESTARTS),
        ("num_nodes: 2", "num_nodes: 3", "num_nodes", Meaning.RESTARTS),
        ("S: one", "S2: one", "secrets", Meaning.RESTARTS),
        ("a: b", "a: c", "resources.labels", Meaning.IN_PLACE),
        ("cpus: 8", "autostop: 5, cpus: 8", "resources.autostop", Meaning.IN_PLACE),
        ("cpus: 8", "cpus: 4", "resources.cpus", Meaning.REPLACES_NODES),
        ("memory: 16", "memory: 8", "resources.memory", Meaning.REPLACES_NODES),
        ("disk_size: 100", "disk_size: 99", "resources.disk_size", Meaning.REPLACES_NODES),
        ("A100:8", "A100:4", "resources.accelerators", Meaning.REPLACES_NODES),
        ("cpus: 8", "use_spot: true, cpus: 8", "resources.use_spot", Meaning.REPLACES_NODES),
        ("us-west-2", "us-east-1", "resources.region", Meaning.MOVES),
        ("aws/us-west-2", "aws", "resources.region", Meaning.IN_PLACE),
        ("infra: aws/us", "infra: local/us", "resources.cloud", Meaning.MOVES),
    ],
)
def test_one_field(old: str, new: str, field: str, meaning: Meaning) -> None:
    assert old in BASE
    (change,) = changes(task(), task(BASE.replace(old, new, 1)))
    assert (change.field, change.meaning) == (field, meaning)
    assert change.says
    assert worst((change,)) is meaning


def test_every_field_of_the_format_says_what_changing_it_means() -> None:
    top = schemas.load("task.v1.json")["properties"]
    for name in set(top) - {"resources"}:
        assert isinstance(meaning(name), Meaning)
    for name in schemas.plain(top["resources"])["properties"]:
        assert isinstance(meaning(f"resources.{name}"), Meaning)


MORE = {
    "service: {replicas: 1}": ("service", Meaning.IN_PLACE),
    "pool: {workers: 1}": ("pool", Meaning.IN_PLACE),
    "volumes: {/v: v}": ("volumes", Meaning.REPLACES_NODES),
    "networking: {vpc_name: v}": ("networking", Meaning.REPLACES_NODES),
    "deadline: 12h": ("deadline", Meaning.IN_PLACE),
    "duration: 12h": ("duration", Meaning.IN_PLACE),
    "budget: 12": ("budget", Meaning.IN_PLACE),
    "isolation: mig": ("isolation", Meaning.REPLACES_NODES),
    "sync: {mode: full}": ("sync", Meaning.RESTARTS),
    "config: {hooks: [{run: x}]}": ("config", Meaning.REPLACES_NODES),
    "edge_config: {power_constraints: 3W}": ("edge_config", Meaning.MOVES),
    "job: {wait_for_scheduling_timeout: 5}": ("job", Meaning.IN_PLACE),
    "event_callback: x": ("event_callback", Meaning.IN_PLACE),
}


@pytest.mark.parametrize("line", MORE)
def test_one_more_field(line: str) -> None:
    (change,) = changes(task(), task(f"{BASE}{line}\n"))
    assert (change.field, change.meaning) == MORE[line]


def test_a_mount_that_becomes_a_bucket_is_one_change() -> None:
    (change,) = changes(task(), task(BASE.replace("/a: b", "/a: s3://b")))
    assert (change.field, change.meaning) == ("file_mounts", Meaning.RESTARTS)


def test_alternatives_are_compared_as_a_whole() -> None:
    several = BASE.replace("A100:8", "[A100:8, H100:8]")
    (change,) = changes(task(), task(several))
    assert (change.field, change.meaning) == ("resources.ordered", Meaning.REPLACES_NODES)
    assert changes(task(several), task(several)) == ()


def test_nothing_changed() -> None:
    assert changes(task(), task()) == ()
    assert worst(()) is Meaning.IN_PLACE


def test_values_of_secrets_are_neither_compared_nor_shown() -> None:
    stored = Task.from_data(task().to_data(redact=True))
    assert changes(stored, task()) == ()
    (change,) = changes(stored, replace(task(), secrets={"S": "hunter2", "T": "hunter2"}))
    assert "hunter2" not in repr(change)


def test_a_kept_folder_does_not_move_to_another_cloud() -> None:
    kept = BASE + "checkpoint: ~/ck\n"
    (change,) = changes(task(kept), task(kept.replace("infra: aws", "infra: local")))
    assert change.meaning is Meaning.REFUSED
    assert "down" in change.says


def test_the_worst_counts() -> None:
    found = changes(task(), task(BASE.replace("run: one", "run: 'two'").replace("us-west-2", "eu-west-1")))
    assert worst(found) is Meaning.MOVES
