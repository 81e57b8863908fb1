"""The objects of one stack on Kubernetes: an Indexed Job whose pods are the nodes, and what they need beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.lower import GANG_DEADMAN_S, SINGLE_DEADMAN_S
from compiler.offer import Market
from compiler.spec import StackSpec

if TYPE_CHECKING:
    import pulumi
    import pulumi_kubernetes as k8s

OURS = "skywright.dev"
IMAGE = "python:3.12-slim-bookworm"
"""What the task runs in when it names no image, and where the agent's interpreter comes from: a public image."""

GRACE_S = {Market.SPOT: 120, Market.ON_DEMAND: 30}
"""What pods get between the signal and their end; a cloud that gives less notice ends them sooner."""

BOOT, ROOT = "/etc/skywright", "/var/lib/skywright"
KEPT = f"{ROOT}/kept"
"""Where the volume of a checkpoint folder is in a pod; the agent makes the task's folder a link to it."""
MAILBOX = f"{ROOT}/mailbox/box"
"""Where the agent and control leave what they have for each other."""

AGAIN, OVER = 75, 76
"""Exit codes of runtime/image/pod.py: make this pod again; end the whole deployment."""

RETRIES = 1_000_000
"""Losses of one rank that the Job makes good: how often it is worth it is control's to decide, not the Job's."""

_RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")
_KEY = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z"
)


def base(spec: StackSpec) -> str:
    """What all names of a stack begin with: of the deployment's name what DNS allows, and a mark of the stack."""
    plain = re.sub(r"[^a-z0-9]+", "-", spec.deployment.lower()).strip("-")[:32].strip("-") or "task"
    mark = hashlib.sha256(f"{spec.project}\0{spec.deployment}\0{spec.stack}".encode()).hexdigest()[:6]
    return f"{plain if plain[0].isalpha() else f't-{plain}'}-{mark}"


def net_name(spec: StackSpec) -> str:
    """The headless Service by which ranks find each other."""
    return f"{base(spec)}-net"


def secrets_name(spec: StackSpec) -> str:
    """The Secret of the stack, which stays empty."""
    return f"{base(spec)}-secrets"


def values_name(spec: StackSpec) -> str:
    """The Secret that an operation writes, owned by the empty one of the stack."""
    return f"{base(spec)}-values"


def registry_name(spec: StackSpec) -> str:
    """The pull secret that an operation writes."""
    return f"{base(spec)}-registry"


REGISTRY = ("SKYPILOT_DOCKER_USERNAME", "SKYPILOT_DOCKER_PASSWORD", "SKYPILOT_DOCKER_SERVER")
"""Secrets of a task that are a registry's credentials."""


def marks(spec: StackSpec) -> dict[str, str]:
    """The labels by which everything of a stack is found. Exact names stand in the annotations."""
    return {
        "app.kubernetes.io/managed-by": "skywright",
        f"{OURS}/project": spec.project,
        f"{OURS}/deployment": base(spec),
    }


def labels(spec: StackSpec) -> dict[str, str]:
    """`marks`, and of the task's own labels those that Kubernetes takes as labels."""
    return {**{key: value for key, value in spec.labels.items() if _fits(key, value)}, **marks(spec)}


def notes(spec: StackSpec) -> dict[str, str]:
    """Names as they are, and of the task's labels those that Kubernetes takes only here."""
    exact = {
        f"{OURS}/deployment": spec.deployment,
        f"{OURS}/stack": spec.stack,
        f"{OURS}/task": spec.task,
        f"{OURS}/owner": spec.owner,
        f"{OURS}/market": spec.market.value,
    }
    others = {key: value for key, value in spec.labels.items() if not _fits(key, value)}
    if others:
        exact[f"{OURS}/labels"] = json.dumps(others, sort_keys=True)
    return {key: value for key, value in exact.items() if value}


def _fits(key: str, value: str) -> bool:
    return bool(_KEY.match(key) and _LABEL.match(value) and not key.startswith(f"{OURS}/"))


