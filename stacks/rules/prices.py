"""The rules `hourly-ceiling` and `budget`: what a task may cost."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.words import money
from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, Parameters, Rule


def _hourly(parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if ordered.deployment is None:
        return
    most, hourly = parameters["usd"], ordered.asked.hourly if ordered.asked else None
    if hourly is None:
        yield Fault("what it costs is not known", judged=False)
    elif hourly > most:
        says = (
            f"`{ordered.deployment}` costs {hourly:.2f} USD/h, and {most:g} is the most that is allowed here"
        )
        yield Fault(says, "`skywright config` shows where this is set")


def _budget(parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    asked = ordered.asked
    if asked is None or asked.budget is None or asked.total is None or asked.total <= asked.budget:
        return
    where = f"{ordered.place} {ordered.machine}"
    says = f"`{ordered.deployment}` costs {money(asked.total)} on {where}, and its budget is {money(asked.budget)}"
    hint = "`duration` tells how long it takes, `skywright explain` where the money goes"
    yield Fault(says, f"reckoned for {asked.reckoned}; {hint}" if asked.reckoned else hint)


HOURLY_CEILING = Rule("hourly-ceiling", "policy/too-dear", "tasks that cost more by the hour", _hourly)
BUDGET = Rule("budget", "policy/over-budget", "tasks that cost more in all than their own `budget`", _budget)
