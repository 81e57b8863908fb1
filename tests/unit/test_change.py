"""What each changed field means for a deployment that lives."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import schemas
from compiler.change import Change, Meaning, changes, effects, meaning, worst
from compiler.fits import Misfit
from compiler.load import load
from compiler.task import Task
from skywright.cli import living

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


HEADER = ("execution", "primary_tasks", "termination_delay", "inter_connection", "resources")
"""Of the header of several tasks, or walked by itself."""

SAME = {
    "api_server_access": False,
    "any_of": [{"cpus": 1}, {"cpus": 2}],
    "ordered": [{"cpus": 1}, {"cpus": 2}],
}
"""Values where an example of the schema means what its absence means."""


def fields_of_the_format() -> list[tuple[str, list[Any]]]:
    top = schemas.load("task.v1.json")["properties"]
    found = {name: schemas.plain(value) for name, value in top.items() if name not in HEADER}
    inner = schemas.plain(top["resources"])["properties"]
    found |= {f"resources.{name}": schemas.plain(value) for name, value in inner.items()}
    return [
        (name, [SAME[last]] if (last := name.rpartition(".")[2]) in SAME else value["examples"])
        for name, value in found.items()
        if not name.rpartition(".")[2].startswith("_") and "examples" in value
    ]


FIELDS = fields_of_the_format()
INTERNAL = {"file_mounts_mapping", "volume_mounts"}
"""Fields without an example: SkyPilot writes them for itself, and so are all that begin with `_`."""


def test_every_field_but_internal_ones_is_walked() -> None:
    top = schemas.load("task.v1.json")["properties"]
    known = {*top, *(f"resources.{name}" for name in schemas.plain(top["resources"])["properties"])}
    left = known - {name for name, _ in FIELDS} - set(HEADER) - INTERNAL
    assert all(name.rpartition(".")[2].startswith("_") for name in left)


def plain_task(**more: Any) -> Task:
    return load(
        json.dumps({"run": "x", **more}).encode(), "t.yaml", clouds=("local", "aws", "gcp", "kubernetes")
    )


@pytest.mark.parametrize(("field", "examples"), FIELDS, ids=[name for name, _ in FIELDS])
def test_a_change_of_any_field_has_a_row_with_its_meaning(field: str, examples: list[Any]) -> None:
    """Taken from the examples of the schema: none is silent, and none is without a meaning."""
    top, _, inner = field.partition(".")
    rows: list[Change] = []
    for example in examples:
        new = plain_task(**{top: {inner: example} if inner else example})
        rows = list(effects(plain_task(run=None) if field == "run" else plain_task(), new, ()))
        if rows:
            break
    assert rows, f"no example of `{field}` changes anything"
    for row in rows:
        assert isinstance(row.meaning, Meaning)
        assert row.says
        assert json.dumps(row.to_data())
        assert living.line(row).endswith(row.says)
    back = effects(new, plain_task(), ())
    assert all(row.meaning in (Meaning.IN_PLACE, Meaning.RESTARTS) for row in back)


def test_what_nodes_meet_is_no_reason_to_replace_them_and_an_image_is() -> None:
    old, smaller = plain_task(resources={"cpus": 8}), plain_task(resources={"cpus": 4})
    assert [one.meaning for one in effects(old, smaller, ())] == [Meaning.IN_PLACE]
    unmet = Misfit("cpus", "4", "2")
    assert [one.meaning for one in effects(old, smaller, [unmet])] == [Meaning.REPLACES_NODES]
    image = plain_task(resources={"cpus": 8, "image_id": "docker:x"})
    (row,) = effects(old, image, ())
    assert (row.field, row.meaning) == ("image_id", Meaning.REPLACES_NODES)
    assert [one.meaning for one in effects(image, old, ())] == [Meaning.IN_PLACE]


def test_of_envs_and_secrets_names_are_told() -> None:
    old, new = plain_task(envs={"A": "one", "B": "x"}), plain_task(envs={"A": "hush", "B": "x"})
    (row,) = effects(old, new, ())
    assert row.to_data()["names"] == ["A"]
    assert "hush" not in json.dumps(row.to_data()) + living.line(row)
