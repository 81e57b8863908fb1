"""Compute Engine instances of ours outside Pulumi: found by labels, removed, stopped, taken away, reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.problem import Problem, Problems
from stacks.cloud import Access, NodeFacts, Scope
from stacks.gcp import names, session

ALIVE = frozenset({"PROVISIONING", "STAGING", "RUNNING", "REPAIRING"})
STOPPED = frozenset({"STOPPING", "SUSPENDING", "SUSPENDED", "TERMINATED"})


def inventory(project: str | None, scope: Scope) -> tuple[NodeFacts, ...]:
    """Of all zones; a scope's region leaves out the others."""
    found = (_facts(one) for one in _listed(scope, project))
    return tuple(facts for facts in found if facts is not None and scope.region in (None, facts.region))


def _listed(scope: Scope, project: str | None) -> Iterator[dict[str, Any]]:
    account = session.project(scope)
    wanted = f"labels.{names.PROJECT}={names.value(project)}" if project else f"labels.{names.RANK}:*"
    query = {"filter": wanted, "maxResults": "500", "returnPartialSuccess": "false"}
    while True:
        path = f"projects/{account}/aggregated/instances"
        page = session.ask("GET", "compute", path, "listing instances", query=query)
        for zone in page.get("items", {}).values():
            yield from zone.get("instances", ())
        if not page.get("nextPageToken"):
            return
        query["pageToken"] = page["nextPageToken"]


def _facts(one: dict[str, Any]) -> NodeFacts | None:
    labels = one.get("labels") or {}
    try:
        rank = int(labels[names.RANK])
        project, deployment = labels[names.PROJECT], labels[names.DEPLOYMENT]
    except (KeyError, ValueError):  # somebody else's, with a label that only looks like ours
        return None
    interfaces = one.get("networkInterfaces") or [{}]
    return NodeFacts(
        node=str(one["id"]),
        project=project,
        deployment=deployment,
        rank=rank,
        address=interfaces[0].get("networkIP", ""),
        alive=one["status"] in ALIVE,
        created=one.get("creationTimestamp", ""),
        stack=labels.get(names.STACK),
        region=_zone(one).rpartition("-")[0],
        stopped=one["status"] in STOPPED,
        public=next(
            (way["natIP"] for way in interfaces[0].get("accessConfigs") or () if way.get("natIP")), None
        ),
    )


def _zone(one: dict[str, Any]) -> str:
    return str(one["zone"]).rpartition("/")[2]


def _found(node: str, scope: Scope) -> dict[str, Any] | None:
    return next((one for one in _listed(scope, None) if str(one["id"]) == node), None)


def _path(one: dict[str, Any], scope: Scope) -> str:
    return f"projects/{session.project(scope)}/zones/{_zone(one)}/instances/{one['name']}"


def _must_find(node: str, scope: Scope) -> dict[str, Any]:
    found = _found(node, scope)
    if found is None:
        says = f"no instance {node} exists"
        raise Problems(Problem("cloud/no-such-node", says, hint="`invoke status` lists nodes"))
    return found


def remove(node: str, scope: Scope) -> None:
    """Delete one instance with its disk; one that is gone, or never was, is no trouble."""
    if not node.isdigit():
        return
    found = _found(node, scope)
    if found is not None:
        with session.unless_missing():
            session.ask("DELETE", "compute", _path(found, scope), f"deleting {found['name']}")


def each(nodes: tuple[str, ...], verb: str, scope: Scope) -> None:
    """`stop` or `start` all of them; one that is so already is left alone."""
    held = {"stop": STOPPED, "start": ALIVE}[verb]
    for node in nodes:
        one = _must_find(node, scope)
        if one["status"] not in held:
            session.ask("POST", "compute", f"{_path(one, scope)}/{verb}", f"{verb} of {one['name']}")


def preempt(node: str, notice_s: float | None, scope: Scope) -> None:
    """Google decides how long the notice is: 30 s, or 120 s where the instance asks for them."""
    one = _must_find(node, scope)
    if one["status"] not in ALIVE:
        says = f"{one['name']} is lost already"
        raise Problems(Problem("cloud/no-such-node", says, hint="`invoke status` lists nodes"))
    if notice_s is None:
        session.ask("DELETE", "compute", _path(one, scope), f"deleting {one['name']}")
        return
    if one.get("scheduling", {}).get("provisioningModel") != "SPOT":
        says = f"{one['name']} is on-demand: only spot capacity is taken away with a notice"
        raise Problems(Problem("cloud/not-spot", says, hint="`invoke chaos kill` takes any node away"))
    path = f"{_path(one, scope)}/simulateMaintenanceEvent"
    session.ask("POST", "compute", path, f"preempting {one['name']}")


def access(node: str, scope: Scope) -> Access:
    """gcloud's command lines; the Google Cloud CLI has to be installed."""
    one = _must_find(node, scope)
    where = ("--zone", _zone(one), "--project", session.project(scope))
    tunnel = ("gcloud", "compute", "start-iap-tunnel", one["name"])
    login = ("gcloud", "compute", "ssh", one["name"], "--tunnel-through-iap", *where)
    return Access(
        login,
        forward=(*tunnel, "{port}", "--local-host-port=localhost:{local}", *where),
        proxy=" ".join((*tunnel, "%p", "--listen-on-stdin", *where)),
        user=None,  # OS Login makes one of the account that is logged in
        run=(*login, "--command", "{command}"),
    )