@cache
def archive() -> bytes:
    """The agent that is installed here as a tar archive; equal agents give equal bytes."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:xz", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(_RUNTIME.glob("*.py")):
            content = path.read_bytes()
            member = tarfile.TarInfo(path.name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def node(spec: StackSpec) -> dict[str, Any]:
    """What runtime/image/pod.py is told of its node, the same for every rank."""
    link = {"carrier": "bucket", "store": {"kind": "folder", "bucket": f"{ROOT}/mailbox", "prefix": "box"}}
    found = {
        "agent": spec.agent,
        "job": base(spec),
        "context": spec.region or spec.given.context or "",
        "grace_s": GRACE_S[spec.market],
        "cloud": spec.cloud,
        "project": spec.project,
        "deployment": spec.deployment,
        "region": spec.region,
        "link": {**link, "secrets": f"{ROOT}/secrets/"} if spec.secrets else link,
        "kept": KEPT if spec.checkpoint else None,
        "deadman_s": spec.deadman_s or (GANG_DEADMAN_S if spec.nodes > 1 else SINGLE_DEADMAN_S),
        "most_s": spec.most_s,
        "labels": dict(sorted(spec.labels.items())),
    }
    return {key: value for key, value in found.items() if value not in (None, {})}


def declare(spec: StackSpec) -> None:
    """All objects, and the export `nodes`."""
    import pulumi
    import pulumi_kubernetes as k8s

    from stacks.kubernetes import claim

    cluster = k8s.Provider(
        "cluster",
        k8s.ProviderArgs(
            context=spec.region or spec.given.context,
            namespace=spec.given.namespace,
            enable_server_side_apply=True,
            # A create that a kill cut off is repeated: names carry a mark of the stack, so nothing else has them.
            upsert_existing_objects=True,
            # What others changed of ours is put back.
            enable_patch_force=True,
        ),
    )
    there = pulumi.ResourceOptions(provider=cluster)
    boot = _boot(spec, there)
    _network(spec, there)
    if spec.secrets:
        k8s.core.v1.Secret(
            "secrets", k8s.core.v1.SecretInitArgs(metadata=meta(spec, secrets_name(spec))), there
        )
    claim.declare(spec, there)
    job = _job(spec, boot, there)
    place = job.metadata.namespace.apply(lambda name: name or spec.given.namespace or "default")
    context = spec.region or spec.given.context or ""
    pulumi.export(
        "nodes",
        [
            {
                "rank": rank,
                "id": pulumi.Output.format("{0}-{1}.{2}@{3}", base(spec), rank, place, context),
                "address": pulumi.Output.format("{0}-{1}.{0}-net.{2}.svc", base(spec), rank, place),
            }
            for rank in spec.ranks
        ],
    )
    pulumi.export("store", {"kind": "pods", "bucket": place, "prefix": base(spec), "region": context})


def meta(spec: StackSpec, name: str, **more: str) -> k8s.meta.v1.ObjectMetaArgs:
    """An object's name, labels and annotations, `more` among the latter."""
    import pulumi_kubernetes as k8s

    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=spec.given.namespace,
        labels=labels(spec),
        annotations={**notes(spec), **more},
    )


def _boot(spec: StackSpec, there: pulumi.ResourceOptions) -> k8s.core.v1.ConfigMap:
    """The agent, its first process and what the node is told: by content, so that a change takes new pods."""
    import pulumi_kubernetes as k8s

    texts = {
        "pod.py": (_RUNTIME / "image" / "pod.py").read_text(),
        "node.json": json.dumps(node(spec), sort_keys=True),
    }
    agent = base64.b64encode(archive()).decode()
    mark = hashlib.sha256(json.dumps([agent, texts]).encode()).hexdigest()[:10]
    return k8s.core.v1.ConfigMap(
        "boot",
        k8s.core.v1.ConfigMapInitArgs(
            metadata=meta(spec, f"{base(spec)}-{mark}"),
            immutable=True,
            binary_data={"agent": agent},
            data=texts,
        ),
        there,
    )


