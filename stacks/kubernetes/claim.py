"""The volume of a deployment's checkpoint folder on Kubernetes: a claim that stays when the stack goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks.cloud import Idle, Scope
from stacks.kubernetes.objects import base, meta

if TYPE_CHECKING:
    import pulumi
    import pulumi_kubernetes as k8s

KIND = "persistentvolumeclaims"
SIZE_GB = 100.0
GROUP_ID = 2000
"""The group that the volume belongs to, and every process of the pod: images may run as any user."""
ONE, MANY = "ReadWriteOnce", "ReadWriteMany"


def name(spec: StackSpec) -> str:
    """The claim's name."""
    return f"{base(spec)}-checkpoint"


def mode(spec: StackSpec) -> str:
    """How pods mount it: one at a time, or all ranks of a gang together."""
    return MANY if spec.nodes > 1 else ONE


def declare(spec: StackSpec, there: pulumi.ResourceOptions) -> k8s.core.v1.PersistentVolumeClaim | None:
    """The claim, where the task keeps a folder.

    It is never replaced, whatever the configuration says later, and the next `up` takes on the one that is there.
    """
    import pulumi
    import pulumi_kubernetes as k8s

    if spec.checkpoint is None:
        return None
    core, live = k8s.core.v1, (_live(spec) or {}).get("spec") or {}
    size = live.get("resources", {}).get("requests", {}).get("storage")
    kept = pulumi.ResourceOptions(retain_on_delete=True, ignore_changes=["spec"])
    return core.PersistentVolumeClaim(
        "checkpoint",
        core.PersistentVolumeClaimInitArgs(
            # Some classes make the volume only when a pod wants it: nobody waits for it here.
            metadata=meta(spec, name(spec), **{"pulumi.com/skipAwait": "true"}),
            spec=core.PersistentVolumeClaimSpecArgs(
                access_modes=live.get("accessModes") or [mode(spec)],
                storage_class_name=live.get("storageClassName") if live else spec.given.storage_class,
                resources=core.VolumeResourceRequirementsArgs(
                    requests={"storage": size or f"{spec.given.checkpoint_gb or SIZE_GB:g}G"}
                ),
            ),
        ),
        opts=pulumi.ResourceOptions.merge(there, kept),
    )


def _live(spec: StackSpec) -> dict[str, Any] | None:
    """The claim of an earlier life. Where the cluster cannot be asked, making the claim tells."""
    from stacks.kubernetes import api

    try:
        context = api.chosen(Scope.of(spec))
        if context is None:
            return None
        with api.cluster(context, spec.given.namespace) as cluster:
            return cluster.get(KIND, name(spec))
    except Problems:
        return None


def standing(spec: StackSpec) -> tuple[Idle, ...]:
    """What stays after `down`."""
    if spec.checkpoint is None:
        return ()
    within = f" in namespace {spec.given.namespace}" if spec.given.namespace else ""
    flags = "".join(
        f" --{flag} {value}"
        for flag, value in (("context", spec.region), ("namespace", spec.given.namespace))
        if value
    )
    says = f"the checkpoint folder {spec.checkpoint}; `kubectl{flags} delete pvc {name(spec)}` removes it"
    return (Idle(f"PersistentVolumeClaim {name(spec)}{within}", 0.0, says),)


def unfit(live: dict[str, Any] | None, spec: StackSpec) -> Problem | None:
    """Why pods of this stack can never mount the claim that is there."""
    if live is None or spec.nodes == 1 or MANY in (live["spec"].get("accessModes") or ()):
        return None
    says = f"the checkpoint claim {name(spec)} is for one node at a time, and the task has {spec.nodes}"
    hint = "give the deployment another name, or move what the claim holds into one that all nodes may mount"
    return Problem("cloud/no-storage", says, hint=hint)


def unbound(live: dict[str, Any] | None, spec: StackSpec, says: str | None) -> Problem | None:
    """Why the claim has no volume, when that is what pods wait for. `says`: what the cluster noted of it."""
    if live is None or (live.get("status") or {}).get("phase") == "Bound":
        return None
    wanted = f"{mode(spec)} of the class {live['spec'].get('storageClassName') or 'that is the default'}"
    text = f"the checkpoint claim {name(spec)} ({wanted}) gets no volume: {says or 'the cluster does not say why'}"
    hint = "`given.kubernetes.storage_class` names a class that has volumes which all nodes may mount"
    hint = hint if spec.nodes > 1 else "`given.kubernetes.storage_class` names another class"
    return Problem("cloud/no-storage", text, hint=hint)
