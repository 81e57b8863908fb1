"""The cloud `kubernetes` through the real engine at a real API server, with a role for one namespace and no more.

kwok runs no program: what is shown is what the API does, never what happens inside a pod.
"""

from __future__ import annotations

import base64
import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from compiler.offer import Accelerator, Market
from compiler.problem import Problem, Problems
from compiler.spec import Given, StackSpec
from stacks import home, kubernetes, operate, process
from stacks.boot import Store as Store_
from stacks.cloud import Scope
from stacks.kubernetes import inside, objects
from stacks.kubernetes import waiting as kubernetes_waiting
from stacks.kubernetes.api import PERMISSIONS, Node
from stacks.objects import Unavailable, open_objects
from stacks.refusal import Refused as RefusedByEngine
from tests.components.cluster import Cluster
from tests.standins.install import install
from tests.standins.store import Store

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk, wait
from ejected import imports, unchanged, written

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

NAMESPACE = "team"
SECRET = "s3cret-of-ann-in-clear"
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
    """A namespace in which `deployer` has the role of the page, and three nodes."""
    if not cluster.there(f"/api/v1/namespaces/{NAMESPACE}"):
        _settle(cluster)
    spot = {"eks.amazonaws.com/capacityType": "SPOT", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    cluster.add_node("plain")
    cluster.add_node("spot-a", labels=spot, cpu="64", memory="512Gi", nvidia_dot_com__gpu="8")
    cluster.add_node("spot-b", labels=spot, cpu="64", memory="512Gi", nvidia_dot_com__gpu="8")
    yield cluster
    for name in ("plain", "spot-a", "spot-b"):
        cluster.remove_node(name)


def _settle(cluster: Cluster) -> None:
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
    assert changed(desk.well("preview", wanted)) == {"create": 5}
    assert left(team) == [], "a preview makes nothing"

    made = desk.well("up", wanted, secrets={"HF_TOKEN": SECRET})
    first = ids(made)
    base = objects.base(wanted)
    assert [row["address"] for row in made["nodes"]] == [
        f"{base}-{rank}.{base}-net.{NAMESPACE}.svc" for rank in (0, 1)
    ]
    facts = kubernetes.inventory("proj", scope)
    assert sorted(one.node for one in facts if one.alive) == sorted(first)
    assert {(one.rank, one.deployment, one.project, one.stack) for one in facts} == {
        (rank, "train", "proj", wanted.stack) for rank in (0, 1)
    }
    seen = desk.well("preview", wanted, record=True)
    assert changed(seen) == {}

    # A project without skywright takes it over as it stands.
    out = desk.root / "ejected"
    project = written(wanted, seen["recording"], out)
    program = project.files["__main__.py"].decode()
    assert imports(program) == {"base64", "pathlib", "pulumi", "pulumi_kubernetes"}
    assert "name=boot.metadata.name" in program
    assert "kubeconfig" not in program
    assert unchanged(out, wanted.stack) == project.resources + 1

    # One is taken away: the Job makes it again, the stack stays as it is, and control is told the new id.
    kubernetes.preempt(first[1], 5.0, scope)
    wait(
        lambda: first[1] not in {one.node for one in kubernetes.inventory("proj", scope)}, 30, "the pod goes"
    )
    again = desk.well("up", wanted, lost=(first[1],))
    assert ids(again)[0] == first[0]
    assert ids(again)[1] != first[1]
    assert changed(again) == {}
    assert changed(desk.well("preview", wanted)) == {}

    # Somebody else's hand is found, and put right.
    team.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}/services/{objects.net_name(wanted)}")
    desk.well("refresh", wanted)
    assert changed(desk.well("preview", wanted)) == {"create": 1}
    assert changed(desk.well("up", wanted)) == {"create": 1}

    # The value is where pods find it, and neither in Pulumi's state nor in anything that an operation wrote.
    held = team.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/{objects.values_name(wanted)}")["data"]
    assert base64.b64decode(held["HF_TOKEN"]).decode() == SECRET
    assert found_in(desk.root, SECRET) == []
    assert found_in(desk.root, held["HF_TOKEN"]) == []

    desk.well("destroy", wanted)
    team.until(lambda: left(team) == [], "the cluster collects what the stack's objects owned")


