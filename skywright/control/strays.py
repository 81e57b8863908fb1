"""Orphans, both ways: what clouds have of ours and no state knows, and what states know and no cloud has any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.codec import encode
from compiler.problem import Problems
from skywright.control import clouds, operations, survey
from skywright.control.clouds import Place
from skywright.control.context import Control
from skywright.control.leaving import RELEASED
from skywright.control.rows import Deployment, Node
from stacks.cloud import ANYWHERE, NodeFacts

PAST = 20
"""Deployments that are gone, newest first, whose things beside nodes are looked for: each costs a few calls."""

AT_ONCE = 2


async def orphans(control: Control, delete: bool, env: Mapping[str, str]) -> dict[str, Any]:
    """{orphans, things, lost, unasked}; `delete` removes the orphans and things that are shown to be ours and unused.

    `orphans` are nodes, `things` what else exists of a stack; `lost` is what states know and clouds have not;
    `unasked` are places and stacks that gave no answer, with why. A place is asked with the credentials of a
    deployment that lives there, else with `env` of who asks now.
    """
    standing = Standing(control, env)
    found, unasked = await _nodes(control, delete, env, standing)
    things: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    turns = asyncio.Semaphore(AT_ONCE)
    silent = {one["place"] for one in unasked}

    async def one(row: Deployment) -> None:
        async with turns:
            try:
                if row.ended is None or not await standing.has(row.project, row.spec["stack"], row.uid):
                    await _of_stack(control, row, env, delete, things, lost)
            except Problems as problems:
                stack = row.spec.get("stack")
                unasked.append({"place": stack, "problem": problems.problems[0].to_data()})

    rows = [
        row
        for row in _stacks(control)
        if row.ended is None or _place(clouds.place(control, row)) not in silent
    ]
    await asyncio.gather(*(one(row) for row in rows))
    return {
        "orphans": found,
        "things": sorted(things, key=lambda row: (row["stack"], row["what"])),
        "lost": sorted(lost, key=lambda row: (row["stack"], row["resource"])),
        "unasked": unasked,
    }


class Standing:
    """Which stacks state backends have: one whose deployment is gone here another control may have made again."""

    def __init__(self, control: Control, env: Mapping[str, str]) -> None:
        self.control, self.env = control, env
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    async def has(self, project: str, stack: str | None, uid: str | None) -> bool:
        """Does a state know the stack? The backend is that of who asks, else of the deployment `uid` while it is known.
        Raises Problems of the backend."""
        kept = self.control.vault.get(operations.env_scope(uid)) if uid else {}
        env = {**kept, **self.env}
        place = project, env.get("PULUMI_BACKEND_URL", "")
        if place not in self._known:
            self._known[place] = await asyncio.to_thread(self.control.stacks, env, project)
        return stack in self._known[place]


async def _nodes(
    control: Control, delete: bool, env: Mapping[str, str], standing: Standing
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows = {(row.project, row.name): row for row in control.store.find(Deployment, ended=None)}
    past = {(row.project, row.name): row for row in control.store.find(Deployment, order="created")}
    released = _released(control)
    found: list[dict[str, Any]] = []
    unasked: list[dict[str, Any]] = []
    for where in _places(control, env):
        try:
            facts: tuple[NodeFacts, ...] = await clouds.ask(control, where, "inventory", None)
            for one in facts:
                if any(one.node == other["node"] for other in found):
                    continue
                if (one.project, one.deployment) in released:
                    continue
                why = _why(control, rows.get((one.project, one.deployment)), one.node)
                if why is None:
                    continue
                gone = past.get((one.project, one.deployment))
                if await _used(standing, one, gone):
                    continue
                here = clouds.is_here(control.cloud(where.cloud))
                ours = here or (one.project, one.deployment) in past
                if delete and ours:
                    await clouds.ask(control, where, "remove", one.node)
                found.append(_row(where, one, why, ours, delete and ours))
        except Problems as problems:
            unasked.append({"place": _place(where), "problem": problems.problems[0].to_data()})
    return found, unasked


async def _used(standing: Standing, one: NodeFacts, known: Deployment | None) -> bool:
    """Is it of a stack that another control looks after: gone here or never seen, and in a state all the same?"""
    if known is not None and known.ended is None:
        return False
    stack = one.stack or (known.spec["stack"] if known else None)
    return await standing.has(one.project, stack, known.uid if known else None)


def _stacks(control: Control) -> list[Deployment]:
    """One row for each stack: the living one, else the newest of those that are gone."""
    living = control.store.find(Deployment, ended=None)
    past = [row for row in control.store.find(Deployment, order="-ended") if row.ended is not None]
    found: dict[Any, Deployment] = {}
    for row in [*living, *past[:PAST]]:
        found.setdefault((row.project, row.spec.get("stack")), row)
    return [row for row in found.values() if row.stage != RELEASED]


def _released(control: Control) -> set[tuple[str, str]]:
    """Projects and names of deployments that are somebody else's now: the newest of that name was released."""
    found: dict[tuple[str, str], Deployment] = {}
    for row in control.store.find(Deployment, order="created"):
        found[row.project, row.name] = row
    return {name for name, row in found.items() if row.stage == RELEASED}


