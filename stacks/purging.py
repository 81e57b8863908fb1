"""Forgets a stack that cannot be removed whole: deletes what still can be, and tells what may be left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from compiler.problem import Problems
from compiler.spec import Foundation, StackSpec
from stacks.cloud import Cloud, Scope
from stacks.state import State


def purge(
    cloud: Cloud, spec: StackSpec | Foundation, changes: Counter[str], held: State | None = None
) -> dict[str, Any] | None:
    """Delete all of the stack that the cloud lets us; each counts as a `delete` of `changes`. Raises no Problems.

    `held` is what the engine could not delete. Returns what may be left: {things, why, tags, commands}, or None when
    nothing can be.
    """
    gone, refused = _delete(cloud, spec)
    changes["delete"] += len(gone)
    text = "\n".join(gone)
    left = [
        {"resource": one.urn.rpartition("::")[2], "kind": one.kind, "id": one.id}
        for one in (held.counted if held else ())
        if one.id and one.id not in text and one.node not in text
    ]
    if not left and refused is None:
        return None
    traces = cloud.traces(spec)
    how = {"tags": dict(traces.tags), "commands": list(traces.commands)}
    return {"things": left, "why": refused, **how}


def _delete(cloud: Cloud, spec: StackSpec | Foundation) -> tuple[list[str], str | None]:
    """What was deleted behind the engine's back, and why not all of it."""
    scope = Scope.of(spec)
    gone: list[str] = []
    try:
        mine = spec.deployment if isinstance(spec, StackSpec) else None
        for node in cloud.inventory(spec.project, scope) if mine else ():
            if node.deployment == mine and node.stack in (None, spec.stack):
                cloud.remove(node.node, scope)
                gone.append(node.node)
        gone += cloud.sweep(spec, frozenset(), scope)
    except Problems as problems:
        return gone, problems.problems[0].message
    return gone, None
