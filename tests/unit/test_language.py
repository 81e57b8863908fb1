"""Every field of the task format and each of its shorthands, as the frozen value it stands for."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.files import Encryption, KeptSecret, Repository, Storage, Sync, Transfer, Volume
from compiler.load import load
from compiler.needs import Autostop, Disk, Image, LocalDisk, MemoryOf, Recovery
from compiler.offer import Accelerator
from compiler.pipeline import Pipeline, load_all
from compiler.quantity import Quantity
from compiler.serving import Policy, Pool, Probe, Service
from compiler.task import Deadline, Edge, Hook, Networking, Task


def task(text: str, **overrides: Any) -> Task:
    read = load(text.encode(), "task.yaml", clouds=("local",), overrides=overrides)
    assert Task.from_data(read.to_data()) == read
    return read


def resources(text: str) -> Any:
    return task(f"resources: {{{text}}}").requirements


@pytest.mark.parametrize(
    ("text", "field", "wanted"),
    [
        ("accelerators: 'A100:0.25'", "accelerator", Accelerator("A100", 0.25)),
        ("gpus: 'A100:2'", "accelerator", Accelerator("A100", 2)),
        ("accelerators: {Jetson: 4}", "accelerator", Accelerator("Jetson", 4)),
        ("accelerators: 80GB+", "accelerator_memory", MemoryOf(Quantity(80, True))),
        ("accelerators: 80GB", "accelerator_memory", MemoryOf(Quantity(80))),
        ("accelerators: '80gb+:2'", "accelerator_memory", MemoryOf(Quantity(80, True), 2)),
        ("accelerators: 'nvidia:80GB+'", "accelerator_memory", MemoryOf(Quantity(80, True), 1, "nvidia")),
        ("accelerators: 'AMD:16GB:4'", "accelerator_memory", MemoryOf(Quantity(16), 4, "amd")),
        ("accelerators: {80GB+: 2}", "accelerator_memory", MemoryOf(Quantity(80, True), 2)),
        ("accelerator_args: {tpu_vm: false}", "accelerator_args", {"tpu_vm": False}),
        ("memory: 4x", "memory_per_cpu", Quantity(4)),
        ("memory: 4x+", "memory_per_cpu", Quantity(4, True)),
        ("memory: 500+", "memory_gb", Quantity(500, True)),
        ("exact: true", "exact", True),
        ("instance_type: p4d.24xlarge", "instance_type", "p4d.24xlarge"),
        ("job_recovery: FAILOVER", "recovery", Recovery("failover")),
        ("job_recovery: none", "recovery", None),
        ("job_recovery: {max_restarts_on_errors: 3}", "recovery", Recovery(None, 3)),
        ("job_recovery: {recover_on_exit_codes: 33}", "recovery", Recovery(None, 0, (33,))),
        ("job_recovery: {recover_on_exit_codes: [33, 34]}", "recovery", Recovery(None, 0, (33, 34))),
        ("spot_recovery: auto", "recovery", Recovery("eager_next_region")),
        ("max_hourly_cost: 2.5", "max_hourly_cost", 2.5),
        ("disk_size: 1TB", "disk_gb", 1024),
        ("ephemeral_storage: 100GB", "disk_gb", 100),
        ("disk_tier: HIGH", "disk_tier", "high"),
        ("disk_tier: none", "disk_tier", None),
        ("network_tier: best", "network_tier", "best"),
        ("local_disk: nvme", "local_disk", LocalDisk("nvme", Quantity(100, True))),
        ("local_disk: 'ssd:500'", "local_disk", LocalDisk("ssd", Quantity(500))),
        ("local_disk: '1000+'", "local_disk", LocalDisk("nvme", Quantity(1000, True))),
        ("image_id: ami-1", "image", Image({"": "ami-1"})),
        ("image_id: 'docker:ubuntu:24.04'", "image", Image(docker="ubuntu:24.04")),
        ("image_id: {r1: a, r2: b}", "image", Image({"r1": "a", "r2": "b"})),
        ("image_id: {r1: a, docker: 'docker:u'}", "image", Image({"r1": "a"}, "u")),
        ("image_id: null", "image", None),
        ("ports: 8080", "ports", ("8080",)),
        ("ports: '8080,80-81'", "ports", ("80-81", "8080")),
        ("ports: [9000-9010, 9011, '80', 9005-9020]", "ports", ("80", "9000-9020")),
        ("autostop: {wait_for: none, down: true}", "autostop", Autostop(300, True, "none")),
        ("priority: -5", "priority", -5),
        ("priority_class: high", "priority_class", "high"),
        ("location: edge-1", "location", "edge-1"),
        ("quantum_backend: ibm_quantum", "quantum_backend", "ibm_quantum"),
        (
            "volumes: [{path: /d, name: n, disk_size: 1TB, disk_tier: High, attach_mode: READ_ONLY}]",
            "disks",
            (Disk("/d", "n", 1024, "high", "network", "read_only"),),
        ),
        (
            "volumes: [{path: /d, name: n, storage_type: instance, auto_delete: yes}]",
            "disks",
            (Disk("/d", None, None, "best", "instance", "read_write", True),),
        ),
        ("_requires_fuse: true", "internal", {"_requires_fuse": True}),
        ("cpus: null", "cpus", None),
    ],
)
def test_fields_of_resources(text: str, field: str, wanted: Any) -> None:
    assert getattr(resources(text), field) == wanted


@pytest.mark.parametrize(
    ("text", "field", "wanted"),
    [
        ("workdir: {url: https://h/r, ref: v1}", "repository", Repository("https://h/r", "v1")),
        ("secrets: ['secrets:HF_TOKEN']", "kept_secrets", (KeptSecret("HF_TOKEN"),)),
        ("secrets: {'secrets:HF_TOKEN': null}", "kept_secrets", (KeptSecret("HF_TOKEN"),)),
        (
            "managed_secrets: [A, {B: {mount_path: /b}}]",
            "kept_secrets",
            (KeptSecret("A"), KeptSecret("B", "/b")),
        ),
        (
            "file_mounts: {/d: 's3://b/p'}",
            "buckets",
            {"/d": Storage(source=("s3://b/p",), store="S3", mode="COPY")},
        ),
        (
            "file_mounts: {/d: 'https://a.blob.core.windows.net/c'}",
            "buckets",
            {"/d": Storage(source=("https://a.blob.core.windows.net/c",), store="AZURE", mode="COPY")},
        ),
        ("file_mounts: {/d: {name: b}}", "buckets", {"/d": Storage("b")}),
        (
            "file_mounts: {/d: {name: b, source: [~/a, ~/b], store: gcs, "
            "mode: Mount_Cached, persistent: no, type: dataset_ro}}",
            "buckets",
            {"/d": Storage("b", ("~/a", "~/b"), "GCS", False, "MOUNT_CACHED", "DATASET_RO")},
        ),
        (
            "file_mounts: {/d: {source: 'gs://b', encryption: {key_id: k}}}",
            "buckets",
            {"/d": Storage(source=("gs://b",), store="GCS", encryption=Encryption("AES256", "k"))},
        ),
        (
            "file_mounts: {/d: {name: b, mode: MOUNT_CACHED, config: {mount_cached: {transfers: 4}}}}",
            "buckets",
            {"/d": Storage("b", mode="MOUNT_CACHED", config={"mount_cached": {"transfers": 4}})},
        ),
        ("volumes: {/v: vol, /s: {size: 100GB}}", "volumes", {"/v": Volume("vol"), "/s": Volume(None, 100)}),
        ("sync: {include: ['*.pt'], mode: Incremental}", "sync", Sync(("*.pt",))),
        ("inputs: {'s3://b': 10}", "inputs", Transfer("s3://b", 10)),
        ("outputs: {'s3://b': 0.5}", "outputs", Transfer("s3://b", 0.5)),
        ("setup: export CHECKPOINT_DIR=/tmp/checkpoints", "checkpoint", "/tmp/checkpoints"),
        ("envs: {CHECKPOINT_DIR: ~/ck}", "checkpoint", "~/ck"),
        ("setup: export CHECKPOINT_DIR=$HOME/x", "checkpoint", None),
        ("service: {readiness_probe: /h, replicas: 2}", "service", Service(Probe("/h"), Policy(2))),
        (
            "service: {readiness_probe: {path: /h, timeout_seconds: 3, post_data: '{\"a\": 1}'}, ports: 80}",
            "service",
            Service(Probe("/h", {"a": 1}, timeout_s=3), port=80),
        ),
        (
            "service: {replica_policy: {min_replicas: 1, max_replicas: 3, target_qps_per_replica: 2.5}}",
            "service",
            Service(policy=Policy(1, 3, 2.5)),
        ),
        (
            "service: {autoscaling: {min_replicas: 1, max_replicas: 3, qps_upper_threshold: 10}}",
            "service",
            Service(policy=Policy(1, 3, 10)),
        ),
        ("pool: {workers: 3}", "pool", Pool(3)),
        ("pool: {min_workers: 0, max_workers: 9}", "pool", Pool(0, 9)),
        ("job: {wait_for_scheduling_timeout: 30m}", "scheduling_timeout_s", 1800),
        ("job: {wait_for_scheduling_timeout: 30}", "scheduling_timeout_s", 30),
        ("deadline: 12h", "deadline", Deadline(43200)),
        ("deadline: 2", "deadline", Deadline(7200)),
        ("deadline: 2026-12-01T08:00:00Z", "deadline", Deadline(at="2026-12-01T08:00:00+00:00")),
        ("duration: 90m", "duration_s", 5400),
        ("budget: 250", "budget", 250),
        ("isolation: MIG", "isolation", "mig"),
        (
            "networking: {vpc_name: v, subnet_name: s, security_groups: [g]}",
            "networking",
            Networking("v", "s", ("g",)),
        ),
        (
            "edge_config: {bandwidth_limit: 1Gbps, latency_requirements: <50ms, power_constraints: 300W}",
            "edge",
            Edge(1000, 50, 300),
        ),
        (
            "config: {docker: {run_options: [--ipc=host]}}",
            "config",
            {"docker": {"run_options": ["--ipc=host"]}},
        ),
        ("config: {hooks: [{run: x, events: [down]}]}", "hooks", (Hook("x", ("down",)),)),
        ("resources: {autostop: {hook: x, down: true}}", "hooks", (Hook("x", ("down",)),)),
        ("event_callback: ./tell", "event_callback", "./tell"),
        ("api_server_access: false", "api_server_access", False),
        ("_metadata: {a: 1}", "internal", {"_metadata": {"a": 1}}),
        ("name: null\nrun:", "name", None),
    ],
)
def test_fields_of_the_task(text: str, field: str, wanted: Any) -> None:
    assert getattr(task(text), field) == wanted


def cards(read: Task) -> list[Accelerator | MemoryOf | None]:
    return [one.accelerator or one.accelerator_memory for one in read.options]


@pytest.mark.parametrize(
    ("text", "names", "ordered"),
    [
        ("accelerators: [A100:8, H100:8]", ["A100:8", "H100:8"], True),
        ("accelerators: {L4:1, T4:2}", ["L4:1", "T4:2"], False),
        ("accelerators: {L4: 1, T4: 2}", ["L4:1", "T4:2"], False),
        ("accelerators: [A100:8]", ["A100:8"], False),
        ("accelerators: [A100, A100:1]", ["A100:1"], False),
        ("any_of: [{accelerators: L4}, {accelerators: {T4: 1, A10: 1}}]", ["L4:1", "T4:1", "A10:1"], False),
        ("ordered: [{accelerators: L4}, {accelerators: T4}]", ["L4:1", "T4:1"], True),
        ("any_of: []", ["None"], False),
    ],
)
def test_alternatives(text: str, names: list[str], ordered: bool) -> None:
    read = task(f"resources: {{{text}}}")
    assert [str(one) for one in cards(read)] == names
    assert read.ordered is ordered
    assert read.requirements == read.options[0]
    assert (read.alternatives == ()) == (len(names) == 1)


def test_what_stands_beside_alternatives_holds_for_each() -> None:
    read = task(
        "resources:\n  cpus: 8\n  labels: {a: x, b: y}\n  any_of:\n"
        "  - {infra: aws, labels: {b: z}}\n  - {infra: gcp/r, cpus: 4}\n"
    )
    first, second = read.options
    assert (first.cloud, first.cpus, first.labels) == ("aws", Quantity(8), {"a": "x", "b": "z"})
    assert (second.cloud, second.region, second.cpus) == ("gcp", "r", Quantity(4))


def test_flags_win_over_every_alternative() -> None:
    read = task(
        "resources:\n  any_of:\n  - {infra: aws/r, accelerators: L4}\n  - {cloud: gcp, accelerators: T4}\n",
        resources={"infra": "local", "accelerators": "H100"},
    )
    assert read.options == (read.requirements,)
    assert (read.requirements.cloud, read.requirements.region) == ("local", None)
    assert read.requirements.accelerator == Accelerator("H100", 1)


def test_variables_reach_resources_services_and_storage() -> None:
    read = task(
        "envs: {G: 'L4:2', B: bucket, P: /h, R: us-east-1, M: model}\n"
        "resources: {any_of: [{accelerators: $G, infra: 'aws/${R}'}, {cpus: 4}]}\n"
        "file_mounts: {/d: 's3://$B/x', /e: {name: '${B}-2'}}\n"
        "service: {readiness_probe: {path: $P, post_data: {model: $M}}}\n"
    )
    assert (read.options[0].accelerator, read.options[0].region) == (Accelerator("L4", 2), "us-east-1")
    assert read.buckets["/d"].source == ("s3://bucket/x",)
    assert read.buckets["/e"].name == "bucket-2"
    assert read.service
    assert (read.service.probe.path, read.service.probe.post_data) == ("/h", {"model": "model"})


def test_a_bucket_that_waits_for_a_value_is_not_judged() -> None:
    read = task(
        "envs: {B: null}\nfile_mounts: {/d: {source: $B}, /e: $B}\nresources: {any_of: [{cpus: $B}]}\n"
    )
    assert read.needed() == ("B",)


def test_old_forms_are_told_with_their_places() -> None:
    read = task(
        "resources:\n  spot_recovery: auto\n  autostop: {hook: x}\nservice:\n  autoscaling: {min_replicas: 1}\n"
    )
    told = [(hint.code, hint.place.line) for hint in read.hints if hint.place]
    assert told == [("task/old-form", 2), ("task/old-form", 3), ("task/old-form", 5)]
    assert read.hints[0].hint == "write `job_recovery: eager_next_region`"


PIPELINE = "name: p\n---\nname: a\nrun: x\n---\nname: b\nrun: y\nenvs: {A: null}\n"
GROUP = (
    "name: g\nexecution: parallel\nprimary_tasks: [a]\n"
    "termination_delay: {default: 30s, b: 5m}\ninter_connection: true\n"
    "---\nname: a\nrun: x\n---\nname: b\nrun: y\n"
)


def several(text: str) -> Pipeline:
    read = load_all(text.encode(), "t.yaml", clouds=("local",), overrides={"envs": {"E": "1"}})
    assert Pipeline.from_data(read.to_data()) == read
    return read


def test_pipelines_and_groups() -> None:
    read = several(PIPELINE)
    assert (read.name, read.parallel, [one.name for one in read.tasks]) == ("p", False, ["a", "b"])
    assert [dict(one.envs) for one in read.tasks] == [{"E": "1"}, {"A": None, "E": "1"}]
    read = several(GROUP)
    assert (read.name, read.parallel, read.primary_tasks, read.inter_connection) == ("g", True, ("a",), True)
    assert read.termination_delay_s == {"default": 30, "b": 300}
    read = several("run: x\n---\nrun: y\n")
    assert (read.name, len(read.tasks)) == (None, 2)
    assert several("run: x").tasks[0].run == "x"