def found_in(folder: Path, text: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_an_up_that_is_killed_while_the_job_is_made_goes_on(desk: Desk, team: Cluster) -> None:
    wanted = spec(desk, 1, secrets=())
    store = Store(desk.root / "standins.sqlite")
    desk.well("up", wanted)
    (made_at,) = (step.n for step in store.steps() if step.urn.endswith("::nodes") and step.moment == "after")
    desk.well("destroy", wanted)
    store.forget_calls()
    store.halt_at(made_at)
    folder = desk.begin("up", wanted)
    wait(store.halted, 60, "the provider is held")
    owner = operate.owner(folder)
    assert owner is not None
    process.end(owner)
    store.go_on()
    made = desk.well("up", wanted)
    assert len(ids(made)) == 1
    assert [one.node for one in kubernetes.inventory("proj", Scope.of(wanted)) if one.alive] == ids(made)
    assert len(team.ask("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"]) == 1
    desk.well("destroy", wanted)
    team.until(lambda: left(team) == [], "nothing is left")


# Without the engine: a Job as the stack makes it, as far as waiting looks at it.


@pytest.fixture
def gang(team: Cluster, desk: Desk) -> Iterator[Callable[..., StackSpec]]:
    made: list[str] = []

    def begin(
        nodes: int = 1, *, cpu: str = "1", deployment: str = "wait", claim: str | None = None, **more: Any
    ) -> StackSpec:
        wanted = spec(desk, nodes, deployment=deployment, stack=f"{deployment}-kubernetes-test")
        marks = objects.marks(wanted)
        container = {"name": "task", "image": "none", "resources": {"requests": {"cpu": cpu}}}
        meta = {"labels": {**marks, "skywright.dev/market": "spot"}, "annotations": objects.notes(wanted)}
        pod: dict[str, Any] = {
            "metadata": meta,
            "spec": {"restartPolicy": "Never", "containers": [container]},
        }
        if claim:
            pod["spec"]["volumes"] = [{"name": "kept", "persistentVolumeClaim": {"claimName": claim}}]
        job = {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            "template": pod,
            **more,
        }
        body = {"metadata": {"name": objects.base(wanted), "labels": marks}, "spec": job}
        team.ask("POST", f"{JOBS}", body)
        made.append(objects.base(wanted))
        return wanted

    yield begin
    for name in (one for one in made if team.there(f"{JOBS}/{one}")):
        team.ask("DELETE", f"{JOBS}/{name}?propagationPolicy=Background&gracePeriodSeconds=0")
    team.until(lambda: left(team) == [], "the gang goes")


JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


def waiting(wanted: StackSpec, lost: tuple[str, ...] = (), **limits: float) -> list[dict[str, Any]]:
    """`present`, its limits shortened; what it told is kept in TOLD."""
    TOLD.clear()
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in limits.items():
            patch.setattr(kubernetes_waiting, name, seconds)
        return kubernetes.present(wanted, lost, threading.Event(), lambda row: TOLD.append(row["text"]))


TOLD: list[str] = []


def refused(wanted: StackSpec, **limits: float) -> Problem:
    with pytest.raises(Problems) as caught:
        waiting(wanted, **limits)
    return caught.value.problems[0]


def test_no_room_is_said_with_the_clusters_own_reason(gang: Callable[..., StackSpec]) -> None:
    problem = refused(gang(cpu="1000"), SCHEDULED_S=1.0)
    assert problem.code == "cloud/capacity"
    assert "Insufficient cpu" in problem.message
    assert any("finds no room" in text for text in TOLD)


def test_a_quota_is_said_as_such(gang: Callable[..., StackSpec], team: Cluster) -> None:
    quotas = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
    team.ask("POST", quotas, {"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "1"}}})
    team.until(lambda: team.ask("GET", f"{quotas}/small").get("status", {}).get("hard"), "the quota counts")
    try:
        problem = refused(gang(cpu="2"), MADE_S=6.0)
    finally:
        team.ask("DELETE", f"{quotas}/small")
    assert (problem.code, "exceeded quota: small" in problem.message) == ("cloud/quota", True)


def test_a_queue_may_take_its_time(gang: Callable[..., StackSpec], team: Cluster) -> None:
    wanted = gang(suspend=True)

    def released() -> None:
        team.until(lambda: TOLD, "it says that it waits")
        team.ask("PATCH", f"{JOBS}/{objects.base(wanted)}", {"spec": {"suspend": False}}, kind=MERGE)

    thread = threading.Thread(target=released)
    thread.start()
    rows = waiting(wanted, SCHEDULED_S=1.0, MADE_S=30.0)
    thread.join()
    assert len(rows) == 1
    assert TOLD[0] == "waits: the Job is suspended"


MERGE = "application/merge-patch+json"


def test_whoever_stops_the_operation_stops_the_wait(gang: Callable[..., StackSpec]) -> None:
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(RefusedByEngine, match="interrupted"):
        kubernetes.present(gang(suspend=True), (), stopping, lambda row: None)


def test_a_lost_pod_that_lingers_is_made_to_go(gang: Callable[..., StackSpec]) -> None:
    wanted = gang(2)
    first = [row["id"] for row in waiting(wanted)]
    second = [row["id"] for row in waiting(wanted, lost=(first[0],))]
    assert second[1] == first[1]
    assert second[0] != first[0]


def test_only_the_pod_itself_is_believed(gang: Callable[..., StackSpec], team: Cluster) -> None:
    node, other = (row["id"] for row in waiting(gang(2)))
    pod = Node.parse(node)
    assert pod is not None
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    uid = team.ask("GET", f"{pods}/{pod.pod}")["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod.pod, "uid": uid}
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token"
    token = team.ask("POST", accounts, {"spec": {"boundObjectRef": bound}})["status"]["token"]
    loose = team.ask("POST", accounts, {"spec": {}})["status"]["token"]
    assert kubernetes.verify(node, token)
    assert not kubernetes.verify(other, token)
    assert not kubernetes.verify(node, loose)
    assert not kubernetes.verify(node, "not.a.token")
    assert not kubernetes.verify(node, "")
    assert not kubernetes.verify(f"gone.{NAMESPACE}@test", token)


def test_chaos_takes_pods_of_spot_with_a_notice(gang: Callable[..., StackSpec]) -> None:
    (row,) = waiting(gang())
    kubernetes.preempt(row["id"], None)
    with pytest.raises(Problems, match="no pod") as caught:
        kubernetes.preempt(f"gone.{NAMESPACE}@test", 30.0)
    assert caught.value.problems[0].code == "cloud/no-such-node"


def test_removing_a_stray_pod_removes_what_makes_it(gang: Callable[..., StackSpec], team: Cluster) -> None:
    wanted = gang()
    (row,) = waiting(wanted)
    kubernetes.remove(row["id"])
    kubernetes.remove(row["id"])
    team.until(lambda: left(team) == [], "job and pod are gone")
    assert kubernetes.inventory("proj", Scope.of(wanted)) == ()


def test_control_reaches_into_a_pod(
    gang: Callable[..., StackSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the API server's exec, as somebody with the role; what a kubelet would run in the pod runs here."""
    (row,) = waiting(wanted := gang())
    agent = Path(__file__).parents[2] / "runtime" / "agent.py"
    words = (sys.executable, "-I", "-S", "-E", str(agent), "objects", str(tmp_path / "box"))
    monkeypatch.setattr(inside.Mailboxes, "command", words)
    store = Store_("pods", NAMESPACE, objects.base(wanted), region="test")
    reached = open_objects(store, {})
    large = bytes(range(256)) * 6000
    beat, blob = f"up/{row['id']}/beat", "down/blobs/0123"
    assert reached.get(beat) is None
    reached.put(beat, large)
    found = reached.get(beat)
    assert found
    assert found.content == large
    assert reached.new(blob, io.BytesIO(large * 3))
    assert (tmp_path / "box" / blob).read_bytes() == large * 3
    assert not reached.new(blob, large)
    assert reached.list() == [blob, beat]
    reached.delete([beat])
    assert reached.get(beat) is None
    assert reached.get(f"up/gone.{NAMESPACE}@test/beat") is None
    monkeypatch.setattr(
        inside.Mailboxes, "command", (sys.executable, "-c", "import sys; sys.exit('no mailbox')")
    )
    with pytest.raises(Unavailable, match="no mailbox"):
        reached.get(beat)


# What is asked of people.


def test_the_role_of_the_page_is_what_is_asked_for() -> None:
    rules = {
        (group, resource): set(rule["verbs"])
        for rule in role()["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rules == {(one.group, one.resource): set(one.verbs) for one in PERMISSIONS}


def test_check_names_what_is_not_allowed(team: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = kubernetes.check()
    assert fine[0].says == "test, namespace team: answers, and everything that is needed is allowed"
    assert any("nodes cannot be listed" in line.says for line in fine)
    monkeypatch.setenv("KUBECONFIG", str(team.kubeconfig("deployer", namespace="default")))
    assert not kubernetes.check()[0].ok
    assert "get, list, watch, create, patch, delete jobs.batch" in kubernetes.check()[0].says
    path = team.folder / "nowhere.kubeconfig"
    text = (
        team.kubeconfig("deployer", namespace=NAMESPACE)
        .read_text()
        .replace(team.server, "https://127.0.0.1:1")
    )
    path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert [(line.ok, "cannot be reached" in line.says) for line in kubernetes.check()] == [(False, True)]
    with pytest.raises(Problems, match="cannot be reached") as caught:
        kubernetes.inventory("proj")
    assert caught.value.problems[0].code == "cloud/no-answer"


def test_offers_are_what_the_nodes_have(team: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {(one.instance_type, one.accelerator) for one in kubernetes.offers()} == {("any-node", None)}
    monkeypatch.setenv("KUBECONFIG", str(team.kubeconfig("admin", namespace=NAMESPACE)))
    offers = kubernetes.offers()
    cards = {str(one.accelerator) for one in offers if one.market is Market.SPOT}
    assert cards == {f"A100-80GB:{n}" for n in (1, 2, 4, 8)}
    assert {one.region for one in offers} == {"test"}


def test_who_may_not_look_decides_nothing(team: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(team.kubeconfig("deployer", namespace="default")))
    with pytest.raises(Problems, match="cannot list resource") as caught:
        kubernetes.inventory("proj")
    assert caught.value.problems[0].code == "cloud/credentials"


def test_what_is_refused_for_want_of_a_right_is_sorted_so(desk: Desk, team: Cluster) -> None:
    wanted = spec(desk, 1, given=Given(namespace="default"))
    result = desk.run("up", wanted)
    assert (result["ok"], result["failure"]) == (False, "credentials")
