"""The ledger's entries: what costs money begins and ends here, in the transaction of the fact itself.

A node costs from when control knows of it until it is gone; one whose place was given up until its stack is gone.
Prices are those of the plan that the nodes were made by, and stay whatever the catalog says later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from skywright.control.context import Control
from skywright.control.entries import Account, Attempt, Span, Work
from skywright.control.rows import Deployment, Node, Run

RUNNING, STOPPED = "running", "stopped"

RATES = ("disk", "address", "on_demand", "listed")
"""What an order says of a node of each placement, in USD per hour; `on_demand` and `listed` may be None."""


def opened(control: Control, deployment: Deployment, task: str) -> None:
    """A deployment was ordered, for a task of that name."""
    control.store.add(
        Account(
            deployment.uid,
            deployment.name,
            deployment.project,
            deployment.owner,
            task,
            deployment.cloud,
            deployment.created,
        )
    )


def closed(control: Control, deployment: Deployment) -> None:
    """Nothing of it exists any more, or nothing that is ours."""
    now = control.clock.now()
    for account in control.store.find(Account, uid=deployment.uid, closed=None):
        control.store.change(account, closed=now)
    for span in control.store.find(Span, uid=deployment.uid, ended=None):
        control.store.change(span, ended=now)


def made(control: Control, deployment: Deployment, node: Node) -> None:
    """A node exists: at its price, where the deployment is now."""
    rates = deployment.rates or {}
    control.store.add(
        Span(
            node.node,
            1,
            deployment.uid,
            node.rank,
            deployment.cloud,
            deployment.place,
            deployment.market,
            began=node.created,
            state=RUNNING,
            hourly=node.hourly or 0.0,
            disk=float(rates.get("disk") or 0.0),
            address=float(rates.get("address") or 0.0),
            on_demand=rates.get("on_demand"),
            listed=rates.get("listed"),
        )
    )


def gone(control: Control, node: Node, at: float) -> None:
    """A node is gone since `at`, and costs nothing any more."""
    if span := control.store.first(Span, node=node.node, ended=None):
        control.store.change(span, ended=at)


def stopped(control: Control, node: Node) -> None:
    """Its cloud has stopped a node: only its disk costs from now on."""
    _turn(control, node, STOPPED)


def started(control: Control, node: Node) -> None:
    """Its cloud has started a node again."""
    _turn(control, node, RUNNING)


def _turn(control: Control, node: Node, state: str) -> None:
    span = control.store.first(Span, order="-number", node=node.node)
    if span is None or (span.state == state and span.ended is None):
        return
    now = control.clock.now()
    control.store.change(span, when={"ended": None}, ended=now)
    control.store.add(replace(span, number=span.number + 1, began=now, state=state, ended=None))


def ordered(control: Control, run: Run, estimate: dict[str, Any] | None) -> None:
    """A run was ordered; `estimate` is what its plan says that it costs."""
    control.store.add(Work(run.uid, run.run, run.name, run.submitted, estimate=estimate))


def begun(control: Control, run: Run, attempt: int) -> None:
    """An attempt holds its nodes from now on."""
    control.store.add(Attempt(run.uid, run.run, attempt, run.num_nodes, control.clock.now()))


def lost(control: Control, run: Run, how: str, lost_s: float) -> None:
    """An attempt ended by a loss: `how` is one of figures.py's, `lost_s` of its work have to be done again."""
    now = control.clock.now()
    for attempt in control.store.find(Attempt, uid=run.uid, run=run.run, ended=None):
        control.store.change(attempt, ended=now, how=how, lost_s=lost_s)


def ended(control: Control, run: Run, status: str, now: float) -> None:
    """A run has ended, and the attempt with it."""
    for attempt in control.store.find(Attempt, uid=run.uid, run=run.run, ended=None):
        control.store.change(attempt, ended=now, how=status)
    for work in control.store.find(Work, uid=run.uid, run=run.run, ended=None):
        control.store.change(work, ended=now, status=status)
