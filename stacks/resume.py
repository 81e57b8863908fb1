"""Cleans up after an operation that was killed: its processes are dead, now its half-done work is settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.problem import Problems
from compiler.spec import Foundation, StackSpec
from stacks.cloud import Cloud, Scope
from stacks.engine import Session
from stacks.state import State


def resume(
    session: Session,
    spec: StackSpec | Foundation,
    cloud: Cloud,
    state: State | None,
    killed: bool,
    deletes: bool,
    tell: Callable[[dict[str, Any]], None],
    purge: bool = False,
) -> State | None:
    """Unlock the stack, remove what its state never learnt of, clear pending operations.

    `killed` says that the last holder of the lease never released it. The caller holds the lease and has
    ended what that one left running. Deletes that were cut off need nothing when the caller `deletes`: the state
    still has their resource, and the next run repeats them. Otherwise a cloud is asked for everything again: what
    was just deleted there may still stand in the state. Each step may be cut off and done again. Who purges goes on
    where the cloud refuses.
    """
    if state and killed:
        session.unlock()
    try:
        return _settle(session, spec, cloud, state, killed and not deletes, tell)
    except Problems:
        if not purge:
            raise
        return state  # what cannot be asked is forgotten


def _settle(
    session: Session,
    spec: StackSpec | Foundation,
    cloud: Cloud,
    state: State | None,
    killed: bool,
    tell: Callable[[dict[str, Any]], None],
) -> State | None:
    known = state.ids if state else frozenset[str]()
    scope = Scope.of(spec)
    deployment = spec.deployment if isinstance(spec, StackSpec) else None
    for node in cloud.inventory(spec.project, scope) if deployment else ():
        # What a controller of the cloud's own makes goes with that: `sweep` sees to it.
        if node.deployment == deployment and node.resource is None and node.node not in known:
            text = f"removing {node.node}: left by a create that was cut off"
            tell({"type": "diagnostic", "severity": "info", "text": text})
            cloud.remove(node.node, scope)
    for what in cloud.sweep(spec, known, scope):
        text = f"removed {what}: left by a create that was cut off"
        tell({"type": "diagnostic", "severity": "info", "text": text})
    if state and killed and cloud.ENV:
        session.refresh(lambda event: None)
        state = session.state()
    if state and state.pending:
        session.restore(state.settled())
        return State.from_data(state.settled())
    return state
