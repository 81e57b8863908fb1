"""An operation on AWS is killed before and after calls of its provider; the next one leaves no orphan and no double."""

from __future__ import annotations

import os
import signal

import pytest
from aws_account import Account, changed
from desk import wait

from compiler.spec import Foundation, StackSpec
from stacks import operate
from tests.faults.plugin import hit

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
FOUNDATION = 10
"""Things of the network: VPC, six subnets, gateway, route table, endpoint."""
STACK = 4
"""Security group, role, instance profile, bucket; a node is an instance and a disk."""


def struck(account: Account, kind: str, spec: StackSpec | Foundation, step: int) -> bool:
    """Begin an operation and kill it at its provider's call number `step`; False when it ended before that."""
    account.store.forget_calls()
    account.store.halt_at(step)
    folder = account.begin(kind, spec)
    wait(lambda: account.store.halted() or not operate.running(folder), 180, f"step {step} of {kind}")
    reached = account.store.halted() is not None
    who = operate.owner(folder)
    assert who is not None
    if reached:
        os.kill(who.pid, signal.SIGKILL)
    account.ended(folder)
    account.store.go_on()
    return reached


def settled(account: Account, spec: StackSpec) -> None:
    """`up` once more: what exists is what the state says, once."""
    made = account.well("up", spec)
    assert account.nodes() == [(row["rank"], row["id"]) for row in made["nodes"]]
    assert [row["rank"] for row in made["nodes"]] == list(spec.ranks)
    assert len(account.left()) == FOUNDATION + STACK + 2 * spec.nodes + len(spec.secrets), account.left()


def nothing_to_do(account: Account, spec: StackSpec) -> None:
    again = account.well("preview", spec)
    assert (changed(again), changed(again["foundation"])) == ([], [])


def gone(account: Account, spec: StackSpec) -> None:
    account.well("destroy", spec)
    assert spec.foundation is not None
    account.well("destroy", spec.foundation)
    assert account.left() == []


@pytest.mark.fault("operation killed")
def test_a_network_that_was_cut_off_is_made_once(account: Account) -> None:
    """After the call that makes the VPC, before the state says so: nothing but its tags tells whose it is."""
    spec = account.spec(nodes=1)
    assert struck(account, "up", spec, 2)
    assert len(account.left()) == 1, "an orphan for now"
    settled(account, spec)
    nothing_to_do(account, spec)


@pytest.mark.fault("operation killed")
def test_a_node_that_was_cut_off_is_made_once(account: Account) -> None:
    spec = account.spec(nodes=1, secrets=("TOKEN",))
    assert spec.foundation is not None
    account.well("up", spec.foundation)
    resources = STACK + 4 + spec.nodes + len(spec.secrets) + 1  # three settings, rights, the agent
    assert struck(account, "up", spec, 2 * resources), "after the last call: the one for the node"
    assert len(account.nodes()) == 1, "an orphan for now"
    settled(account, spec)
    nothing_to_do(account, spec)
    gone(account, spec)


@pytest.mark.fault("operation killed")
def test_a_node_whose_removal_was_cut_off_is_made_again(account: Account) -> None:
    """Gone in the cloud and still in the state: `up` asks the cloud instead of taking the state's word."""
    spec = account.spec(nodes=1)
    account.well("up", spec)
    assert struck(account, "destroy", spec, 2)
    settled(account, spec)
    nothing_to_do(account, spec)


@pytest.mark.fault("operation killed")
@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_an_operation_is_killed_around_every_call(account: Account) -> None:
    spec = account.spec(nodes=2, secrets=("TOKEN",))
    foundation = spec.foundation
    assert foundation is not None
    points = {"foundation": 0, "up": 0, "destroy": 0}
    while struck(account, "up", foundation, points["foundation"] + 1):
        points["foundation"] += 1
        account.well("up", foundation)
        assert len(account.left()) == FOUNDATION, account.left()
        account.well("destroy", foundation)
        assert account.left() == []
    while struck(account, "up", spec, points["up"] + 1):
        points["up"] += 1
        settled(account, spec)
        account.well("destroy", spec)
        assert len(account.left()) == FOUNDATION, account.left()
    while struck(account, "destroy", spec, points["destroy"] + 1):
        points["destroy"] += 1
        settled(account, spec)
    account.well("up", spec)
    nothing_to_do(account, spec)
    gone(account, spec)
    hit(sum(points.values()))
    assert min(points.values()) >= 20
