"""What deployments have cost so far: hours that nodes existed times their price."""

from __future__ import annotations

from typing import Any

from skywright.control.context import Control
from skywright.control.rows import Deployment, Node


def spent(control: Control, deployment: Deployment) -> float:
    """USD so far: each node at its own price, whatever place it was in, and without the time it was stopped."""
    now = control.clock.now()
    share = share_of(deployment)
    return sum(
        _seconds(node, now) * (share if node.hourly is None else node.hourly) / 3600
        for node in control.store.find(Node, uid=deployment.uid)
    )


def _seconds(node: Node, now: float) -> float:
    until = node.gone or now
    resting = (node.paused_s or 0.0) + (max(0.0, until - node.stopped) if node.stopped else 0.0)
    return max(0.0, until - node.created - resting)


def share_of(deployment: Deployment) -> float:
    """USD per hour of one node where the deployment is now: `hourly` is for all of them together."""
    return deployment.hourly / max(1, deployment.nodes_wanted)


def report(control: Control) -> list[dict[str, Any]]:
    """One row per deployment that is or was, newest first."""
    now = control.clock.now()
    return [
        {
            "name": deployment.name,
            "project": deployment.project,
            "where": deployment.place,
            "market": deployment.market,
            "nodes": deployment.nodes_wanted,
            "hourly": deployment.hourly,
            "spent": spent(control, deployment),
            "created": deployment.created,
            "ended": deployment.ended,
            "up_s": (deployment.ended or now) - deployment.up_since if deployment.up_since else 0.0,
            "gone": deployment.ended is not None,
        }
        for deployment in control.store.find(Deployment, order="-created")
    ]
