"""The Kubernetes API that tests use is a real one: it admits, schedules, restarts jobs' pods and keeps roles."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.cluster import Cluster, Refused

pytestmark = pytest.mark.timeout(300)

JOBS, PODS = "/apis/batch/v1/namespaces/default/jobs", "/api/v1/namespaces/default/pods"


def job(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "1"}}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def pods(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.ask("GET", f"{PODS}?labelSelector=job-name%3D{name}")["items"]
    return [pod for pod in found if pod["status"]["phase"] == "Running"]


def test_a_lost_pod_of_an_indexed_job_gets_its_index_again(cluster: Cluster) -> None:
    cluster.add_node("worker")
    cluster.ask("POST", JOBS, job("gang", completionMode="Indexed", completions=2, parallelism=2))
    first = cluster.until(lambda: len(found := pods(cluster, "gang")) == 2 and found, "two pods run")
    lost = first[0]["metadata"]
    cluster.ask("DELETE", f"{PODS}/{lost['name']}")

    def replaced() -> bool:
        names = {pod["metadata"]["name"] for pod in pods(cluster, "gang")}
        return len(names) == 2 and lost["name"] not in names

    cluster.until(replaced, "the job makes another pod")
    ranks = sorted(
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
        for pod in pods(cluster, "gang")
    )
    assert ranks == ["0", "1"]
    cluster.ask("DELETE", f"{JOBS}/gang?propagationPolicy=Foreground")
    cluster.until(lambda: not pods(cluster, "gang"), "the pods go with their job")
    cluster.remove_node("worker")


def test_who_has_no_role_may_nothing(cluster: Cluster) -> None:
    with pytest.raises(Refused, match='User "deployer" cannot list resource "jobs"') as refused:
        cluster.ask("GET", JOBS, user="deployer")
    assert refused.value.code == 403
