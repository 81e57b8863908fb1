"""Queues of Kueue: which one a stack joins, and what Kueue says while it holds a Job back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec

if TYPE_CHECKING:
    from stacks.kubernetes.api import Cluster

GROUP = "kueue.x-k8s.io"
LABEL = f"{GROUP}/queue-name"
"""What makes a Job one of Kueue's: it is made suspended, and Kueue releases it whole."""


def name(spec: StackSpec) -> str | None:
    """The queue that the task's labels name, else the configuration's; None: pods are made at once."""
    return spec.labels.get(LABEL) or spec.given.queue


def missing(cluster: Cluster, spec: StackSpec) -> Problem | None:
    """Why nothing will ever release a Job of this stack: a queue is named, and the cluster has no Kueue."""
    queue = name(spec)
    if queue is None or cluster.serves(GROUP):
        return None
    says = f"cluster {cluster.context} serves no Kueue, so nothing would let the Job out of the queue {queue}"
    hint = "take `given.kubernetes.queue` or the label away, or ask for Kueue there"
    return Problem("cloud/no-queue", says, hint=hint)


def held(cluster: Cluster, spec: StackSpec, job: dict[str, Any]) -> str:
    """That a Job waits, in which queue, and why, as far as Kueue says so and we may read it."""
    queue = name(spec)
    says = f"waits in queue {queue}" if queue else "waits: the Job is suspended"
    reason = _reason(cluster, job["metadata"]["uid"])
    return f"{says}: {reason}" if reason else says


def _reason(cluster: Cluster, owner: str) -> str | None:
    """What the Workload that Kueue made of a Job says of not having room yet."""
    try:
        version = cluster.serves(GROUP)
        found = cluster.list(f"apis/{GROUP}/{version}:workloads") if version else []
    except Problems:
        return None
    for one in found:
        if owner in {by.get("uid") for by in one["metadata"].get("ownerReferences") or ()}:
            for said in (one.get("status") or {}).get("conditions") or ():
                if said["type"] == "QuotaReserved" and said["status"] == "False":
                    return " ".join(str(said.get("message") or said.get("reason")).split())
    return None
