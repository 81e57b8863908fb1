"""Finding out that a node is lost: taken away after a notice, drained, or silent and gone according to its cloud."""

from __future__ import annotations

from collections.abc import Collection

from compiler.problem import Problems
from skywright.control import clouds, words
from skywright.control.context import Control
from skywright.control.nodes import fence
from skywright.control.presence import ASK_EVERY_S
from skywright.control.rows import Deployment, Node

DEADMAN_S = {True: 600.0, False: 3600.0}
"""How long a silent node of a gang (True) or a single node may live on before it stops itself."""

DEADMAN_SLACK_S = 60.0
"""Added before control counts on it."""

BOOT_S = 600.0
"""A node that the cloud lists but that does not join for so long is given up."""


async def watch(control: Control, deployment: Deployment) -> None:
    """Fence the nodes that are lost. One question to the cloud answers for all silent nodes."""
    nodes = control.store.find(Node, order="rank", uid=deployment.uid, revoked=None)
    for node in nodes:
        if node.state == "drained":
            lose(control, deployment, node, "its capacity is taken away; it saved before")
    doubtful = [node for node in nodes if node.state != "drained" and _doubtful(control, node)]
    if not doubtful:
        return
    try:
        living = await alive(control, deployment)
    except Problems as problems:
        if problems.problems[0].code in clouds.SILENT:
            return  # without an answer nobody is given up
        raise
    for node in doubtful:
        judge(control, deployment, node, living)


async def alive(control: Control, deployment: Deployment) -> set[str]:
    """Ids of the deployment's nodes that exist, as the cloud says now."""
    return {item.node for item in await clouds.inventory(control, deployment) if item.alive}


def _doubtful(control: Control, node: Node) -> bool:
    now = control.clock.steady()
    contact = control.presence.of(node.node, now)
    over = node.notice_until is not None and control.clock.now() > node.notice_until
    if not over and not control.presence.silent(node.node, now):
        return False
    if contact.asked is not None and now - contact.asked < ASK_EVERY_S:
        return False
    contact.asked = now
    return True


def judge(control: Control, deployment: Deployment, node: Node, living: Collection[str]) -> None:
    """Decide about one node that the cloud was asked about."""
    now = control.clock.steady()
    contact = control.presence.of(node.node, now)
    quiet = now - contact.seen
    if node.node not in living:
        reason = "its capacity was taken away" if node.notice_until else "the cloud says that it is gone"
        lose(control, deployment, node, reason)
        return
    limit = BOOT_S if node.joined is None else DEADMAN_S[deployment.nodes_wanted > 1] + DEADMAN_SLACK_S
    if quiet > limit:
        lose(control, deployment, node, f"it was silent for {words.duration(quiet)} and has stopped itself")
    elif control.presence.silent(node.node, now) and quiet >= 30 and not contact.told:
        contact.told = True
        control.tell(
            deployment,
            "node",
            f"{node.label} has been silent for {words.duration(quiet)}; its cloud says that it exists: waiting"
            f" up to {words.duration(limit)}",
            rank=node.rank,
            node=node.node,
        )


def lose(control: Control, deployment: Deployment, node: Node, reason: str) -> None:
    """Fence a node and say so."""
    with control.store.together():
        if not fence(control, deployment, node, reason):
            return
        control.tell(
            deployment,
            "lost",
            f"{node.label} is lost: {reason}",
            rank=node.rank,
            node=node.node,
            noticed=node.notice_until is not None,
        )
