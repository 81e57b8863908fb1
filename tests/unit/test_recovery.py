"""Recovery's table, row by row, and what holds of every row."""

from __future__ import annotations

import itertools

import pytest

from compiler.recovery import (
    Decision,
    Done,
    Facts,
    GiveUp,
    Move,
    NodeState,
    Phase,
    RankFacts,
    Replace,
    Wait,
    decide,
)

LIVE, NOTICED, SILENT, LOST = NodeState
RUN, OK, BAD, GONE = Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.PREEMPTED


def ranks(*each: tuple[Phase, NodeState]) -> tuple[RankFacts, ...]:
    return tuple(RankFacts(index, phase, node) for index, (phase, node) in enumerate(each))


@pytest.mark.parametrize(
    ("facts", "decision"),
    [
        (Facts(ranks((OK, LIVE), (OK, LIVE))), Done()),
        (Facts(ranks((OK, LOST), (OK, SILENT))), Done()),
        (Facts(ranks((RUN, LIVE), (RUN, LOST)), cancelled=True), Done()),
        (Facts(ranks((RUN, LIVE), (RUN, LIVE))), Wait()),
        (Facts(()), Wait()),
        (Facts(ranks((RUN, LIVE), (RUN, SILENT))), Wait("node 1 is silent; the cloud is asked")),
        (Facts(ranks((RUN, SILENT), (RUN, SILENT))), Wait("nodes 0, 1 are silent; the cloud is asked")),
        (Facts(ranks((RUN, LIVE), (RUN, LOST))), Replace((1,))),
        (Facts(ranks((RUN, LOST), (RUN, LIVE), (RUN, LOST))), Replace((0, 2))),
        (Facts(ranks((OK, LOST), (RUN, LOST))), Replace((1,))),
        (
            Facts(ranks((RUN, LIVE), (RUN, NOTICED)), spot=True),
            Wait("node 1 is about to be taken away; the task saves"),
        ),
        (Facts(ranks((RUN, LIVE), (GONE, NOTICED)), spot=True), Replace((1,))),
        (Facts(ranks((OK, LIVE), (OK, NOTICED))), Done()),
        (Facts(ranks((BAD, SILENT), (RUN, LOST))), Replace((1,))),
        (Facts(ranks((BAD, LIVE), (RUN, SILENT))), Wait("node 1 is silent; the cloud is asked")),
        (Facts(ranks((BAD, LIVE), (RUN, LOST))), Replace((1,))),
        (Facts(ranks((RUN, LIVE), (Phase.UNKNOWN, LIVE))), Replace(())),
        (Facts(ranks((GONE, LIVE), (GONE, LIVE))), Replace(())),
        (Facts(ranks((RUN, LOST)), refused=("aws us-west-2a",)), Move(("aws us-west-2a",))),
        (
            Facts(ranks((RUN, LOST)), losses=3, loss_budget=3),
            GiveUp("nodes were lost again after 3 times, which is all that is allowed"),
        ),
        (Facts(ranks((RUN, LOST)), losses=3, loss_budget=4), Replace((0,))),
        (Facts(ranks((RUN, LOST)), errors=9, error_budget=0), Replace((0,))),
        (Facts(ranks((BAD, LIVE), (RUN, LIVE)), losses=9, loss_budget=1, error_budget=1), Replace(())),
    ],
)
def test_the_table(facts: Facts, decision: Decision) -> None:
    assert decide(facts) == decision


def test_the_rank_that_failed_first_is_named() -> None:
    facts = Facts(
        (
            RankFacts(0, BAD, exit_code=143, signal=15, ended=12.0),
            RankFacts(1, BAD, exit_code=3, ended=11.5),
            RankFacts(2, BAD, exit_code=1),
        )
    )
    assert decide(facts) == GiveUp("run failed on rank 1 with exit code 3", 1)


@pytest.mark.parametrize(
    ("rank", "reason"),
    [
        (RankFacts(0, BAD, exit_code=7), "run failed with exit code 7"),
        (RankFacts(0, BAD, exit_code=137, signal=9, oom=True), "run was out of memory"),
        (RankFacts(0, BAD, signal=11), "run was ended by signal 11"),
        (RankFacts(0, BAD, exit_code=1, part="setup"), "setup failed with exit code 1"),
        (RankFacts(0, BAD, part="fetch"), "fetching the files failed"),
    ],
)
def test_a_failure_is_told_in_words(rank: RankFacts, reason: str) -> None:
    assert decide(Facts((rank,))) == GiveUp(reason, 0)


def test_a_failing_setup_is_not_tried_again() -> None:
    failed = RankFacts(0, BAD, exit_code=1, part="setup")
    assert isinstance(decide(Facts((failed,), error_budget=3)), GiveUp)


def test_errors_within_their_budget_start_again_on_the_same_nodes() -> None:
    facts = ranks((BAD, LIVE), (RUN, LIVE))
    assert decide(Facts(facts, errors=1, error_budget=2)) == Replace(())
    assert isinstance(decide(Facts(facts, errors=2, error_budget=2)), GiveUp)


def test_of_all_states_of_two_ranks_none_blames_a_rank_for_a_loss() -> None:
    states = list(itertools.product(Phase, NodeState))
    for one, two in itertools.product(states, states):
        decision = decide(Facts(ranks(one, two)))
        lost = {i for i, (phase, node) in enumerate((one, two)) if node is LOST and phase is not OK}
        if lost:
            assert isinstance(decision, (Replace, Wait)), (one, two)
        if isinstance(decision, Replace):
            assert lost <= set(decision.ranks)
            assert all((one, two)[rank][1] in (LOST, NOTICED) for rank in decision.ranks)
        if isinstance(decision, GiveUp):
            assert decision.rank is not None
            assert (one, two)[decision.rank][0] is BAD
        if isinstance(decision, Done):
            assert one[0] is two[0] is OK
