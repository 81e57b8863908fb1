"""What a task may cost, kept while it lives: told at 80 %; at all of it no run and no recovery begins any more.

The `budget` of the newest launch holds for all that the deployment costs from its first node to its last. What runs
goes on. `Deployment.budget` is {usd, told, at, firm, waits}: `told` is `near` or `over` since `at`, `firm` whether
the team's policy refuses or only warns, `waits` the newest run of which was told that it waits.
"""

from __future__ import annotations

import datetime
import math
from typing import Any

from compiler.spec import StackSpec
from compiler.words import money
from skywright.control import cost
from skywright.control.context import WORK, Control
from skywright.control.desired import current_run
from skywright.control.orders import IDLE_S
from skywright.control.rows import Deployment, Run
from stacks.rules.judging import of_order
from stacks.rules.ordered import Asked, Ordered
from stacks.rules.policy import Policy, Statement

NEAR = 0.8

LEVELS = (None, "near", "over")


def watch(control: Control, uid: str) -> None:
    """Look at what a deployment has cost, and say once that it comes near its budget, or has used it up."""
    deployment = control.store.first(Deployment, uid=uid)
    if deployment is None or deployment.budget is None or deployment.wanted == "gone":
        return
    held, usd = deployment.budget, float(deployment.budget["usd"])
    spent = cost.spent(control, deployment)
    level = "over" if spent >= usd else "near" if spent >= NEAR * usd else None
    before = held.get("told")
    if level != before:
        found = {"usd": usd, "told": level, "at": control.clock.now(), "firm": _firm(control, deployment)}
        with control.store.together():
            control.store.change(deployment, budget=found)
            if LEVELS.index(level) > LEVELS.index(before):
                _tell(control, deployment, found, spent)
        if before == "over":
            control.bell.ring(WORK, uid)
    elif holds(deployment):
        _tell_waiting(control, deployment, held)


def _tell(control: Control, deployment: Deployment, found: dict[str, Any], spent: float) -> None:
    says = f"{money(spent)} of its budget of {money(found['usd'])} are spent"
    if found["told"] == "over" and found["firm"]:
        says = f"blocked: {says}: no run and no recovery begins; {_way_out(deployment)}"
    elif found["told"] == "over":
        says += "; its policy only warns of that"
    control.tell(deployment, "budget", says, spent=spent, **found)


def _tell_waiting(control: Control, deployment: Deployment, held: dict[str, Any]) -> None:
    run = current_run(control, deployment.uid)
    if run is None or _going(run) or held.get("waits", 0) >= run.run:
        return
    with control.store.together():
        control.store.change(deployment, budget={**held, "waits": run.run})
        says = f"run {run.run} waits: the budget of {money(held['usd'])} is spent; {_way_out(deployment)}"
        control.tell(deployment, "budget", says, run=run.run)


def _way_out(deployment: Deployment) -> str:
    return f"`skywright budget {deployment.name} USD` raises it"


def _going(run: Run) -> bool:
    return run.attempt > 0 and run.stopping not in ("preempted", "lost", "errored")


def _firm(control: Control, deployment: Deployment) -> bool:
    """Does the policy of the newest launch refuse what goes over the budget, or only warn?"""
    try:
        said = Policy.from_data(deployment.policy or {}).statements
    except (KeyError, TypeError, ValueError):
        return True  # operations are refused too while it cannot be read
    mine = tuple(one for one in said if one.rule == "budget") or (Statement("budget"),)
    spec = StackSpec.from_data(deployment.spec)
    asked = Asked("", total=math.inf, budget=1.0)
    ordered = Ordered(
        spec.stack, spec.cloud, spec.region, deployment=deployment.name, task=spec.task, asked=asked
    )
    today = datetime.datetime.fromtimestamp(control.clock.now(), datetime.timezone.utc).date()
    return any(one.denies for one in of_order(Policy(mine), ordered, today))


def holds(deployment: Deployment) -> bool:
    """Is nothing begun any more because the budget is spent?"""
    held = deployment.budget
    return held is not None and held.get("told") == "over" and bool(held.get("firm"))


def waiting_since(control: Control, deployment: Deployment) -> float | None:
    """Since when nodes only wait for a larger budget: they are given back as idle ones are. None when they do not."""
    if not holds(deployment) or deployment.budget is None:
        return None
    run = current_run(control, deployment.uid)
    if run is None or _going(run):
        return None
    return max(float(deployment.budget["at"]), *(run.losses[-1:] or [run.submitted]))


def patience(control: Control, deployment: Deployment) -> float | None:
    """How long its nodes wait for a larger budget, in seconds; None: for ever, as a person said that they stay.

    Those of a managed job are kept by the job, which nobody asked for.
    """
    run = current_run(control, deployment.uid)
    if run is not None and (run.call or "").startswith("job:"):
        return IDLE_S
    return None if deployment.keep else deployment.idle_s


def reason(deployment: Deployment) -> str | None:
    """Why nothing goes on, for people."""
    if deployment.ended is not None or deployment.budget is None or not holds(deployment):
        return None
    return f"its budget of {money(deployment.budget['usd'])} is spent; {_way_out(deployment)}"


def told(deployment: Deployment) -> dict[str, Any] | None:
    """{usd, state}: `state` is within, near or over."""
    if deployment.budget is None:
        return None
    return {"usd": deployment.budget["usd"], "state": deployment.budget.get("told") or "within"}


def allow(control: Control, name: str, usd: float | None) -> dict[str, Any]:
    """Set what a living deployment may cost in all; what waited goes on when that is more than it has cost.

    None: there is no limit. Raises Problems control/no-such-deployment.
    """
    from skywright.control.desk import living  # which imports what asks here

    row = living(control, name)
    with control.store.together():
        control.store.change(row, budget=None if usd is None else {"usd": float(usd)})
        says = "no budget any more" if usd is None else f"a budget of {money(usd)}"
        control.tell(row, "budget", f"{name} has {says}", usd=usd)
    watch(control, row.uid)
    control.bell.ring(WORK, row.uid)
    found = control.store.first(Deployment, uid=row.uid) or row
    return {"name": name, "budget": told(found), "spent": cost.spent(control, found)}
