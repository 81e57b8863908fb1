"""What people can ask for of a deployment's machines: to stop, start, move and reach them, with renewed credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.codec import encode
from compiler.problem import Problem, Problems
from skywright.control import clouds, moving, operations, stopping
from skywright.control.context import WORK, Control
from skywright.control.desired import current_run
from skywright.control.desk import being_removed, living, stop_runs
from skywright.control.rows import Deployment, Node
from stacks.cloud import Access
from stacks.operate import PLACES


def stop(control: Control, name: str) -> dict[str, Any]:
    """Stop the nodes of a deployment; unfinished runs end first. Problems cloud/cannot-stop, control/not-up."""
    row = living(control, name)
    if row.wanted == "gone":
        raise Problems(being_removed(row))
    stopping.refuse_unless_able(control, row)
    with control.store.together():
        if row.wanted != "stopped":
            control.store.change(row, wanted="stopped", leaving=None, problem=None, retry_at=None)
            control.tell(row, "step", f"{name} is being stopped")
        stop_runs(control, row, None, "the deployment is being stopped")
    control.bell.ring(WORK, row.uid)
    return {"name": name}


def start(control: Control, name: str) -> dict[str, Any]:
    """Start stopped nodes again. Problems cloud/cannot-stop, control/not-up."""
    row = living(control, name)
    if row.wanted == "gone":
        raise Problems(being_removed(row))
    stopping.refuse_unless_able(control, row)
    control.store.change(row, wanted="up", leaving=None, problem=None, retry_at=None)
    control.bell.ring(WORK, row.uid)
    return {"name": name}


def autostop(control: Control, name: str, idle_s: float | None, down: bool) -> dict[str, Any]:
    """Give the nodes back after `idle_s` seconds without a run, counted from now; None: never.

    Returns {idle_s, down} as it will be: `down` is True wherever nodes cannot be stopped.
    """
    row = living(control, name)
    now = control.clock.now()
    control.store.change(
        row,
        keep=idle_s is None,
        idle_s=idle_s,
        stop_down=down,
        idle_since=None if row.idle_since is None else now,
        retry_at=None if row.problem is None else row.retry_at,
    )
    control.bell.ring(WORK, row.uid)
    return {"idle_s": idle_s, "down": down or not stopping.can_stop(control, row)}


def move(
    control: Control, name: str, choice: dict[str, Any] | str | None, env: Mapping[str, str]
) -> dict[str, Any]:
    """Have a living deployment go to another place; None: the next approved one. Problems as of moving.ask."""
    row = living(control, name)
    if row.wanted == "gone":
        raise Problems(being_removed(row))
    with control.store.together():
        taken = moving.ask(control, row, choice, current_run(control, row.uid))
        _take_env_of_clouds(control, row, env)
    told = {key: taken[key] for key in ("where", "market", "hourly")}
    return {"name": name, **told, "from": row.place}


def _take_env_of_clouds(control: Control, row: Deployment, env: Mapping[str, str]) -> None:
    """Credentials of clouds that the deployment had none for; what opens its state stays."""
    known = control.vault.get(operations.env_scope(row.uid))
    new = {
        name: value
        for family in operations.families(control)
        if not any(key.startswith(family) for key in known)
        for name, value in env.items()
        if name.startswith(family)
    }
    operations.take_env(control, row.uid, {**new, **{key: env[key] for key in PLACES if key in env}})


async def login(control: Control, name: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Renew the credentials of a deployment once its cloud has accepted them; what waited for them goes on.

    Raises Problems cloud/credentials, cloud/no-answer when they are no better: then the old ones stay.
    """
    row = living(control, name)
    where = replace(clouds.place(control, row), env=env)
    if not clouds.is_here(control.cloud(row.cloud)):
        await clouds.ask(control, where, "inventory", row.project)
    with control.store.together():
        operations.renew_env(control, row.uid, env)
        control.refusals.pop(row.uid, None)
        clouds.unlock(control, row)
        control.tell(row, "step", f"the credentials of {name} were renewed")
    control.bell.ring(WORK, row.uid)
    return {"name": name, "cloud": row.cloud}


async def endpoints(control: Control, name: str) -> list[dict[str, Any]]:
    """Where the opened ports are: rows of {rank, port, address, public}, ports as the task says them (`8000-8010`)."""
    row = living(control, name)
    ports = row.spec.get("ports", ())
    if not ports:
        return []
    known = {node.node for node in control.store.find(Node, uid=row.uid, revoked=None)}
    facts = [one for one in await clouds.inventory(control, row) if one.node in known]
    return [
        {"rank": one.rank, "port": port, "address": one.public or one.address, "public": bool(one.public)}
        for one in sorted(facts, key=lambda one: one.rank)
        for port in ports
    ]


async def access(control: Control, name: str, ranks: list[int] | None) -> list[dict[str, Any]]:
    """How a person reaches nodes (all of them when `ranks` is None): rows of {rank, node, address, access}.

    Raises Problems cloud/no-access where the cloud has no way, control/no-such-rank.
    """
    row = living(control, name)
    nodes = {node.rank: node for node in control.store.find(Node, order="rank", uid=row.uid, revoked=None)}
    found = []
    for rank in sorted(nodes) if ranks is None else ranks:
        if rank not in nodes:
            hint = f"`skywright status {name}` shows its nodes"
            raise Problems(
                Problem("control/no-such-rank", f"`{name}` has no node of rank {rank} now", hint=hint)
            )
        node = nodes[rank]
        way: Access = await clouds.ask(control, clouds.place(control, row), "access", node.node)
        found.append({"rank": rank, "node": node.node, "address": node.address, "access": encode(way)})
    return found
