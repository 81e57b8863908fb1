"""How a run ended, or how it stands -> what to do next. A pure table: no clock, no cloud, no memory.

The first row that holds decides. A rank is *over* when it succeeded, failed or was cancelled; a node is
*gone* when the cloud confirmed its loss, or it announced its end and its task has saved and ended.

| what is seen                                           | decision                                        |
| ------------------------------------------------------ | ----------------------------------------------- |
| the run was cancelled                                  | Done                                            |
| every rank succeeded                                   | Done, whatever became of the nodes              |
| a rank goes on, its node is silent, loss not confirmed | Wait                                            |
| nodes that announced their end still save              | Wait                                            |
| the place refused capacity for a replacement           | Move away from it, within the loss budget       |
| nodes are gone whose ranks had not succeeded           | Replace those ranks, within the loss budget     |
| a rank is preempted or unknown on a living node        | Replace nothing: same nodes, next attempt       |
| a rank failed, nothing was lost                        | GiveUp naming the first, or again within budget |
| the same, with an exit code that means "again"         | again, whatever the budget                      |
| anything else                                          | Wait                                            |

A loss is judged before a failure, since a gang that loses a node makes the others fail; so losses never use
up the budget for errors, and errors never that for losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """Phases of a run on one node, as docs/link.md has them."""

    PENDING = "pending"
    FETCHING = "fetching"
    SETUP = "setup"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    UNKNOWN = "unknown"

    @property
    def over(self) -> bool:
        return self in _OVER


_OVER = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.PREEMPTED, Phase.UNKNOWN})


class NodeState(Enum):
    """What is known of a node: it speaks, announced its end, let its lease end, or is gone."""

    LIVE = "live"
    NOTICED = "noticed"
    SILENT = "silent"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RankFacts:
    """One rank of the present attempt.

    `ended` orders failures (any clock, one for all ranks); `part` is `setup`, `fetch` or `run`.
    """

    rank: int
    phase: Phase
    node: NodeState = NodeState.LIVE
    exit_code: int | None = None
    signal: int | None = None
    oom: bool = False
    ended: float | None = None
    part: str = "run"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on.

    `losses` and `errors` count what earlier attempts of the run ended with; a budget of None has no end. With one of
    `error_codes` a task wants to be begun again.
    `refused` holds the places (`Offer.where`) that had no capacity for a replacement.
    """

    ranks: Sequence[RankFacts]
    spot: bool = False
    cancelled: bool = False
    losses: int = 0
    loss_budget: int | None = None
    errors: int = 0
    error_budget: int = 0
    error_codes: Sequence[int] = ()
    refused: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The run has ended and nothing is to be repaired."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until more is known; `reason` is for people."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """Make the nodes of these ranks again and begin the next attempt; without ranks on the same nodes."""

    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """Compile again with these places avoided, and begin the next attempt there."""

    avoid: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run failed. `rank` failed first, None when no rank is to blame."""

    reason: str
    rank: int | None = None


Decision = Done | Wait | Replace | Move | GiveUp


def decide(facts: Facts) -> Decision:
    """The decision of the table above."""
    ranks = facts.ranks
    if facts.cancelled or (ranks and all(one.phase is Phase.SUCCEEDED for one in ranks)):
        return Done()
    open_ranks = [one for one in ranks if one.phase is not Phase.SUCCEEDED]
    # What a rank said of its end stands, whether its node is heard now or not.
    silent = [one.rank for one in open_ranks if one.node is NodeState.SILENT and not one.phase.over]
    if silent:
        return Wait(f"{_nodes(silent)} silent; the cloud is asked")
    saving = [one.rank for one in open_ranks if one.node is NodeState.NOTICED and not one.phase.over]
    if saving:
        return Wait(f"{_nodes(saving)} about to be taken away; the task saves")
    gone = tuple(sorted(one.rank for one in open_ranks if one.node in (NodeState.LOST, NodeState.NOTICED)))
    broken = [one.rank for one in open_ranks if one.phase in (Phase.PREEMPTED, Phase.UNKNOWN)]
    if gone or broken or facts.refused:
        return _lost(facts, gone)
    failed = [one for one in ranks if one.phase is Phase.FAILED]
    if failed:
        return _failed(facts, failed)
    return Wait()


def _lost(facts: Facts, gone: tuple[int, ...]) -> Decision:
    if facts.loss_budget is not None and facts.losses >= facts.loss_budget:
        times = f"{facts.losses} time" + ("s" if facts.losses != 1 else "")
        return GiveUp(f"nodes were lost again after {times}, which is all that is allowed")
    if facts.refused:
        return Move(tuple(sorted(set(facts.refused))))
    return Replace(gone)


def _failed(facts: Facts, failed: Sequence[RankFacts]) -> Decision:
    first = first_of(failed)
    if first.part == "run" and (means_again(facts) or facts.errors < facts.error_budget):
        return Replace(())
    return gave_up(facts)


def first_of(failed: Sequence[RankFacts]) -> RankFacts:
    """The rank that failed before the others."""
    return min(failed, key=lambda one: (one.ended is None, one.ended or 0.0, one.rank))


def gave_up(facts: Facts) -> GiveUp:
    """What would be said of the failed ranks, at least one, if the run were not begun again."""
    first = first_of([one for one in facts.ranks if one.phase is Phase.FAILED])
    return GiveUp(failure(first, len(facts.ranks)), first.rank)


def means_again(facts: Facts) -> bool:
    """Did a rank fail with an exit code after which the task wants to be begun again, at no cost to its budget?"""
    return any(one.phase is Phase.FAILED and one.exit_code in facts.error_codes for one in facts.ranks)


def is_error(facts: Facts) -> bool:
    """Is a failure of the task to be judged, and no loss of a node?"""
    lost = (NodeState.LOST, NodeState.NOTICED)
    open_ranks = [one for one in facts.ranks if one.phase is not Phase.SUCCEEDED]
    if facts.refused or any(
        one.node in lost or one.phase in (Phase.PREEMPTED, Phase.UNKNOWN) for one in open_ranks
    ):
        return False
    return any(one.phase is Phase.FAILED for one in open_ranks)


def failure(one: RankFacts, nodes: int) -> str:
    """`run failed on rank 1 with exit code 3`: a failure as people read it."""
    what = {"run": "run", "setup": "setup", "fetch": "fetching the files"}.get(one.part, one.part)
    where = f" on rank {one.rank}" if nodes > 1 else ""
    if one.oom:
        return f"{what}{where} was out of memory"
    if one.signal:
        return f"{what}{where} was ended by signal {one.signal}"
    code = f" with exit code {one.exit_code}" if one.exit_code is not None else ""
    return f"{what} failed{where}{code}"


def _nodes(ranks: Sequence[int]) -> str:
    listed = ", ".join(str(rank) for rank in sorted(ranks))
    return f"node {listed} is" if len(ranks) == 1 else f"nodes {listed} are"
