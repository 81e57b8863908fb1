"""The stand-in `kubernetes` behind the unmodified SDK, at a real API server: one life of a small stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.components.cluster import Cluster
from tests.standins.fixtures import Bench, touch

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
PROVIDERS = ("kubernetes",)
AT_ONCE = {"pulumi.com/waitFor": "jsonpath={.metadata.uid}"}
WHERE = "/api/v1/namespaces/default"


@pytest.fixture(autouse=True)
def sdk(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    touch("pulumi_kubernetes.batch.v1.Job", "pulumi_kubernetes.core.v1.Secret", "pulumi_kubernetes.Provider")
    touch("pulumi_kubernetes.core.v1.ConfigMap")
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig("admin")))


def program(
    count: int = 2,
    label: str = "one",
    annotations: dict[str, str] | None = None,
    **settings: Any,
) -> Callable[[], None]:
    def build() -> None:
        import pulumi
        import pulumi_kubernetes as k8s

        there = pulumi.ResourceOptions(provider=k8s.Provider("cluster", context="test", **settings))
        meta = k8s.meta.v1
        labels = {"app": "life", "version": label}
        secret = k8s.core.v1.Secret(
            "secret",
            k8s.core.v1.SecretInitArgs(
                metadata=meta.ObjectMetaArgs(name="life", labels=labels), string_data={"a": "b"}
            ),
            there,
        )
        container = k8s.core.v1.ContainerArgs(
            name="main",
            image="none",
            env_from=[
                k8s.core.v1.EnvFromSourceArgs(
                    secret_ref=k8s.core.v1.SecretEnvSourceArgs(name=secret.metadata.name)
                )
            ],
        )
        k8s.batch.v1.Job(
            "job",
            k8s.batch.v1.JobInitArgs(
                metadata=meta.ObjectMetaArgs(
                    name="life", labels=labels, annotations=AT_ONCE if annotations is None else annotations
                ),
                spec=k8s.batch.v1.JobSpecArgs(
                    completion_mode="Indexed",
                    completions=count,
                    parallelism=count,
                    template=k8s.core.v1.PodTemplateSpecArgs(
                        spec=k8s.core.v1.PodSpecArgs(restart_policy="Never", containers=[container])
                    ),
                ),
            ),
            there,
        )

    return build


def jobs(cluster: Cluster) -> list[str]:
    return [
        one["metadata"]["name"]
        for one in cluster.ask("GET", "/apis/batch/v1/namespaces/default/jobs")["items"]
    ]


@pytest.mark.soak  # lives on this stand-in show the same of it
def test_a_life(bench: Bench, cluster: Cluster) -> None:
    assert bench.preview(program()).changes == {"create": 2}
    assert jobs(cluster) == [], "a preview makes nothing"
    assert bench.up(program()).changes == {"create": 2}
    assert jobs(cluster) == ["life"]
    assert bench.preview(program()).changes == {}
    # labels change in place, the size of a Job takes a new one
    assert bench.up(program(label="two")).changes == {"update": 2}
    assert bench.preview(program(label="two")).changes == {}
    again = bench.up(program(3, label="two"))
    assert again.of("replace") == ["job"]
    assert bench.resources()["job"]["outputs"]["spec"]["completions"] == 3
    # somebody else's hand is found, and taken back
    patch = {"metadata": {"labels": {"version": "theirs"}}}
    cluster.ask("PATCH", f"{WHERE}/secrets/life", patch, kind="application/merge-patch+json")
    assert bench.preview(program(3, label="two")).changes == {}
    bench.refresh(program(3, label="two"))
    assert 'conflict with "Python-urllib"' in bench.refused(program(3, label="two"))
    assert bench.up(program(3, label="two", enable_patch_force=True)).of("update") == ["secret"]
    assert bench.preview(program(3, label="two", enable_patch_force=True)).changes == {}
    cluster.ask("DELETE", f"{WHERE}/secrets/life")
    bench.refresh(program(3, label="two"))
    assert bench.preview(program(3, label="two")).of("create") == ["secret"]
    bench.destroy(program(3, label="two"))
    assert jobs(cluster) == []


def test_what_the_server_refuses_fails_the_preview(bench: Bench) -> None:
    with pytest.raises(Exception, match="Invalid value"):
        bench.preview(program(label="not a label!"))


def test_a_job_is_waited_for_unless_it_says_otherwise(bench: Bench, cluster: Cluster) -> None:
    assert "did not succeed in time" in bench.refused(program(annotations={}))
    bench.destroy(program())


def test_what_exists_is_taken_over_only_when_that_is_said(bench: Bench, cluster: Cluster) -> None:
    cluster.ask("POST", f"{WHERE}/secrets", {"metadata": {"name": "life", "labels": {"whose": "theirs"}}})
    assert "already exists" in bench.refused(program())
    bench.up(program(upsert_existing_objects=True))
    assert cluster.ask("GET", f"{WHERE}/secrets/life")["metadata"]["labels"]["whose"] == "theirs"
    bench.destroy(program())
