"""Waits until a Job's pods run, and says why they do not: no room, a quota, an image, a volume, a queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks.kubernetes import claim, objects, queue
from stacks.kubernetes.api import Cluster, Node
from stacks.refusal import Refused

EVERY_S = 0.5
SCHEDULED_S = 60.0
"""How long pods may find no node; longer while the cluster makes one for them."""
GROWING_S = 1200.0
PULLED_S = 120.0
"""How long an image may fail to be pulled: registries have bad minutes."""
MADE_S = 60.0
"""How long the Job may make no pods although nobody holds it back."""

GROWS = frozenset({"TriggeredScaleUp", "Nominated", "NodeClaimCreated"})
"""Events by which cluster autoscaler and Karpenter say that a node is on its way."""
UNPULLED = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
JOBS = "apis/batch/v1:jobs"
INDEX = "batch.kubernetes.io/job-completion-index"


class Waiting:
    """One wait for one stack. `tell` gets diagnostics, each sentence once."""

    def __init__(
        self,
        cluster: Cluster,
        spec: StackSpec,
        lost: Collection[str],
        stopping: threading.Event,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self.cluster, self.spec, self.stopping, self.tell = cluster, spec, stopping, tell
        self.lost = {node.pod for one in lost if (node := Node.parse(one)) is not None}
        self._said: set[str] = set()
        self._since: dict[str, float] = {}

    def rows(self) -> list[dict[str, Any]]:
        """`{rank, id, address}` of the pods that run, one for each rank. Raises Problems, Refused when stopped."""
        for name in sorted(self.lost):
            # Control has fenced it, and waited for as long as it may have gone on by itself.
            self.cluster.delete("pods", name, grace_s=0)
        if self.spec.checkpoint:
            live = self.cluster.get(claim.KIND, claim.name(self.spec))
            if problem := claim.unfit(live, self.spec):
                raise Problems(problem)
        while True:
            pods = self._pods()
            if len(pods) == self.spec.nodes and all(
                one["status"].get("phase") == "Running" for one in pods.values()
            ):
                return [self._row(rank, pods[rank]) for rank in sorted(pods)]
            self._judge(pods)
            if self.stopping.wait(EVERY_S):
                raise Refused("up", "interrupted")

    def _row(self, rank: int, pod: dict[str, Any]) -> dict[str, Any]:
        job, namespace = objects.base(self.spec), self.cluster.namespace
        node = Node(pod["metadata"]["name"], namespace, self.cluster.context)
        return {"rank": rank, "id": str(node), "address": f"{job}-{rank}.{job}-net.{namespace}.svc"}

    def _pods(self) -> dict[int, dict[str, Any]]:
        """By rank the pod that holds it now."""
        marks = ",".join(f"{key}={value}" for key, value in objects.marks(self.spec).items())
        found: dict[int, dict[str, Any]] = {}
        for pod in self.cluster.list("pods", marks):
            index = (pod["metadata"].get("annotations") or {}).get(INDEX)
            over = pod["status"].get("phase") in ("Failed", "Succeeded") or pod["metadata"].get(
                "deletionTimestamp"
            )
            if index is not None and not over and pod["metadata"]["name"] not in self.lost:
                found[int(index)] = pod
        return found

    def _judge(self, pods: dict[int, dict[str, Any]]) -> None:
        """Say what is waited for; raise when it will not come."""
        job = self.cluster.get(JOBS, objects.base(self.spec))
        if job is None:
            says = f"the Job {objects.base(self.spec)} is gone"
            raise Problems(Problem("cloud/not-found", says, hint="run the command again: it makes it anew"))
        if job["spec"].get("suspend"):
            if problem := queue.missing(self.cluster, self.spec):
                raise Problems(problem)
            self._say(queue.held(self.cluster, self.spec, job))
            self._since.clear()
            return
        for one in job["status"].get("conditions") or ():
            if one["type"] in ("Failed", "FailureTarget") and one["status"] == "True":
                says = f"the Job has ended: {one.get('message') or one.get('reason')}"
                raise Problems(Problem("cloud/node-not-started", says, hint="`invoke down`, then begin anew"))
        for rank in range(self.spec.nodes):
            pod = pods.get(rank)
            if pod is None:
                self._not_made(job)
            else:
                self._pending(rank, pod)

    def _not_made(self, job: dict[str, Any]) -> None:
        says = next((text for reason, text in self._events("Job", job) if reason == "FailedCreate"), None)
        if says and self._for("made", True) > MADE_S / 6:
            code = "cloud/quota" if "quota" in says else "cloud/node-not-started"
            raise Problems(Problem(code, f"pods are refused: {says}", hint="ask who keeps the namespace"))
        if self._for("made", True) > MADE_S and not self.lost:
            says = f"no pod was made in {MADE_S:.0f} s"
            raise Problems(Problem("cloud/node-not-started", says, hint="does the Job controller run?"))

    def _pending(self, rank: int, pod: dict[str, Any]) -> None:
        self._for("made", False)
        status = pod["status"]
        place = next((one for one in status.get("conditions") or () if one["type"] == "PodScheduled"), {})
        unplaced = place.get("status") == "False" and place.get("reason") == "Unschedulable"
        waited = self._for(f"place {rank}", unplaced)
        if unplaced:
            grows = waited > SCHEDULED_S / 4 and any(
                reason in GROWS for reason, _ in self._events("Pod", pod)
            )
            says = " ".join(str(place.get("message", "no node has room")).split())
            self._say(f"node-{rank} finds no room{', one is being made' if grows else ''}: {says}")
            if waited > (GROWING_S if grows else SCHEDULED_S):
                if "ersistent" in says:
                    self._unbound()
                hint = "`invoke explain` shows other places; `--retry-until-up` goes on trying"
                raise Problems(Problem("cloud/capacity", f"node-{rank}: {says}", hint=hint))
        states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
        for one in states:
            held = (one.get("state") or {}).get("waiting") or {}
            failing = held.get("reason") in UNPULLED
            if self._for(f"image {rank} {one['name']}", failing) > (
                0 if held.get("reason") == "InvalidImageName" and failing else PULLED_S
            ):
                says = f"the image {one['image']} cannot be pulled: {held.get('message') or held['reason']}"
                hint = "check its name; a private registry needs SKYPILOT_DOCKER_PASSWORD among the task's secrets"
                raise Problems(Problem("cloud/bad-image", says, hint=hint))
            if failing:
                self._say(f"node-{rank}: the image {one['image']} is not pulled yet: {held['reason']}")

    def _unbound(self) -> None:
        """Raise when it is the claim of the checkpoint folder that is waited for."""
        if self.spec.checkpoint and (live := self.cluster.get(claim.KIND, claim.name(self.spec))):
            told = self._events("PersistentVolumeClaim", live)
            if problem := claim.unbound(live, self.spec, told[0][1] if told else None):
                raise Problems(problem)

    def _events(self, kind: str, about: dict[str, Any]) -> list[tuple[str, str]]:
        """(reason, message) of what the cluster noted about an object; nothing for who may not read that."""
        selector = f"involvedObject.kind={kind},involvedObject.name={about['metadata']['name']}"
        try:
            found = self.cluster.call("GET", self.cluster.path("events"), query={"fieldSelector": selector})
        except Problems:
            return []
        rows = sorted(
            (found or {}).get("items", ()), key=lambda one: str(one.get("lastTimestamp")), reverse=True
        )
        return [(str(one.get("reason")), str(one.get("message"))) for one in rows]

    def _for(self, what: str, now: bool) -> float:
        """Seconds for which something has been so."""
        if not now:
            self._since.pop(what, None)
            return 0.0
        return time.monotonic() - self._since.setdefault(what, time.monotonic())

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.tell({"type": "diagnostic", "severity": "info", "text": text})
