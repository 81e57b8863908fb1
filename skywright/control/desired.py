"""The desired-state document of one node, computed from the store; its version is stored, so it only ever grows."""

from __future__ import annotations

import datetime
from typing import Any

from compiler import buckets
from compiler.spec import digest
from skywright.control.context import Control
from skywright.control.rows import Deployment, Node, Run, RunRank

GRACE_S = {"cancel": 10.0, "failed": 10.0, "moved": 120.0}
"""Seconds between SIGTERM and SIGKILL, by why a run is stopped."""

SAVING_S = 25.0
"""The same for the ranks of a gang that lost another one: they may want to save."""


IN_PODS = frozenset({"kubernetes"})
"""Clouds whose nodes are containers of the task's image themselves."""


def secrets_scope(uid: str, run: int) -> str:
    """Where the vault keeps the secrets of one run."""
    return f"run:{uid}:{run}"


def task_id(deployment: Deployment, run: Run) -> str:
    """The same for every attempt of a run; SkyPilot's form."""
    given: str | None = run.body.get("task_id")
    return given or f"sky-{stamp(run.submitted)}_{deployment.name}_{run.run}"


def stamp(at: float) -> str:
    """A time as names of runs have it."""
    when = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
    return f"{when:%Y-%m-%d-%H-%M-%S}-{when.microsecond:06d}"


def current_run(control: Control, uid: str) -> Run | None:
    """The run whose turn it is: the oldest that has not ended."""
    return control.store.first(Run, order="run", uid=uid, ended=None)


def document(control: Control, deployment: Deployment, node: Node) -> dict[str, Any]:
    """What the node should do, without version and without the values of secrets."""
    run = current_run(control, deployment.uid)
    seat = run and control.store.first(RunRank, uid=run.uid, run=run.run, attempt=run.attempt, node=node.node)
    return {"run": _orders(control, deployment, run, seat, node) if run and seat else None, "drain": False}


def _orders(control: Control, deployment: Deployment, run: Run, seat: RunRank, node: Node) -> dict[str, Any]:
    seats = control.store.find(RunRank, order="rank", uid=run.uid, run=run.run, attempt=run.attempt)
    addresses = {
        row.node: row.address
        for row in control.store.find(Node, uid=run.uid, node=tuple(seat.node for seat in seats))
    }
    body = run.body
    return {
        "id": run.run,
        "attempt": run.attempt,
        "rank": seat.rank,
        "num_nodes": run.num_nodes,
        "peers": [addresses[peer.node] for peer in seats],
        "task_id": task_id(deployment, run),
        "user": deployment.owner,
        "cluster_info": {
            "cluster_name": deployment.name,
            "cloud": deployment.cloud,
            "region": deployment.spec.get("region"),
            "zone": deployment.spec.get("zone"),
        },
        "gpus_per_node": body["gpus_per_node"],
        "setup": body["setup"],
        "script": body["script"],
        "envs": body["envs"],
        "files": body["files"],
        "checkpoint": body["checkpoint"],
        **({"buckets": body["buckets"]} if body.get("buckets") else {}),
        **_container(deployment),
        "go": run.go,
        # A node that is being taken away saves and stops by itself: cancelling would call that something else.
        "cancel": run.stopping is not None and node.state == "up",
        "grace_s": GRACE_S.get(run.stopping or "", SAVING_S),
    }


def _container(deployment: Deployment) -> dict[str, str]:
    """The image that the node's own engine runs the parts in; a pod is made of it already."""
    image = deployment.spec.get("container")
    return {"container": image} if image and deployment.cloud not in IN_PODS else {}


def newest(
    control: Control, deployment: Deployment, node: Node, has: int
) -> tuple[int, dict[str, Any] | None]:
    """The version and the document of a node that has version `has`; no document when that is the newest.

    The document carries the values of secrets: it goes into the answer of the link and nowhere else.
    """
    wish = document(control, deployment, node)
    mark = digest(wish)
    version = node.version
    if mark != node.desired:
        version += 1
        control.store.change(node, version=version, desired=mark)
    if version == has:
        return version, None
    if wish["run"]:
        values = control.vault.get(secrets_scope(deployment.uid, wish["run"]["id"]))
        wish["run"]["secrets"] = buckets.needed(values, deployment.cloud)
    return version, {"version": version, **wish}
