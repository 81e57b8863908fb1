"""Virtual machines of ours outside Pulumi: found by tags, removed, deallocated, evicted, reached."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from compiler.problem import Problem, Problems
from stacks.azure import names, session
from stacks.cloud import Access, NodeFacts, Scope

MACHINES, CARDS = "Microsoft.Compute/virtualMachines", "Microsoft.Network/networkInterfaces"
ADDRESSES = "Microsoft.Network/publicIPAddresses"
VERSIONS = {MACHINES: "2024-07-01", CARDS: "2024-01-01", ADDRESSES: "2024-01-01"}
VERSION = {"api-version": VERSIONS[MACHINES]}
ALIVE = frozenset({"creating", "starting", "running", "updating"})
KILL = "systemctl show -p MainPID --value skywright && systemctl kill -s KILL --kill-whom=main skywright"
"""Prints the agent's pid, then kills it; systemd starts it again."""


def inventory(project: str | None, scope: Scope) -> tuple[NodeFacts, ...]:
    """Of the subscription; a scope's region leaves out the others."""
    ours = [one for one in _listed(scope, MACHINES) if _tagged(one, project)]
    if not ours:
        return ()
    # Azure lists either what machines are or how they run, and their addresses with their interfaces.
    running = {one["id"].lower(): one for one in _listed(scope, MACHINES, {"statusOnly": "true"})}
    cards = {one["id"].lower(): one for one in _listed(scope, CARDS)}
    known = {one["id"].lower(): one["properties"].get("ipAddress") for one in _listed(scope, ADDRESSES)}
    found = [_facts(one, running.get(one["id"].lower()), cards, known) for one in ours]
    return tuple(facts for facts in found if scope.region in (None, facts.region))


def _listed(scope: Scope, kind: str, more: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    path: str | None = f"/subscriptions/{session.subscription(scope)}/providers/{kind}"
    query: dict[str, str] | None = {"api-version": VERSIONS[kind], **(more or {})}
    while path:
        page = session.ask("GET", path, f"listing {kind.rpartition('/')[2]}", query=query)
        yield from page.get("value", ())
        following = page.get("nextLink")
        path, query = (_path(following), None) if following else (None, None)


def _path(link: str) -> str:
    """Of a link to the next page, whatever its host: the token is for the one that was asked."""
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def _tagged(one: Mapping[str, Any], project: str | None) -> bool:
    """Is it a node of ours, of this project? Others may have a tag that only looks like ours."""
    tags = one.get("tags") or {}
    rank, of = str(tags.get(names.RANK, "")), tags.get(names.PROJECT)
    return rank.isdigit() and names.DEPLOYMENT in tags and of is not None and project in (None, of)


def _way(one: Mapping[str, Any], cards: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """How it is reached: of its first interface that has an address in its network."""
    for way in (one["properties"].get("networkProfile") or {}).get("networkInterfaces") or ():
        card = cards.get(str(way.get("id", "")).lower(), {})
        for row in (card.get("properties") or {}).get("ipConfigurations") or ():
            properties: Mapping[str, Any] = row.get("properties") or {}
            if properties.get("privateIPAddress"):
                return properties
    return {}


def _facts(
    one: Mapping[str, Any],
    runs: Mapping[str, Any] | None,
    cards: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, str | None],
) -> NodeFacts:
    """`known`: ids of public addresses -> the addresses."""
    tags, state, way = one["tags"], _state(one, runs), _way(one, cards)
    return NodeFacts(
        node=str(one["properties"]["vmId"]),
        project=tags[names.PROJECT],
        deployment=tags[names.DEPLOYMENT],
        rank=int(tags[names.RANK]),
        address=str(way.get("privateIPAddress", "")),
        alive=state in ALIVE,
        created=one["properties"].get("timeCreated", ""),
        stack=tags.get(names.STACK),
        region=one["location"],
        stopped=state in ("deallocating", "deallocated", "stopping", "stopped"),
        public=known.get(str((way.get("publicIPAddress") or {}).get("id", "")).lower()),
    )


def _state(one: Mapping[str, Any], runs: Mapping[str, Any] | None) -> str:
    """Of the power: `running`, `deallocated`; before there is any, and while it is deleted, of its making."""
    making = str(one["properties"].get("provisioningState", "")).lower()
    view = ((runs or {}).get("properties") or {}).get("instanceView") or {}
    codes = [str(row.get("code", "")) for row in view.get("statuses", ())]
    power = next((code.partition("/")[2] for code in codes if code.startswith("PowerState/")), None)
    return making if making == "deleting" else power or making


def _found(node: str, scope: Scope) -> dict[str, Any] | None:
    listed = _listed(scope, MACHINES)
    return next((one for one in listed if str(one["properties"]["vmId"]) == node), None)


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
            session.ask("DELETE", found["id"], f"deleting {found['name']}", query=query, waits=True)


def each(nodes: tuple[str, ...], verb: str, scope: Scope) -> None:
    """`deallocate` or `start` all of them; Azure leaves alone what is so already."""
    for node in nodes:
        one = _must_find(node, scope)
        session.ask("POST", f"{one['id']}/{verb}", f"{verb} of {one['name']}", query=VERSION)


def generalise(node: str, scope: Scope) -> None:
    """Azure makes an image of a machine only when it has been told that the machine has no life of its own any more."""
    one = _must_find(node, scope)
    for verb in ("deallocate", "generalize"):
        session.ask("POST", f"{one['id']}/{verb}", f"{verb} of {one['name']}", query=VERSION, waits=True)


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
    # Entra's login needs its extension on the machine, which a team's policies put there and our stacks do not.
    login: tuple[str, ...] = ("--auth-type", "AAD")
    if key := scope.given.ssh_key:
        login = ("--auth-type", "ssh-key", "--username", names.USER, "--ssh-key", _private(key))
    return Access(
        ("az", "network", "bastion", "ssh", *where, *target, *login),
        (*tunnel, "--resource-port", "{port}", "--port", "{local}"),
    )


def _private(public: str) -> str:
    """The file of ours whose public half a key is, else where ssh keeps keys of its kind."""
    kind, key = (*public.split(), "")[:2]
    folder = Path.home() / ".ssh"
    for path in sorted(folder.glob("*.pub")):
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8", errors="replace").split()[:2] == [kind, key]:
                return str(path.with_suffix(""))
    return str(folder / ("id_rsa" if kind == "ssh-rsa" else "id_ed25519"))


def kill_agent(node: str, scope: Scope) -> int:
    """Kill the agent's process; its pid. Raises Problems cloud/no-agent."""
    one = _must_find(node, scope)
    body = {"commandId": "RunShellScript", "script": [KILL]}
    path, what = f"{one['id']}/runCommand", f"a command on {one['name']}"
    said = session.ask("POST", path, what, body, VERSION, waits=True)
    text = "".join(str(row.get("message", "")) for row in said.get("value", ()))
    pid = next((word for word in text.split() if word.isdigit() and word != "0"), None)
    if pid is None:
        says = f"no agent runs on {one['name']} now"
        raise Problems(Problem("cloud/no-agent", says, hint="it is starting; try again"))
    return int(pid)
