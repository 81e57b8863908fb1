"""What deployments have cost so far: hours that nodes existed times their price."""

from __future__ import annotations

from typing import Any

from skywright.control.context import Control
from skywright.control.rows import Deployment, Node


def spent(control: Control, deployment: Deployment) -> float:
    """USD so far. `hourly` is for all nodes together, so each node's share is an equal part of it."""
    if not deployment.hourly:
        return 0.0
    now = control.clock.now()
    share = deployment.hourly / max(1, deployment.nodes_wanted)
    seconds = sum((node.gone or now) - node.created for node in control.store.find(Node, uid=deployment.uid))
    return share * max(0.0, seconds) / 3600


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
