"""Virtual machines of ours outside Pulumi: found by tags, removed, deallocated, evicted, reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.problem import Problem, Problems
from stacks.azure import names, session
from stacks.cloud import Access, NodeFacts, Scope

VERSION = {"api-version": "2024-07-01"}
ALIVE = frozenset({"creating", "starting", "running", "updating"})
KILL = "systemctl show -p MainPID --value skywright && systemctl kill -s KILL --kill-whom=main skywright"
"""Prints the agent's pid, then kills it; systemd starts it again."""


def inventory(project: str | None, scope: Scope) -> tuple[NodeFacts, ...]:
    """Of the subscription; a scope's region leaves out the others."""
    found = []
    for one in _listed(scope):
        facts = _facts(one)
        if facts and project in (None, facts.project) and scope.region in (None, facts.region):
            found.append(facts)
    return tuple(found)


def _listed(scope: Scope) -> Iterator[dict[str, Any]]:
    path: str | None = (
        f"/subscriptions/{session.subscription(scope)}/providers/Microsoft.Compute/virtualMachines"
    )
    query: dict[str, str] | None = {**VERSION, "statusOnly": "false", "$expand": "instanceView"}
    while path:
        page = session.ask("GET", path, "listing virtual machines", query=query)
        yield from page.get("value", ())
        following = page.get("nextLink")
        path, query = (following.removeprefix(session.endpoint()), None) if following else (None, None)


def _facts(one: dict[str, Any]) -> NodeFacts | None:
    tags = one.get("tags") or {}
    try:
        rank = int(tags[names.RANK])
        project, deployment = tags[names.PROJECT], tags[names.DEPLOYMENT]
    except (KeyError, ValueError):  # somebody else's, with a tag that only looks like ours
        return None
    state = _state(one)
    return NodeFacts(
        node=str(one["properties"]["vmId"]),
        project=project,
        deployment=deployment,
        rank=rank,
        address="",
        alive=state in ALIVE,
        created=one["properties"].get("timeCreated", ""),
        stack=tags.get(names.STACK),
        region=one["location"],
        stopped=state in ("deallocating", "deallocated", "stopping", "stopped"),
    )


def _state(one: dict[str, Any]) -> str:
    """Of the power: `running`, `deallocated`; before there is any, of its making."""
    view = one["properties"].get("instanceView") or {}
    codes = [str(row.get("code", "")) for row in view.get("statuses", ())]
    power = next((code.partition("/")[2] for code in codes if code.startswith("PowerState/")), None)
    return power or str(one["properties"].get("provisioningState", "")).lower()


def _found(node: str, scope: Scope) -> dict[str, Any] | None:
    return next((one for one in _listed(scope) if str(one["properties"]["vmId"]) == node), None)


def _must_find(node: str, scope: Scope) -> dict[str, Any]:
    found = _found(node, scope)
    if found is None:
        says = f"no virtual machine {node} exists"
        raise Problems(Problem("cloud/no-such-node", says, hint="`invoke status` lists nodes"))
    return found


def remove(node: str, scope: Scope) -> None:
    """Delete one virtual machine with its disk; one that is gone, or never was, is no trouble."""
    found = _found(node, scope)
    if found is not None:
        with session.unless_missing():
            query = {**VERSION, "forceDeletion": "true"}
            session.ask("DELETE", found["id"], f"deleting {found['name']}", query=query)


def each(nodes: tuple[str, ...], verb: str, scope: Scope) -> None:
    """`deallocate` or `start` all of them; Azure leaves alone what is so already."""
    for node in nodes:
        one = _must_find(node, scope)
        session.ask("POST", f"{one['id']}/{verb}", f"{verb} of {one['name']}", query=VERSION)


def preempt(node: str, notice_s: float | None, scope: Scope) -> None:
    """A simulated eviction takes a spot machine away within half an hour, after a scheduled event."""
    one = _must_find(node, scope)
    if notice_s is None:
        remove(node, scope)
        return
    if one["properties"].get("priority") != "Spot":
        says = f"{one['name']} is on-demand: only spot capacity is taken away with a notice"
        raise Problems(Problem("cloud/not-spot", says, hint="`invoke chaos kill` takes any node away"))
    path = f"{one['id']}/simulateEviction"
    session.ask("POST", path, f"evicting {one['name']}", query=VERSION)


def access(node: str, scope: Scope) -> Access:
    """The Azure CLI through a Bastion of the team's. Raises Problems cloud/no-access where none is named."""
    one = _must_find(node, scope)
    bastion = scope.given.bastion
    if bastion is None:
        says = f"{one['name']} has no port open to you, and no Bastion is named that would reach it"
        hint = "`given: {azure: {bastion: NAME}}` in the configuration (a Bastion costs while it stands)"
        raise Problems(Problem("cloud/no-access", says, hint=hint))
    group, _, name = bastion.rpartition("/")
    where = ("--name", name, "--resource-group", group or one["id"].split("/")[4])
    target = ("--target-resource-id", one["id"])
    tunnel = ("az", "network", "bastion", "tunnel", *where, *target)
    return Access(
        ("az", "network", "bastion", "ssh", *where, *target, "--auth-type", "AAD"),
        (*tunnel, "--resource-port", "{port}", "--port", "{local}"),
    )


def kill_agent(node: str, scope: Scope) -> int:
    """Kill the agent's process; its pid. Raises Problems cloud/no-agent."""
    one = _must_find(node, scope)
    body = {"commandId": "RunShellScript", "script": [KILL]}
    said = session.ask("POST", f"{one['id']}/runCommand", f"a command on {one['name']}", body, VERSION)
    text = "".join(str(row.get("message", "")) for row in said.get("value", ()))
    pid = next((word for word in text.split() if word.isdigit() and word != "0"), None)
    if pid is None:
        says = f"no agent runs on {one['name']} now"
        raise Problems(Problem("cloud/no-agent", says, hint="it is starting; try again"))
    return int(pid)
