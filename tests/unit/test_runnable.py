"""What no cloud can do yet is named with its place when a task is to run, and never dropped."""

from __future__ import annotations

from dataclasses import fields

import jsonschema
import pytest

import schemas
from compiler import buckets, runnable
from compiler.load import load
from compiler.needs import Requirements
from compiler.offer import Capability
from compiler.problem import Exit, Problems
from compiler.task import Task


def task(text: str) -> Task:
    return load(text.encode(), "t.yaml", clouds=("local",))


RUNS = """
name: t
workdir: .
num_nodes: 2
resources:
  infra: local
  accelerators: A100:2
  cpus: 2+
  memory: 1GB
  disk_size: 10
  use_spot: true
  job_recovery: failover
  labels: {a: b}
  autostop: {idle_minutes: 3, down: true, wait_for: jobs}
envs: {A: x}
secrets: {S: y}
file_mounts: {/a: b}
sync: {mode: incremental}
checkpoint: ~/ck
setup: x
run: y
"""


def test_what_runs_today_is_not_refused() -> None:
    assert runnable.refusals(task(RUNS)) == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("service: {replicas: 1}", 1),
        ("run: x\npool: {workers: 1}", 2),
        ("file_mounts:\n  /a: s3://b", 2),
        ("file_mounts:\n  /a: {name: b}", 2),
        ("file_mounts:\n  /a: r2://b", 2),
        ("volumes: {/v: v}", 1),
        ("workdir: {url: https://h/r}", 1),
        ("secrets: ['secrets:A']", 1),
        ("config: {hooks: [{run: x}]}", 1),
        ("_metadata: {a: 1}", 1),
        ("resources:\n  accelerators: A100:0.25", 2),
        ("resources:\n  cpus: 2\n  ports: 80", 3),
        ("resources:\n  autostop: {wait_for: none}", 2),
        ("resources:\n  image_id: docker:x", 2),
        ("resources:\n  _requires_fuse: true", 2),
        ("resources:\n  any_of:\n  - cpus: 1\n    ports: 80", 4),
    ],
)
def test_one_thing_is_refused_once_at_its_place(text: str, line: int) -> None:
    (found,) = runnable.refusals(task(text))
    assert found.code == "plan/not-runnable-yet"
    assert found.exit is Exit.NO_OFFER
    assert found.place is not None
    assert found.place.line == line


@pytest.mark.parametrize(
    ("mount", "says"),
    [
        ("{name: b}", "buckets are not made yet"),
        ("{name: b, source: ~/x, store: s3}", "files of yours are not put into buckets yet"),
        ("{source: [s3://a, s3://b], name: c}", "several sources"),
        ("r2://b", "buckets of R2 are not reached yet"),
        ("az://b", "which storage account"),
        ("{source: gs://b, encryption: {key_id: k}}", "a key for what is written to GCS"),
        ("{name: v, store: volume}", "volumes are not attached yet"),
    ],
)
def test_a_bucket_that_no_cloud_can_have_yet_is_refused_with_a_way_out(mount: str, says: str) -> None:
    (found,) = runnable.refusals(task(f"file_mounts:\n  /a: {mount}"), frozenset(Capability))
    assert says in found.message
    assert found.hint
    assert found.place is not None
    assert found.place.line == 2


def test_buckets_are_told_to_nodes_and_granted_where_the_cloud_is_theirs() -> None:
    read = task(
        """
file_mounts:
  /copied: s3://a/deep/
  /mounted: {source: s3://a/deep, encryption: {key_id: arn:k}}
  /models: {source: "s3://m/", mode: MOUNT_CACHED, type: MODEL_CHECKPOINT_RO, config: {mount_cached: {transfers: 2}}}
  /captions: {source: gs://c, config: {mount: {read_only: true}}}
  /azure: https://acc.blob.core.windows.net/box/in
"""
    )
    assert runnable.refusals(read, frozenset(Capability)) == ()
    rows = {row["target"]: row for row in buckets.rows(read)}
    assert list(rows) == ["/azure", "/captions", "/copied", "/models", "/mounted"]
    assert (rows["/azure"]["bucket"], rows["/azure"]["path"], rows["/azure"]["account"]) == (
        "box",
        "in",
        "acc",
    )
    assert rows["/mounted"]["key"] == "arn:k"
    assert rows["/models"]["read_only"]
    assert rows["/models"]["options"] == {
        "transfers": 2,
        "vfs_read_chunk_size": "32M",
        "vfs_read_chunk_streams": 16,
    }
    named = schemas.load("desired.v1.json")["properties"]["run"]["oneOf"][1]["properties"]["buckets"]
    for row in rows.values():
        jsonschema.validate(row, named["items"])
    assert buckets.granted(rows.values(), "aws") == {
        "s3://a/deep": {"access": "write", "key": "arn:k"},
        "s3://m": {"access": "read"},
    }
    assert buckets.granted(rows.values(), "gcp") == {"gs://c": {"access": "read"}}
    assert buckets.granted(rows.values(), "local") == {}
    names = [buckets.SECRETS + store for store in ("AZURE", "GCS", "S3")]
    assert [buckets.secret_names(read, cloud) for cloud in ("local", "aws", "gcp")] == [
        tuple(names),
        tuple(names[:2]),
        (names[0], names[2]),
    ]
    assert buckets.needed(dict.fromkeys([*names, "MINE"], "x"), "aws").keys() == {*names[:2], "MINE"}
    assert buckets.merged({"s3://a": {"access": "write"}}, {"s3://a": {"access": "read"}}) == {
        "s3://a": {"access": "write"}
    }


def test_every_field_runs_or_is_refused() -> None:
    """A new field of the values has a row, or is listed here as one that works."""
    works = {
        *("cloud", "region", "zone", "accelerator", "cpus", "memory_gb", "use_spot", "recovery", "disk_gb"),
        *("labels", "autostop", "internal", "exact", "instance_type", "accelerator_memory", "memory_per_cpu"),
        "max_hourly_cost",
    }
    assert {one.name for one in fields(Requirements)} == works | set(runnable.RESOURCES)
    works = {
        *("name", "workdir", "num_nodes", "requirements", "alternatives", "ordered", "envs", "secrets"),
        *("file_mounts", "sync", "checkpoint", "setup", "run", "api_server_access", "internal", "file"),
        *("hints", "source", "deadline", "duration_s", "budget", "inputs", "outputs"),
    }
    assert {one.name for one in fields(Task)} == works | set(runnable.TASK)
    known = schemas.load("task.v1.json")["properties"]
    assert {written for written, _ in runnable.TASK.values()} <= set(known)


def test_several_tasks_of_one_file_are_refused_where_one_is_wanted() -> None:
    with pytest.raises(Problems) as caught:
        task("run: a\n---\nrun: b\n")
    (found,) = caught.value.problems
    assert found.code == "plan/not-runnable-yet"
    assert "2 tasks" in found.message
    assert found.place is not None
    assert found.place.line == 3


def test_a_cloud_that_is_not_enabled_is_named_at_plan_time() -> None:
    read = task("resources:\n  infra: aws/us-west-2\n")
    (found,) = runnable.not_enabled(read, frozenset({"local"}))
    assert found.code == "plan/cloud-not-enabled"
    assert found.place is not None
    assert (found.place.line, found.hint or "") == (
        2,
        "enabled: `local`; `skywright check` tells what the others need",
    )
    assert runnable.not_enabled(read, frozenset({"aws"})) == ()
