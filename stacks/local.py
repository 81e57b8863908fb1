"""The cloud `local`: sells this machine; a node is a folder and a process tree apart from the host's."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.lower import GANG_DEADMAN_S, SINGLE_DEADMAN_S
from compiler.offer import Capability, Market, Offer
from compiler.spec import Foundation, StackSpec
from stacks.cloud import ANYWHERE, Access, Check, Failure, Idle, NodeFacts, Probe, Scope, Traces

if TYPE_CHECKING:
    from compiler.problem import Problems

NAME = "local"
CAPABILITIES = frozenset(
    {
        Capability.MULTI_NODE,
        Capability.SPOT,
        Capability.LABELS,
        Capability.WORKDIR,
        Capability.CHECKPOINT,
        Capability.BUCKETS,
    }
)
ENV: tuple[str, ...] = ()
PROBES: tuple[Probe, ...] = ()  # the node's manifest names its own endpoint
EXTRA = None
FOUNDATION = False
INSTANCE_TYPE = "this-machine"
ZONES = "SKYWRIGHT_LOCAL_ZONES"
"""Names with commas between (`a,b`): this machine is sold as so many places, `local/a` and `local/b`.
Nodes and kept folders of two zones are apart as those of two regions are, so that moving can be tried out."""

_SORTED = (
    (
        Failure.CAPACITY,
        r"machine/disk-full|machine/no-address|no space left|cannot allocate memory|resource temporarily",
    ),
    (Failure.CREDENTIALS, r"permission denied|operation not permitted|read-only file system"),
    (Failure.NOT_FOUND, r"cloud/no-such-node|cloud/agent-missing"),
)


def offers() -> tuple[Offer, ...]:
    """This machine, in both markets, cut to any size up to what it has; each of its zones where it has any."""
    from stacks.home import home

    # Rounded down to a power of two: a plan must not change with every file that is written to the disk.
    disk = os.statvfs(home())
    free_gb = disk.f_bavail * disk.f_frsize / 1e9
    return tuple(
        Offer(
            cloud=NAME,
            region=zone,
            zone=None,
            instance_type=INSTANCE_TYPE,
            market=market,
            price=0.0,
            cpus=float(os.cpu_count() or 1),
            memory_gb=_memory_gb(),
            disk_gb=float(2 ** int(math.log2(free_gb))) if free_gb >= 1 else 0.0,
            flexible=True,
        )
        for zone in zones() or (None,)
        for market in (Market.ON_DEMAND, Market.SPOT)
    )


def zones() -> tuple[str, ...]:
    """The zones that this machine is cut into; most have none."""
    found = (name.strip() for name in os.environ.get(ZONES, "").split(","))
    return tuple(dict.fromkeys(name for name in found if re.fullmatch(r"[a-z][a-z0-9-]{0,15}", name)))


def here() -> frozenset[Capability]:
    """What local nodes can do besides, by what this machine has.

    podman runs as a part of the node. Docker's daemon is outside of it and would see the host's files.
    """
    import shutil

    able = os.geteuid() == 0 and shutil.which("podman")
    return frozenset({Capability.CONTAINER} if able else ())


def configured() -> bool:
    """This machine is always here."""
    return True


def check() -> tuple[Check, ...]:
    """What keeps local nodes apart here, which addresses they have, how far limits are kept."""
    from stacks.provider import abilities

    return abilities.check()


def agent_digest() -> str:
    """Content hash of the agent that is installed here."""
    from stacks.provider import agents

    return agents.digest()


def agent_folder(home: Path) -> Path:
    """`agents/<hash>` under `home` with today's agent in it."""
    from stacks.provider import agents

    return agents.folder(home)


def build(spec: StackSpec) -> None:
    """One Node per rank; exports `nodes`."""
    import pulumi

    from stacks.provider.resource import Node

    made = []
    for rank in spec.ranks:
        inputs: dict[str, Any] = {
            "project": spec.project,
            "deployment": spec.deployment,
            "rank": rank,
            "agent": spec.agent,
            "market": spec.market.value,
            "deadman_s": spec.deadman_s or (GANG_DEADMAN_S if spec.nodes > 1 else SINGLE_DEADMAN_S),
            "labels": dict(spec.labels),
        }
        if spec.cpus is not None:
            inputs["cpus"] = spec.cpus
        if spec.memory_gb is not None:
            inputs["memory_gb"] = spec.memory_gb
        if spec.region is not None:
            inputs["zone"] = spec.region
        made.append(Node(f"node-{rank}", inputs))
    pulumi.export(
        "nodes", [{"rank": rank, "id": one.id, "address": one.address} for rank, one in enumerate(made)]
    )


