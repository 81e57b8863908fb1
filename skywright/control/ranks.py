"""The ranks of a run's attempt as stored rows, and as the facts that compiler/recovery.py decides on."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.recovery import Facts, NodeState, Phase, RankFacts
from skywright.control.context import Control
from skywright.control.nodes import OVER
from skywright.control.rows import Deployment, Node, Run, RunRank

IN_FLIGHT_S = 2.0
"""What a dying node said last may be read so much later than what its peers said of its death."""


@dataclass(frozen=True, slots=True)
class Rank:
    """A seat of the attempt with what is known of its node."""

    seat: RunRank
    node: Node

    @property
    def gone(self) -> bool:
        return self.node.revoked is not None

    @property
    def leaving(self) -> bool:
        return self.gone or self.node.state in ("noticed", "drained")

    @property
    def over(self) -> bool:
        return self.gone or self.seat.phase in OVER


def seats(control: Control, run: Run) -> tuple[Rank, ...]:
    """The ranks of the run's attempt, by rank."""
    rows = control.store.find(RunRank, order="rank", uid=run.uid, run=run.run, attempt=run.attempt)
    nodes = {row.node: row for row in control.store.find(Node, uid=run.uid)}
    return tuple(Rank(row, nodes[row.node]) for row in rows)


def part_of(seat: RunRank) -> str:
    """Which part of the task a failed rank failed in: fetch, setup or run."""
    part = (seat.message or "").partition(":")[0]
    return part if part in ("fetch", "setup") else "run"


def facts(control: Control, deployment: Deployment, run: Run, ranks: tuple[Rank, ...]) -> Facts:
    """The attempt as the recovery table judges it."""
    again = run.body.get("recovery") or {}
    return Facts(
        ranks=tuple(_rank_facts(control, run, rank) for rank in ranks),
        spot=deployment.market == "spot",
        cancelled=run.stopping == "cancel",
        losses=len(run.losses),
        errors=run.errors,
        error_budget=int(again.get("restarts", 0)),
        error_codes=tuple(again.get("codes", ())),
    )


def _rank_facts(control: Control, run: Run, rank: Rank) -> RankFacts:
    phase, state = Phase(rank.seat.phase), NodeState.LIVE
    if rank.gone:
        state = NodeState.LOST
        heard = rank.node.last_seen or 0.0
        if not phase.over and run.failed_at is not None and heard > run.failed_at + IN_FLIGHT_S:
            # It was heard well after the first failure, so that failure was not caused by its loss.
            phase, state = Phase.CANCELLED, NodeState.LIVE
    elif rank.node.state in ("noticed", "drained"):
        state = NodeState.NOTICED
    elif control.presence.silent(rank.node.node, control.clock.steady()):
        state = NodeState.SILENT
    return RankFacts(
        rank=rank.seat.rank,
        phase=phase,
        node=state,
        exit_code=rank.seat.exit_code,
        signal=rank.seat.signal,
        oom=rank.seat.oom,
        ended=rank.seat.changed if phase.over else None,
        part=part_of(rank.seat),
    )
