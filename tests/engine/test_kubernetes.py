"""The cloud `kubernetes` through the real engine at a real API server, with a role for one namespace and no more.

kwok runs no program: what is shown is what the API does, never what happens inside a pod.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from compiler.offer import Accelerator
from compiler.spec import StackSpec
from stacks import home, kubernetes
from stacks.cloud import Scope
from tests.components.cluster import Cluster
from tests.standins.install import install

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk, wait

pytestmark = pytest.mark.engine

NAMESPACE = "team"
PAGE = Path(__file__).parents[2] / "docs" / "clouds" / "kubernetes.md"


def role() -> dict[str, Any]:
    """The Role of the page, word for word."""
    text = PAGE.read_text()
    found: dict[str, Any] = yaml.safe_load(
        text.split("```yaml\n# The Role")[1].split("```")[0].partition("\n")[2]
    )
    return found


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace in which `deployer` has the role of the page, and two nodes."""
    cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    cluster.ask("POST", f"{rbac}/roles", role())
    subject = {"kind": "User", "name": "deployer", "apiGroup": "rbac.authorization.k8s.io"}
    named = {"kind": "Role", "name": "skywright", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "skywright"}, "subjects": [subject], "roleRef": named}
    cluster.ask("POST", f"{rbac}/rolebindings", binding)
    cluster.until(
        lambda: cluster.there(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"),
        "its account is there",
    )
    spot = {"eks.amazonaws.com/capacityType": "SPOT", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    cluster.add_node("plain")
    cluster.add_node("spot-a", labels=spot, cpu="64", memory="512Gi", nvidia_dot_com__gpu="8")
    cluster.add_node("spot-b", labels=spot, cpu="64", memory="512Gi", nvidia_dot_com__gpu="8")
    yield cluster
    for name in ("plain", "spot-a", "spot-b"):
        cluster.remove_node(name)


@pytest.fixture(autouse=True)
def deployer(team: Cluster, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything runs as somebody who may do nothing but what the role says."""
    monkeypatch.setenv("KUBECONFIG", str(team.kubeconfig("deployer", namespace=NAMESPACE)))
    install(home.home() / "pulumi", ("kubernetes",))
    monkeypatch.setenv("SKYWRIGHT_STANDINS", str(desk.root / "standins.sqlite"))


def spec(desk: Desk, nodes: int = 2, **changes: Any) -> StackSpec:
    from stacks.provider import agents

    values: dict[str, Any] = {
        "cloud": "kubernetes",
        "stack": "train-kubernetes-test",
        "region": "test",
        "instance_type": "nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB",
        "accelerator": Accelerator("A100-80GB", 8),
        "cpus": 16.0,
        "memory_gb": 64.0,
        "agent": agents.digest(),
        "labels": {"team": "nlp"},
        "secrets": ("HF_TOKEN",),
        "owner": "ann",
        "task": "train",
        **changes,
    }
    return desk.spec(nodes, **values)


def changed(result: dict[str, Any]) -> dict[str, int]:
    return {what: count for what, count in result["changes"].items() if count and what != "same"}


def ids(result: dict[str, Any]) -> list[str]:
    return [row["id"] for row in sorted(result["nodes"], key=lambda row: row["rank"])]


def left(cluster: Cluster) -> list[str]:
    """Names of what there is of ours in the namespace."""
    found = []
    for kind in (*kubernetes.KINDS, "pods"):
        root, _, plural = kind.rpartition(":")
        path = f"/{root or 'api/v1'}/namespaces/{NAMESPACE}/{plural}"
        ours = f"{path}?labelSelector={quote(kubernetes.OURS)}"
        found += [f"{plural}/{one['metadata']['name']}" for one in cluster.ask("GET", ours)["items"]]
    return found


def test_a_life_in_one_namespace(desk: Desk, team: Cluster) -> None:
    wanted = spec(desk)
    scope = Scope.of(wanted)
    previewed = desk.well("preview", wanted)
    assert changed(previewed) == {"create": 5}
    assert left(team) == [], "a preview makes nothing"

    made = desk.well("up", wanted, secrets={"HF_TOKEN": "s3cret-of-ann"})
    first = ids(made)
    assert [row["address"].split(".")[-1] for row in made["nodes"]] == ["svc", "svc"]
    facts = kubernetes.inventory("proj", scope)
    assert sorted(one.node for one in facts if one.alive) == sorted(first)
    assert {(one.rank, one.deployment, one.project) for one in facts} == {
        (0, "train", "proj"),
        (1, "train", "proj"),
    }
    assert changed(desk.well("preview", wanted)) == {}

    # one is taken away: the Job makes it again, the stack stays as it is, and control is told the new id
    kubernetes.preempt(first[1], 5.0, scope)
    wait(
        lambda: first[1] not in {one.node for one in kubernetes.inventory("proj", scope)}, 30, "the pod goes"
    )
    again = desk.well("up", wanted, lost=(first[1],))
    assert ids(again)[0] == first[0]
    assert ids(again)[1] != first[1]
    assert changed(again) == {}
    assert changed(desk.well("preview", wanted)) == {}

    desk.well("destroy", wanted)
    assert left(team) == []
