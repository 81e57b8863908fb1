"""Orphans: nodes that exist in a cloud and belong to no living deployment, wherever this control ever made any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compiler.problem import Problems
from skywright.control import clouds, operations
from skywright.control.clouds import Place
from skywright.control.context import Control
from skywright.control.leaving import RELEASED
from skywright.control.rows import Deployment, Node
from stacks.cloud import ANYWHERE, NodeFacts


async def orphans(control: Control, delete: bool, env: Mapping[str, str]) -> dict[str, Any]:
    """{orphans, unasked}: nodes nobody owns, which `delete` removes, and places that gave no answer, with why.

    A place is asked with the credentials of a deployment that lives there, else with `env` of who asks now.
    """
    rows = {(row.project, row.name): row for row in control.store.find(Deployment, ended=None)}
    found: list[dict[str, Any]] = []
    unasked: list[dict[str, Any]] = []
    for where in _places(control, env):
        try:
            facts: tuple[NodeFacts, ...] = await clouds.ask(control, where, "inventory", None)
            for one in facts:
                if any(one.node == other["node"] for other in found):
                    continue
                why = _why(control, rows.get((one.project, one.deployment)), one.node)
                if why is None:
                    continue
                if delete:
                    await clouds.ask(control, where, "remove", one.node)
                found.append(_row(where, one, why, delete))
        except Problems as problems:
            place = "/".join(part for part in (where.cloud, where.scope.region) if part)
            unasked.append({"place": place, "problem": problems.problems[0].to_data()})
    return {"orphans": found, "unasked": unasked}


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


def _row(where: Place, facts: NodeFacts, why: str, deleted: bool) -> dict[str, Any]:
    return {
        "node": facts.node,
        "cloud": where.cloud,
        "project": facts.project,
        "deployment": facts.deployment,
        "rank": facts.rank,
        "address": facts.address,
        "alive": facts.alive,
        "created": facts.created,
        "reason": why,
        "deleted": deleted,
    }


def _why(control: Control, row: Deployment | None, name: str) -> str | None:
    """Why a node that exists belongs to nobody; None when it does, or may be in the making."""
    node = control.store.first(Node, node=name)
    if node and node.revoked == RELEASED:
        return None
    if row is None:
        return "its deployment is not known"
    if (node and not node.revoked) or row.stage != "up" or operations.unfinished(control, row.uid):
        return None
    return node.revoked if node else "its deployment does not know it"
