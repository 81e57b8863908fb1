"""The pods of a stack on Kubernetes: the task's image, an interpreter for the agent, where they may run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.spec import StackSpec
from stacks.kubernetes import claim, nodes
from stacks.kubernetes.objects import (
    BOOT,
    GRACE_S,
    IMAGE,
    KEPT,
    OURS,
    REGISTRY,
    ROOT,
    labels,
    net_name,
    notes,
    registry_name,
    values_name,
)

if TYPE_CHECKING:
    import pulumi_kubernetes as k8s

PYTHON = f"{ROOT}/python"
AUTOSCALER = "cluster-autoscaler.kubernetes.io/safe-to-evict"
KARPENTER = "karpenter.sh/do-not-disrupt"


def template(spec: StackSpec, boot: k8s.core.v1.ConfigMap) -> k8s.core.v1.PodTemplateSpecArgs:
    """One rank: its index comes from the Job."""
    import pulumi_kubernetes as k8s

    core = k8s.core.v1
    stay = {AUTOSCALER: "false", KARPENTER: "true"}
    # What Kueue is told it is told by the Job: a pod of its own in the queue would be counted twice.
    own = {key: value for key, value in labels(spec).items() if not key.startswith("kueue.x-k8s.io/")}
    return core.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            labels={**own, f"{OURS}/market": spec.market.value},
            annotations={**notes(spec), **stay},
        ),
        spec=core.PodSpecArgs(
            restart_policy="Never",
            subdomain=net_name(spec),
            service_account_name=spec.given.role,
            automount_service_account_token=bool(spec.given.role),
            enable_service_links=False,
            termination_grace_period_seconds=GRACE_S[spec.market],
            priority_class_name=spec.priority_class,
            image_pull_secrets=[core.LocalObjectReferenceArgs(name=registry_name(spec))]
            if set(REGISTRY) & set(spec.secrets)
            else None,
            security_context=core.PodSecurityContextArgs(
                seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
                fs_group=claim.GROUP_ID if spec.checkpoint else None,
                fs_group_change_policy="OnRootMismatch" if spec.checkpoint else None,
            ),
            node_selector=nodes.selector(spec.instance_type) or None,
            affinity=_affinity(spec),
            tolerations=[
                core.TolerationArgs(key=key, operator="Exists", effect="NoSchedule")
                for key in nodes.tolerations(spec.market, spec.accelerator)
            ]
            or None,
            init_containers=[_interpreter()],
            containers=[_task(spec)],
            volumes=_volumes(spec, boot),
        ),
    )


def _interpreter() -> k8s.core.v1.ContainerArgs:
    """Brings the agent's Python: the task's image may have none, or one that is too old."""
    import pulumi_kubernetes as k8s

    core = k8s.core.v1
    return core.ContainerArgs(
        name="interpreter",
        image=IMAGE,
        command=["python3", f"{BOOT}/pod.py", "bring", PYTHON],
        volume_mounts=[
            core.VolumeMountArgs(name="boot", mount_path=BOOT, read_only=True),
            core.VolumeMountArgs(name="skywright", mount_path=ROOT),
        ],
        resources=core.ResourceRequirementsArgs(requests={"cpu": "100m", "memory": "128Mi"}),
        security_context=_contained(),
    )


def _task(spec: StackSpec) -> k8s.core.v1.ContainerArgs:
    import pulumi_kubernetes as k8s

    core = k8s.core.v1
    field = core.EnvVarSourceArgs
    mounts = [("boot", BOOT, True), ("skywright", ROOT, False), ("memory", "/dev/shm", False)]  # noqa: S108
    if spec.secrets:
        mounts.append(("secrets", f"{ROOT}/secrets", True))
    if spec.checkpoint:
        mounts.append(("checkpoint", KEPT, False))
    return core.ContainerArgs(
        name="task",
        image=spec.container or IMAGE,
        command=[f"{PYTHON}/bin/python3", "-I", "-S", "-E", f"{BOOT}/pod.py"],
        env=[
            core.EnvVarArgs(
                name=name,
                value_from=field(field_ref=core.ObjectFieldSelectorArgs(field_path=path)),
            )
            for name, path in (
                ("SKYWRIGHT_POD", "metadata.name"),
                ("SKYWRIGHT_NAMESPACE", "metadata.namespace"),
            )
        ],
        ports=[core.ContainerPortArgs(container_port=int(port)) for port in spec.ports if "-" not in port]
        or None,
        resources=_resources(spec),
        security_context=_contained(),
        volume_mounts=[
            core.VolumeMountArgs(name=name, mount_path=path, read_only=only or None)
            for name, path, only in mounts
        ],
    )


def _contained() -> k8s.core.v1.SecurityContextArgs:
    """What every image can live with; a namespace that asks for more says so, and the image has to fit."""
    import pulumi_kubernetes as k8s

    return k8s.core.v1.SecurityContextArgs(allow_privilege_escalation=False, privileged=False)


def _resources(spec: StackSpec) -> k8s.core.v1.ResourceRequirementsArgs:
    import pulumi_kubernetes as k8s

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if spec.cpus is not None:
        requests["cpu"] = nodes.written(round(spec.cpus * 1000), nodes.CPU)
    if spec.memory_gb is not None:
        requests["memory"] = limits["memory"] = nodes.written(round(spec.memory_gb * 1024), nodes.MEMORY)
    if spec.disk_gb is not None:
        requests["ephemeral-storage"] = nodes.written(round(spec.disk_gb), nodes.DISK)
    if spec.accelerator is not None:
        limits[nodes.resource(spec.accelerator)] = f"{spec.accelerator.count:g}"
    return k8s.core.v1.ResourceRequirementsArgs(requests=requests or None, limits=limits or None)


def _affinity(spec: StackSpec) -> k8s.core.v1.AffinityArgs:
    import pulumi_kubernetes as k8s

    core = k8s.core.v1
    return core.AffinityArgs(
        node_affinity=core.NodeAffinityArgs(
            required_during_scheduling_ignored_during_execution=core.NodeSelectorArgs(
                node_selector_terms=[
                    core.NodeSelectorTermArgs(
                        match_expressions=[
                            core.NodeSelectorRequirementArgs(key=key, operator=operator, values=[value])
                            for key, operator, value in expressions
                        ]
                    )
                    for expressions in nodes.terms(spec.market)
                ]
            )
        )
    )


def _volumes(spec: StackSpec, boot: k8s.core.v1.ConfigMap) -> list[k8s.core.v1.VolumeArgs]:
    import pulumi_kubernetes as k8s

    core = k8s.core.v1
    found = [
        core.VolumeArgs(name="boot", config_map=core.ConfigMapVolumeSourceArgs(name=boot.metadata.name)),
        core.VolumeArgs(name="skywright", empty_dir=core.EmptyDirVolumeSourceArgs()),
        # Workers of data loaders and NCCL share memory: the 64 MB that containers get are not enough.
        core.VolumeArgs(name="memory", empty_dir=core.EmptyDirVolumeSourceArgs(medium="Memory")),
    ]
    if spec.secrets:
        source = core.SecretVolumeSourceArgs(secret_name=values_name(spec), optional=True, default_mode=0o400)
        found.append(core.VolumeArgs(name="secrets", secret=source))
    if spec.checkpoint:
        held = core.PersistentVolumeClaimVolumeSourceArgs(claim_name=claim.name(spec))
        found.append(core.VolumeArgs(name="checkpoint", persistent_volume_claim=held))
    return found