def _network(spec: StackSpec, there: pulumi.ResourceOptions) -> None:
    """Names for the ranks; who may connect: the other ranks, and everybody to the ports that were asked for."""
    import pulumi_kubernetes as k8s

    core, net = k8s.core.v1, k8s.networking.v1
    k8s.core.v1.Service(
        "names",
        core.ServiceInitArgs(
            metadata=meta(spec, net_name(spec), **{"pulumi.com/skipAwait": "true"}),
            spec=core.ServiceSpecArgs(
                cluster_ip="None", selector=marks(spec), publish_not_ready_addresses=True
            ),
        ),
        there,
    )
    among = net.NetworkPolicyIngressRuleArgs(
        from_=[
            net.NetworkPolicyPeerArgs(pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=marks(spec)))
        ]
    )
    opened = [
        (int(first), int(last or first)) for first, _, last in (one.partition("-") for one in spec.ports)
    ]
    ports = [
        net.NetworkPolicyPortArgs(protocol="TCP", port=first, end_port=last if last > first else None)
        for first, last in opened
    ]
    net.NetworkPolicy(
        "policy",
        net.NetworkPolicyInitArgs(
            metadata=meta(spec, f"{base(spec)}-policy"),
            spec=net.NetworkPolicySpecArgs(
                pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=marks(spec)),
                policy_types=["Ingress"],
                ingress=[among, *([net.NetworkPolicyIngressRuleArgs(ports=ports)] if ports else [])],
            ),
        ),
        there,
    )
    if opened:
        head = {**marks(spec), "batch.kubernetes.io/job-completion-index": "0"}
        every = [port for first, last in opened for port in range(first, last + 1)]
        core.Service(
            "ports",
            core.ServiceInitArgs(
                metadata=meta(spec, f"{base(spec)}-ports", **{"pulumi.com/skipAwait": "true"}),
                spec=core.ServiceSpecArgs(
                    type="LoadBalancer",
                    selector=head,
                    ports=[
                        core.ServicePortArgs(name=f"p{port}", port=port, protocol="TCP") for port in every
                    ],
                ),
            ),
            there,
        )


def _job(spec: StackSpec, boot: k8s.core.v1.ConfigMap, there: pulumi.ResourceOptions) -> k8s.batch.v1.Job:
    """The gang. Pods that are lost are made again by the Job itself; whether work goes on is control's to say."""
    import pulumi
    import pulumi_kubernetes as k8s

    from stacks.kubernetes import queue
    from stacks.kubernetes.pod import template

    batch, joined = k8s.batch.v1, queue.name(spec)
    # Waited for only until it is there: it ends when the deployment does.
    about = meta(spec, base(spec), **{"pulumi.com/waitFor": "jsonpath={.metadata.uid}"})
    if joined:
        about.labels = {**labels(spec), queue.LABEL: joined}
        # From then on that is Kueue's.
        there = pulumi.ResourceOptions.merge(there, pulumi.ResourceOptions(ignore_changes=["spec.suspend"]))
    return batch.Job(
        "nodes",
        batch.JobInitArgs(
            metadata=about,
            spec=batch.JobSpecArgs(
                suspend=True if joined else None,
                completion_mode="Indexed",
                completions=spec.nodes,
                parallelism=spec.nodes,
                backoff_limit_per_index=RETRIES,
                pod_replacement_policy="Failed",
                pod_failure_policy=batch.PodFailurePolicyArgs(
                    rules=[
                        batch.PodFailurePolicyRuleArgs(
                            action="Ignore",
                            on_pod_conditions=[
                                batch.PodFailurePolicyOnPodConditionsPatternArgs(
                                    type="DisruptionTarget", status="True"
                                )
                            ],
                        ),
                        _on_exit("FailJob", OVER),
                        _on_exit("Ignore", AGAIN),
                    ]
                ),
                template=template(spec, boot),
            ),
        ),
        there,
    )


def _on_exit(action: str, code: int) -> k8s.batch.v1.PodFailurePolicyRuleArgs:
    import pulumi_kubernetes as k8s

    codes = k8s.batch.v1.PodFailurePolicyOnExitCodesRequirementArgs(
        container_name="task", operator="In", values=[code]
    )
    return k8s.batch.v1.PodFailurePolicyRuleArgs(action=action, on_exit_codes=codes)