def foundation(spec: Foundation) -> None:
    """Nothing: nodes share the machine's own network."""


def idle(spec: Foundation) -> tuple[Idle, ...]:
    """Nothing stands."""
    return ()


def write_secrets(spec: StackSpec, values: Mapping[str, str]) -> None:
    """Nothing: control sends the values over the link."""


def stop(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Raises Problems cloud/cannot-stop: a local node costs nothing, and is made again in a second."""
    raise _problem("cloud/cannot-stop", "local nodes cannot be stopped", "`invoke down` removes them")


def start(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Raises Problems cloud/cannot-stop."""
    stop(nodes, scope)


def access(node: str, scope: Scope = ANYWHERE) -> Access:
    """Raises Problems cloud/no-access: nothing listens on a local node."""
    raise _problem("cloud/no-access", "a local node has no shell of its own", "`invoke exec` runs commands")


def inventory(project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
    """Every node folder of this home; alive while its init runs."""
    from stacks.provider import nodes

    return tuple(
        NodeFacts(
            node=node.node,
            project=node.project,
            deployment=node.deployment,
            rank=node.rank,
            address=node.address,
            alive=node.alive,
            created=node.created,
            region=node.zone,
        )
        for node in nodes.existing()
        if project in (None, node.project)
    )


def remove(node: str, scope: Scope = ANYWHERE) -> None:
    """End all processes of a node, then delete it. Idempotent. Problems cloud/node-not-ended."""
    from stacks.provider import nodes

    nodes.remove(node)


def sweep(
    spec: StackSpec | Foundation, known: frozenset[str], scope: Scope = ANYWHERE, look: bool = False
) -> tuple[str, ...]:
    """Nothing: a local stack has nothing beside its nodes."""
    return ()


def traces(spec: StackSpec | Foundation) -> Traces:
    """Folders of nodes; each says in its node.json whose it is."""
    from stacks.provider import nodes

    return Traces({"project": spec.project, "stack": spec.stack}, (f"ls {nodes.root()}", "invoke orphans"))


def verify(node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
    """Is `proof` what only this node's folder holds?"""
    import hmac

    from stacks.provider import nodes

    found = nodes.get(node)
    if found is None or not proof:
        return False
    try:
        held = (found.folder / "proof").read_text()
    except OSError:
        return False
    return hmac.compare_digest(held.encode(), proof.encode("utf-8", "replace"))


def preempt(node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
    """Announce the loss of a spot node in `notice_s` seconds, or take any node away now when that is None.

    Raises Problems cloud/no-such-node (also for one that is lost already) and cloud/not-spot.
    """
    from stacks.home import write_json
    from stacks.provider import nodes

    found = nodes.get(node)
    if found is None or found.init is None or not found.alive:
        raise _problem(
            "cloud/no-such-node", f"no local node {node} is running", "`invoke status` lists nodes"
        )
    if notice_s is None:
        nodes.lose(found)
        return
    if found.market != Market.SPOT.value:
        raise _problem(
            "cloud/not-spot",
            f"node {node} is on-demand: only spot capacity is taken away with a notice",
            "use `use_spot: true`, or `invoke chaos kill` for a loss without notice",
        )
    # Whole seconds, as clouds say it; rounded up so that the notice is never shorter than asked.
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(math.ceil(time.time() + notice_s)))
    write_json(found.folder / "cloud" / "notice.json", {"action": "terminate", "time": at})


def kill_agent(node: str, scope: Scope = ANYWHERE) -> int:
    """Kill the agent's process and nothing else; its pid. Problems cloud/no-such-node, cloud/no-agent."""
    from stacks.provider import nodes

    found = nodes.get(node)
    if found is None or not found.alive:
        raise _problem(
            "cloud/no-such-node", f"no local node {node} is running", "`invoke status` lists nodes"
        )
    pid = nodes.kill_agent(found)
    if pid is None:
        raise _problem("cloud/no-agent", f"no agent runs on node {node} now", "it is starting; try again")
    return pid


def sort(error: str) -> Failure:
    """Which kind of failure an engine message about a local node is."""
    for failure, pattern in _SORTED:
        if re.search(pattern, error, re.IGNORECASE):
            return failure
    return Failure.OTHER


def _memory_gb() -> float:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 1.0
    return math.floor(total / 2**30 * 10) / 10


def _problem(code: str, message: str, hint: str) -> Problems:
    from compiler.problem import Problem, Problems

    return Problems(Problem(code, message, hint=hint))
