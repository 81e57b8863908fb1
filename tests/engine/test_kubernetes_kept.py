"""Queues and kept folders on Kubernetes, through the real engine at a real API server.

Neither Kueue nor a provisioner of volumes runs here: what they would write is written by the test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problem
from compiler.spec import Given, StackSpec
from stacks import kubernetes
from stacks.kubernetes import claim, objects, queue
from tests.components.cluster import Cluster, Refused

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk, wait
from test_kubernetes import (
    JOBS,
    MERGE,
    NAMESPACE,
    changed,
    deployer,  # noqa: F401
    gang,  # noqa: F401
    ids,
    left,
    refused,
    spec,
    team,  # noqa: F401
)

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
WORKLOADS = f"/apis/{queue.GROUP}/v1beta2/namespaces/{NAMESPACE}/workloads"


@pytest.fixture
def kueue(team: Cluster) -> Iterator[Cluster]:  # noqa: F811
    """A cluster that serves what Kueue keeps of each Job."""
    version = {"name": "v1beta2", "served": True, "storage": True, "schema": {"openAPIV3Schema": ANYTHING}}
    names = {"plural": "workloads", "singular": "workload", "kind": "Workload"}
    body = {"group": queue.GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
    name = f"workloads.{queue.GROUP}"
    team.ask("POST", DEFINITIONS, {"metadata": {"name": name}, "spec": body})
    team.until(lambda: served(team), "workloads are served")
    yield team
    team.ask("DELETE", f"{DEFINITIONS}/{name}")
    team.until(
        lambda: queue.GROUP not in {one["name"] for one in team.ask("GET", "/apis")["groups"]}, "Kueue goes"
    )


def served(cluster: Cluster) -> bool:
    try:
        return cluster.there(WORKLOADS)
    except Refused as refused:
        if refused.code == 429:  # a moment after its definition
            return False
        raise


@pytest.fixture
def volume(team: Cluster) -> Iterator[Cluster]:  # noqa: F811
    team.add_volume("kept")
    yield team
    team.remove_volume("kept")


def told(folder: Path) -> str:
    path = folder / "events.jsonl"
    return path.read_text() if path.exists() else ""


def test_a_gang_waits_in_its_queue_and_its_folder_outlives_it(
    desk: Desk, kueue: Cluster, volume: Cluster
) -> None:
    wanted = spec(desk, secrets=(), checkpoint="~/checkpoints", given=Given(queue="research"))
    job = f"{JOBS}/{objects.base(wanted)}"
    folder = desk.begin("up", wanted)
    made = wait(lambda: kueue.there(job) and kueue.ask("GET", job), 60, "the Job is there")
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"][queue.LABEL] == "research"
    assert queue.LABEL not in made["spec"]["template"]["metadata"]["labels"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": made["metadata"]["name"]}
    why = {"type": "QuotaReserved", "status": "False", "message": "no quota is left for nvidia.com/gpu"}
    meta = {"name": "of-the-job", "ownerReferences": [{**owner, "uid": made["metadata"]["uid"]}]}
    kueue.ask(
        "POST",
        WORKLOADS,
        {
            "apiVersion": f"{queue.GROUP}/v1beta2",
            "kind": "Workload",
            "metadata": meta,
            "status": {"conditions": [why]},
        },
    )
    says = "waits in queue research: no quota is left for nvidia.com/gpu"
    wait(lambda: says in told(folder), 30, "it says why it waits")
    kueue.ask("PATCH", job, {"spec": {"suspend": False}}, kind=MERGE)
    result = desk.ended(folder)
    assert result is not None
    assert result["ok"], result["problem"]

    # What Kueue has released stays so, even when the Job changes.
    desk.well("refresh", wanted)
    moved = replace(wanted, given=Given(queue="other"))
    again = desk.well("up", moved)
    assert changed(again) == {"update": 1}
    assert ids(again) == ids(result)
    assert kueue.ask("GET", job)["spec"]["suspend"] is False

    # The claim stays, and the next life takes it on as it is.
    kept = f"{CLAIMS}/{claim.name(wanted)}"
    before = kueue.ask("GET", kept)
    assert before["spec"]["accessModes"] == ["ReadWriteMany"]
    assert before["status"]["phase"] == "Bound"
    desk.well("destroy", moved)
    kueue.until(lambda: left(kueue) == [], "everything else goes")
    larger = replace(wanted, given=Given(checkpoint_gb=500.0, storage_class="another"))
    desk.well("up", larger)
    after = kueue.ask("GET", kept)
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert changed(desk.well("preview", larger)) == {}
    desk.well("destroy", larger)
    kueue.until(lambda: left(kueue) == [], "everything else goes")
    assert kueue.there(kept)
    (standing,) = kubernetes.kept(wanted)
    assert claim.name(wanted) in standing.what
    assert f"delete pvc {claim.name(wanted)}" in standing.says


def test_a_queue_that_nobody_runs_is_said_at_once(gang: Callable[..., StackSpec]) -> None:  # noqa: F811
    wanted = replace(gang(suspend=True), given=Given(queue="research"))
    problem = refused(wanted)
    assert problem.code == "cloud/no-queue"
    assert "research" in problem.message


@pytest.fixture
def claims(team: Cluster) -> Iterator[Callable[..., str]]:  # noqa: F811
    made: list[str] = []

    def make(wanted: StackSpec, **spec: Any) -> str:
        name = claim.name(wanted)
        size = {"requests": {"storage": "10G"}}
        body = {"metadata": {"name": name}, "spec": {"accessModes": [claim.ONE], "resources": size, **spec}}
        team.ask("POST", CLAIMS, body)
        made.append(name)
        return name

    yield make
    for name in made:
        team.ask("DELETE", f"{CLAIMS}/{name}")


def test_a_volume_that_cannot_be_had_is_said_with_the_clusters_own_reason(
    desk: Desk,
    gang: Callable[..., StackSpec],  # noqa: F811
    claims: Callable[..., str],
) -> None:
    wanted = spec(desk, 1, deployment="wait", stack="wait-kubernetes-test", checkpoint="~/kept")
    name = claims(wanted, storageClassName="nowhere")
    gang(claim=name)
    problem: Problem = refused(wanted, SCHEDULED_S=1.0)
    assert problem.code == "cloud/no-storage"
    assert 'storageclass.storage.k8s.io "nowhere" not found' in problem.message


def test_a_gang_does_not_wait_for_a_claim_that_one_node_alone_may_mount(
    desk: Desk,
    gang: Callable[..., StackSpec],  # noqa: F811
    claims: Callable[..., str],
) -> None:
    gang(2)
    wanted = spec(desk, 2, deployment="wait", stack="wait-kubernetes-test", checkpoint="~/kept")
    claims(wanted)
    problem = refused(wanted)
    assert problem.code == "cloud/no-storage"
    assert "one node at a time" in problem.message
