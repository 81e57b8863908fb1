"""The cloud `kubernetes`: any cluster of a kubeconfig; a node is a pod of an Indexed Job, made again by the cluster."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.offer import Capability, Market, Offer
from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from stacks.cloud import ANYWHERE, Access, Check, Failure, Idle, NodeFacts, Probe, Scope, Traces
from stacks.kubernetes import nodes as labels

if TYPE_CHECKING:
    from stacks.kubernetes.api import Cluster, Node

NAME = "kubernetes"
CAPABILITIES = frozenset(
    {
        Capability.MULTI_NODE,
        Capability.SPOT,
        Capability.LABELS,
        Capability.CHECKPOINT,
        Capability.WORKDIR,
        Capability.PORTS,
        Capability.CONTAINER,
        Capability.PRIORITY_CLASS,
    }
)
ENV: tuple[str, ...] = ("KUBECONFIG",)
PROBES: tuple[Probe, ...] = ()  # the first process of the pod serves one to its agent: runtime/image/pod.py
EXTRA = "kubernetes"
FOUNDATION = False

OURS = "app.kubernetes.io/managed-by=skywright"
MARK = "skywright.dev"
INDEX = "batch.kubernetes.io/job-completion-index"
JOBS = "apis/batch/v1:jobs"
KINDS = (JOBS, "services", "apis/networking.k8s.io/v1:networkpolicies", "configmaps", "secrets")
"""What a stack makes, in the order in which it goes."""

UNLISTED = (64.0, 256.0)
"""vCPUs and GB that are taken for granted of nodes which nobody here may list."""

_SORTED = (
    (Failure.QUOTA, r"exceeded quota|quota exceeded|forbidden: exceeded|limitrange"),
    (
        Failure.CAPACITY,
        r"insufficient |unschedulable|nodes are available|preemption: |too many pods|no nodes? match",
    ),
    (
        Failure.CREDENTIALS,
        r"unauthori[sz]ed|is forbidden: user|cannot (?:get|list|watch|create|patch|update|delete) resource|"
        r"must be logged in|certificate (?:has expired|signed by unknown)|context \"[^\"]*\" does not exist|"
        r"cloud/credentials|unable to load kubernetes client configuration",
    ),
    (Failure.NOT_FOUND, r"not found|no matches for kind"),
)


def configured() -> bool:
    """A kubeconfig that was named, or a pod's own identity. One that only lies at its usual place is used when a
    task or the configuration names this cloud: nobody's tasks end up in a cluster by surprise."""
    return bool(os.environ.get("KUBECONFIG")) or bool(
        os.environ.get("KUBERNETES_SERVICE_HOST")
        and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()
    )


def offers() -> tuple[Offer, ...]:
    """Pods on the nodes of the current context (SKYWRIGHT_KUBERNETES_CONTEXTS names others), at no price of ours.

    Who may not list nodes gets pods without accelerators offered; `prices.machines` of the configuration adds more.
    """
    found: list[Offer] = []
    for context in _sold():
        found += labels.offers(context, _shapes(context))
    return tuple(found)


def check() -> tuple[Check, ...]:
    """Whether each context answers, as whom, what is not allowed there by name, what the cluster serves."""
    from stacks.kubernetes.checking import lines

    return lines(_sold())


def build(spec: StackSpec) -> None:
    """The objects of the stack; exports `nodes` with the ids that pods' names begin with: `present` knows the rest."""
    from stacks.kubernetes.objects import declare

    declare(spec)


def foundation(spec: Foundation) -> None:
    """Nothing: a cluster has its network."""


def idle(spec: Foundation) -> tuple[Idle, ...]:
    """Nothing stands."""
    return ()


def kept(spec: StackSpec, stores: object = ()) -> tuple[Idle, ...]:
    """The claim of a checkpoint folder, which stays when the deployment goes."""
    from stacks.kubernetes import claim

    return claim.standing(spec)


