"""A task on Kubernetes as its user sees it: planned, approved, brought up, a pod taken away, gone without a trace.

At a real API server whose nodes kwok plays: no pod runs a program, so the task itself is never seen to run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.components.cluster import Cluster
from tests.conftest import CACHE
from tests.standins.install import install
from tests.standins.store import VARIABLE

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TASK = """
name: pods
resources:
  infra: kubernetes/test
  accelerators: A100-80GB:8
  use_spot: true
  image_id: docker:pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime
  priority_class: research
  labels: {team: nlp}
num_nodes: 2
checkpoint: ~/kept
run: torchrun train.py
"""
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
PODS, JOBS = "/api/v1/namespaces/default/pods", "/apis/batch/v1/namespaces/default/jobs"


@pytest.fixture
def room(sky: Any, cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """Two spot nodes with eight cards each, and a user who may list them."""
    spot = {"eks.amazonaws.com/capacityType": "SPOT", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    for name in ("gpu-a", "gpu-b"):
        cluster.add_node(name, labels=spot, cpu="96", memory="1000Gi", nvidia_dot_com__gpu="8")
    cluster.add_volume("pods")
    priority = "/apis/scheduling.k8s.io/v1/priorityclasses"
    cluster.ask("POST", priority, {"metadata": {"name": "research"}, "value": 1000})
    sky.env |= {
        "KUBECONFIG": str(cluster.kubeconfig("admin")),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        VARIABLE: str(tmp_path / "standins.sqlite"),
    }
    install(sky.home / "pulumi", ("kubernetes",), Path(CACHE))
    yield cluster
    sky.run("down", "--all", "--yes", code=None)
    for name in ("gpu-a", "gpu-b"):
        cluster.remove_node(name)
    cluster.ask("DELETE", f"{priority}/research")
    cluster.remove_volume("pods")


def living(sky: Any) -> dict[int, str]:
    """Rank -> id of the nodes that are not lost."""
    nodes = sky.deployment("pods")["nodes"]
    return {one["rank"]: one["node"] for one in nodes if one["state"] not in ("lost", "gone")}


def test_a_task_goes_to_a_cluster_and_comes_back_from_a_loss(sky: Any, room: Cluster) -> None:
    said = sky.run("explain", sky.task(TASK)).stdout
    assert "kubernetes test" in said
    assert "2 nodes × 8 A100-80GB" in said
    sky.run("up", "--yes", "--detach", sky.task(TASK))
    sky.wait(lambda: len(living(sky)) == 2, "both pods are nodes")
    first = living(sky)
    pods = room.ask("GET", PODS)["items"]
    assert sorted(f"{pod['metadata']['name']}.default@test" for pod in pods) == sorted(first.values())
    for pod in pods:
        assert pod["spec"]["priorityClassName"] == "research"
        assert pod["spec"]["containers"][0]["image"].startswith("pytorch/pytorch:")
        assert pod["spec"]["nodeName"] in ("gpu-a", "gpu-b")

    room.ask("DELETE", f"{PODS}/{first[1].partition('.')[0]}")
    sky.wait(lambda: living(sky).get(1) not in (None, first[1]), "rank 1 is another pod")
    assert living(sky)[0] == first[0]

    stopped = sky.run("stop", "pods", "--yes", code=4)
    assert "cloud/cannot-stop" in stopped.stderr
    assert "down pods" in stopped.stderr
    assert "PersistentVolumeClaim" in sky.run("status", "pods").stdout
    said = sky.run("down", "pods", "--yes")
    assert "kept: PersistentVolumeClaim" in said.stdout + said.stderr
    assert len(room.ask("GET", CLAIMS)["items"]) == 1
    assert room.ask("GET", JOBS)["items"] == []
    room.until(lambda: room.ask("GET", PODS)["items"] == [], "the pods go with their job")
    assert sky.stacks() == []