async def _of_stack(
    control: Control,
    row: Deployment,
    env: Mapping[str, str],
    delete: bool,
    things: list[dict[str, Any]],
    lost: list[dict[str, Any]],
) -> None:
    """What exists beside the nodes of one stack that its state does not know, and what its state knows in vain.

    A stack that is being written, or that may be made, is left alone: what is there may be in the making.
    """
    known: tuple[str, ...] = ()
    if row.ended is None:
        if row.stage not in ("up", "failed") or operations.unfinished(control, row.uid):
            return
        drift = await survey.look(control, row.name)
        if drift.busy:
            return
        known = drift.known
        lost += [{"stack": drift.stack, "deployment": row.name, **encode(one)} for one in drift.lost]
    if clouds.is_here(control.cloud(row.cloud)):
        return  # nothing of ours is on this machine beside nodes
    where = clouds.place(control, row)
    if row.ended is not None:
        where = replace(where, env=env)
    for what in await clouds.ask(control, where, "sweep", row.spec, list(known), not delete):
        why = "its deployment is gone" if row.ended is not None else "its stack does not know it"
        stack = row.spec["stack"]
        things.append({"what": what, "stack": stack, "cloud": row.cloud, "reason": why, "deleted": delete})


def _places(control: Control, env: Mapping[str, str]) -> list[Place]:
    """Each place once: those of living deployments first, then of the past, then clouds that need no credentials."""
    from stacks import CLOUDS

    found: dict[Any, Place] = {}
    for row in control.store.find(Deployment, order="ended"):
        where = clouds.place(control, row)
        if row.ended is not None:
            where = replace(where, env=env)
        found.setdefault((where.cloud, replace(where.scope, zone=None)), where)
    known = {where.cloud for where in found.values()}
    here = [name for name in CLOUDS if name not in known and clouds.is_here(control.cloud(name))]
    return [*found.values(), *(Place(name, ANYWHERE) for name in here)]


def _place(where: Place) -> str:
    return "/".join(part for part in (where.cloud, where.scope.region) if part)


def _row(where: Place, facts: NodeFacts, why: str, ours: bool, deleted: bool) -> dict[str, Any]:
    return {
        "node": facts.node,
        "cloud": where.cloud,
        "project": facts.project,
        "deployment": facts.deployment,
        "rank": facts.rank,
        "address": facts.address,
        "alive": facts.alive,
        "created": facts.created,
        "reason": why if ours else f"{why}: it may be another's, and is left alone",
        "ours": ours,
        "deleted": deleted,
    }


def _why(control: Control, row: Deployment | None, name: str) -> str | None:
    """Why a node that exists belongs to nobody; None when it does, or may be in the making."""
    if row is None:
        return "its deployment is not known"
    node = control.store.first(Node, node=name)
    if (node and not node.revoked) or row.stage != "up" or operations.unfinished(control, row.uid):
        return None
    return node.revoked if node else "its deployment does not know it"