def present(
    spec: StackSpec, lost: Collection[str], stopping: threading.Event, tell: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Rows `{rank, id, address}` of the pods that the Job made, when each rank has one that runs.

    Of `lost` (nodes that control has given up) what is left is deleted, so that the Job makes others. Raises
    Problems cloud/capacity, cloud/quota, cloud/bad-image, cloud/no-storage, cloud/no-queue, and others of the cluster.
    """
    from stacks.kubernetes.waiting import Waiting

    with _cluster(Scope.of(spec)) as cluster:
        return Waiting(cluster, spec, lost, stopping, tell).rows()


def write_secrets(spec: StackSpec, values: Mapping[str, str]) -> None:
    """The values into a Secret of its own, which goes with the empty one that the stack made."""
    from stacks.kubernetes import objects

    with _cluster(Scope.of(spec)) as cluster:
        owner = cluster.get("secrets", objects.secrets_name(spec))
        if owner is None:
            says = f"the Secret {objects.secrets_name(spec)} is not there"
            raise Problems(Problem("cloud/not-found", says, hint="run the command again: it makes it anew"))
        held = {"apiVersion": "v1", "kind": "Secret", "name": owner["metadata"]["name"]}
        meta = {
            "labels": objects.marks(spec),
            "ownerReferences": [{**held, "uid": owner["metadata"]["uid"]}],
        }
        wanted = {name: values[name] for name in spec.secrets if name in values}
        coded = {name: base64.b64encode(text.encode()).decode() for name, text in wanted.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": coded}
        cluster.apply("secrets", {**body, "metadata": {**meta, "name": objects.values_name(spec)}})
        if login := _registry(wanted):
            coded = {".dockerconfigjson": base64.b64encode(login.encode()).decode()}
            body = {**body, "type": "kubernetes.io/dockerconfigjson", "data": coded}
            cluster.apply("secrets", {**body, "metadata": {**meta, "name": objects.registry_name(spec)}})


def inventory(project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
    """The pods of ours in one namespace; one counts as alive until it is known to have ended."""
    from stacks.kubernetes.api import chosen

    if chosen(scope) is None:
        return ()
    with _cluster(scope) as cluster:
        wanted = f"{OURS},{MARK}/project={project}" if project else OURS
        pods = cluster.list("pods", wanted)
        return tuple(facts for pod in pods if (facts := _facts(cluster, pod)) is not None)


def remove(node: str, scope: Scope = ANYWHERE) -> None:
    """Delete a pod and the whole stack that would make it again. Idempotent."""
    found = _parsed(node)
    if found is None:
        return
    with _cluster_of(found) as cluster:
        pod = cluster.get("pods", found.pod)
        if pod is None:
            return
        name = pod["metadata"].get("labels", {}).get(f"{MARK}/deployment")
        project = pod["metadata"].get("labels", {}).get(f"{MARK}/project")
        if name and project:
            _sweep(cluster, project, name, frozenset(), look=False)
        cluster.delete("pods", found.pod, grace_s=0)


def traces(spec: StackSpec | Foundation) -> Traces:
    """Labels of the Job, its pods and all beside it."""
    from stacks.kubernetes import objects

    if isinstance(spec, Foundation):
        return Traces({}, ())
    found = objects.marks(spec)
    context = f" --context {spec.region}" if spec.region else ""
    where = f" --namespace {spec.given.namespace}" if spec.given.namespace else " --all-namespaces"
    wanted = ",".join(f"{key}={value}" for key, value in found.items())
    kinds = "jobs,pods,services,secrets,configmaps,persistentvolumeclaims,networkpolicies"
    return Traces(found, (f"kubectl{context} get {kinds}{where} -l {wanted}",))


def sweep(
    spec: StackSpec | Foundation, known: frozenset[str], scope: Scope = ANYWHERE, look: bool = False
) -> tuple[str, ...]:
    """Delete what a create that was cut off left: objects with our marks that the state does not know."""
    from stacks.kubernetes import objects

    if isinstance(spec, Foundation):
        return ()
    with _cluster(scope) as cluster:
        return _sweep(cluster, spec.project, objects.base(spec), known, look)


def _sweep(cluster: Cluster, project: str, name: str, known: frozenset[str], look: bool) -> tuple[str, ...]:
    """Names of what was deleted. What something else owns goes with that."""
    wanted, gone = f"{OURS},{MARK}/project={project},{MARK}/deployment={name}", []
    for kind in KINDS:
        for one in cluster.list(kind, wanted):
            meta = one["metadata"]
            if f"{cluster.namespace}/{meta['name']}" not in known and not meta.get("ownerReferences"):
                if not look:
                    cluster.delete(kind, meta["name"])
                gone.append(f"{kind.rpartition(':')[2]}/{meta['name']}")
    return tuple(gone)


def stop(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Raises Problems cloud/cannot-stop: a pod that is stopped is gone, with its disk."""
    says = "pods cannot be stopped: their disks go with them"
    raise Problems(Problem("cloud/cannot-stop", says, hint="`invoke down` removes them"))


def start(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Raises Problems cloud/cannot-stop."""
    stop(nodes, scope)


def verify(node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
    """Is `proof` a token that the cluster gave to just this pod? The cluster itself is asked whose it is."""
    found = _parsed(node)
    if found is None or not proof:
        return False
    with _cluster_of(found) as cluster:
        extra = cluster.who(proof).get("extra") or {}
        named = extra.get("authentication.kubernetes.io/pod-name") or [""]
        uid = extra.get("authentication.kubernetes.io/pod-uid") or [""]
        pod = cluster.get("pods", found.pod) if named == [found.pod] else None
        return pod is not None and [pod["metadata"]["uid"]] == uid


def access(node: str, scope: Scope = ANYWHERE) -> Access:
    """Through the API server: nothing of a pod is reachable from outside."""
    found = _parsed(node)
    if found is None:
        raise _unknown(node)
    kubectl = ("kubectl", "--context", found.context, "--namespace", found.namespace)
    return Access(  # noqa: S604 (a field's name)
        shell=(*kubectl, "exec", "-it", found.pod, "--container", "task", "--", "bash", "-l"),
        forward=(*kubectl, "port-forward", f"pod/{found.pod}", "{local}:{port}"),
    )


def preempt(node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
    """Delete a pod as a drain does, with `notice_s` between signal and end, or at once when that is None.

    Raises Problems cloud/no-such-node and cloud/not-spot.
    """
    found = _parsed(node)
    if found is None:
        raise _unknown(node)
    with _cluster_of(found) as cluster:
        pod = cluster.get("pods", found.pod)
        if pod is None or pod["status"].get("phase") not in ("Pending", "Running"):
            raise _unknown(node)
        spot = pod["metadata"].get("labels", {}).get(f"{MARK}/market") == Market.SPOT.value
        if notice_s is not None and not spot:
            says = f"node {node} is on-demand: only spot capacity is taken away with a notice"
            hint = "use `use_spot: true`, or `invoke chaos kill` for a loss without notice"
            raise Problems(Problem("cloud/not-spot", says, hint=hint))
        cluster.delete("pods", found.pod, grace_s=0 if notice_s is None else max(1, round(notice_s)))


def kill_agent(node: str, scope: Scope = ANYWHERE) -> int:
    """Kill the agent in a pod and nothing else; its pid. Problems cloud/no-such-node, cloud/no-agent."""
    from stacks.kubernetes.inside import INTERPRETER, run

    found = _parsed(node)
    said = run(found, [INTERPRETER, "-c", _KILL]) if found else None
    if said is None:
        raise _unknown(node)
    if not said.strip().isdigit():
        says = f"no agent runs on node {node} now"
        raise Problems(Problem("cloud/no-agent", says, hint="it is starting; try again"))
    return int(said)


_KILL = (
    "import glob,os,signal\n"
    "for path in glob.glob('/proc/[0-9]*/cmdline'):\n"
    "    words=open(path,'rb').read().split(b'\\0')\n"
    "    if len(words)>5 and words[-3].endswith(b'/agent.py') and words[-2].endswith(b'manifest.json'):\n"
    "        pid=int(path.split('/')[2]); os.kill(pid,signal.SIGKILL); print(pid); break\n"
)


def sort(error: str) -> Failure:
    """Which kind of failure a message of the API server or of the provider is."""
    for failure, pattern in _SORTED:
        if re.search(pattern, error, re.IGNORECASE):
            return failure
    return Failure.OTHER


def _sold() -> tuple[str, ...]:
    """Contexts that are looked at when no task names one."""
    from stacks.kubernetes.api import contexts

    known, current = contexts()
    named = os.environ.get("SKYWRIGHT_KUBERNETES_CONTEXTS", "")
    if named:
        return tuple(one for one in named.split(",") if one in known)
    return (current,) if current else ()


def _shapes(context: str) -> list[labels.Shape]:
    from stacks.kubernetes import api

    with api.cluster(context) as cluster:
        if not cluster.may("", "nodes", "list", namespaced=False):
            return [labels.Shape(*UNLISTED, 0.0, "x86_64", market) for market in Market]
        found = cluster.call("GET", "/api/v1/nodes")
    made = [
        labels.shape(
            one["metadata"].get("labels") or {},
            one["status"].get("allocatable") or {},
            one["spec"].get("taints") or (),
        )
        for one in (found or {}).get("items", ())
        if not one["spec"].get("unschedulable")
    ]
    return [one for one in made if one is not None]


def _facts(cluster: Cluster, pod: Mapping[str, Any]) -> NodeFacts | None:
    from stacks.kubernetes.api import Node

    meta, status = pod["metadata"], pod["status"]
    said, marked = meta.get("annotations") or {}, meta.get("labels") or {}
    if f"{MARK}/deployment" not in said or INDEX not in said:
        return None
    job = next((one["name"] for one in meta.get("ownerReferences") or () if one["kind"] == "Job"), None)
    rank = int(said[INDEX])
    return NodeFacts(
        node=str(Node(meta["name"], cluster.namespace, cluster.context)),
        project=marked[f"{MARK}/project"],
        deployment=said[f"{MARK}/deployment"],
        rank=rank,
        address=f"{job}-{rank}.{job}-net.{cluster.namespace}.svc",
        alive=status.get("phase") in ("Pending", "Running", "Unknown"),
        created=meta["creationTimestamp"],
        stack=said.get(f"{MARK}/stack"),
        region=cluster.context,
        resource=f"{cluster.namespace}/{job}" if job else None,
    )


def _registry(values: Mapping[str, str]) -> str | None:
    from stacks.kubernetes.objects import REGISTRY

    user, password, server = (values.get(name) for name in REGISTRY)
    if not password:
        return None
    pair = base64.b64encode(f"{user or ''}:{password}".encode()).decode()
    login = {"username": user or "", "password": password, "auth": pair}
    return json.dumps({"auths": {server or "https://index.docker.io/v1/": login}})


def _parsed(node: str) -> Node | None:
    from stacks.kubernetes.api import Node

    return Node.parse(node)


def _cluster(scope: Scope) -> Any:
    """The cluster and namespace that a scope means. Raises Problems cloud/credentials where there is none."""
    from stacks.kubernetes import api

    context = api.chosen(scope)
    if context is None:
        says = "no kubeconfig has a context that is current"
        raise Problems(
            Problem("cloud/credentials", says, hint="KUBECONFIG names the file, or ~/.kube/config")
        )
    return api.cluster(context, scope.given.namespace)


def _cluster_of(node: Node) -> Any:
    from stacks.kubernetes import api

    return api.cluster(node.context, node.namespace)


def _unknown(node: str) -> Problems:
    hint = "`invoke status` lists nodes"
    return Problems(Problem("cloud/no-such-node", f"no pod {node} is running", hint=hint))
