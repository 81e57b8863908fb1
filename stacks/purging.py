"""Deletes what a provider could not, behind its back, as far as the cloud lets us."""

from __future__ import annotations

from collections import Counter

from compiler.spec import Foundation, StackSpec
from stacks.cloud import Cloud, Scope


def purge(cloud: Cloud, spec: StackSpec | Foundation, changes: Counter[str]) -> None:
    """Nodes and other things of a stack; each counts as a `delete` of `changes`."""
    scope = Scope.of(spec)
    mine = spec.deployment if isinstance(spec, StackSpec) else None
    for node in cloud.inventory(spec.project, scope) if mine else ():
        if node.deployment == mine:
            cloud.remove(node.node, scope)
            changes["delete"] += 1
    changes["delete"] += len(cloud.sweep(spec, frozenset(), scope))
