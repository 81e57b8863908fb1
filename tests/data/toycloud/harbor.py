"""The cloud `harbor`: boats that a test moors; all that a cloud of one file has to say."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.offer import Capability, Market, Offer
from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from stacks.cloud import ANYWHERE, Access, Check, Failure, Idle, NodeFacts, Probe, Scope, Traces

NAME = "harbor"
CAPABILITIES = frozenset({Capability.MULTI_NODE, Capability.LABELS, Capability.WORKDIR})
ENV: tuple[str, ...] = ()
PROBES: tuple[Probe, ...] = ()
EXTRA = None
FOUNDATION = False


def offers() -> tuple[Offer, ...]:
    """One boat."""
    return (Offer(NAME, "north", None, "sloop", Market.ON_DEMAND, 1.5, 8.0, 32.0),)


def configured() -> bool:
    return True


def check() -> tuple[Check, ...]:
    return (Check(True, "the harbor is open"),)


def build(spec: StackSpec) -> None:
    import pulumi

    class Boat(pulumi.CustomResource):
        def __init__(self, name: str, inputs: Mapping[str, object]) -> None:
            super().__init__("harbor:index:Boat", name, dict(inputs))

    rows = []
    for rank in spec.ranks:
        marks = {
            "project": spec.project,
            "deployment": spec.deployment,
            "rank": rank,
            "labels": dict(spec.labels),
        }
        boat = Boat(f"node-{rank}", marks)
        rows.append({"rank": rank, "id": boat.id, "address": f"berth-{rank}"})
    pulumi.export("nodes", rows)


def foundation(spec: Foundation) -> None:
    """Nothing: the water is there."""


def idle(spec: Foundation) -> tuple[Idle, ...]:
    return ()


def write_secrets(spec: StackSpec, values: Mapping[str, str]) -> None:
    """No boat has a safe."""


def inventory(project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
    return ()


def remove(node: str, scope: Scope = ANYWHERE) -> None:
    """There is none."""


def sweep(
    spec: StackSpec | Foundation, known: frozenset[str], scope: Scope = ANYWHERE, look: bool = False
) -> tuple[str, ...]:
    return ()


def traces(spec: StackSpec | Foundation) -> Traces:
    return Traces({"project": spec.project, "stack": spec.stack}, ())


def stop(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    raise Problems(Problem("cloud/cannot-stop", "boats do not stop", hint="`invoke down` removes them"))


def start(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    stop(nodes, scope)


def verify(node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
    return False


def access(node: str, scope: Scope = ANYWHERE) -> Access:
    raise _cannot()


def preempt(node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
    raise _cannot()


def kill_agent(node: str, scope: Scope = ANYWHERE) -> int:
    raise _cannot()


def sort(error: str) -> Failure:
    return Failure.CAPACITY if "no berth" in error else Failure.OTHER


def _cannot() -> Problems:
    return Problems(Problem("cloud/no-access", "boats are out of reach", hint="take another cloud"))
