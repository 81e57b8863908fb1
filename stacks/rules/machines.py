"""The rules `spot-declared` and `larger-than-asked`: which machines a task may get."""

from __future__ import annotations

from collections.abc import Iterable

from stacks.rules.facts import Machine
from stacks.rules.ordered import Ordered
from stacks.rules.rule import Fault, OverFacts, Parameters, Rule, matches, told


def _spot(parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if not ordered.spot or ordered.deployment is None:
        return
    patterns = parameters.get("tasks")
    names = [one for one in (ordered.deployment, ordered.task) if one]
    if patterns is not None and not any(matches(one, patterns) for one in names):
        hint = "`use_spot: false` takes capacity that stays"
        yield Fault(f"`{ordered.deployment}` is on spot, and only {told(patterns)} may be", hint)
    elif ordered.asked is not None and not ordered.asked.spot_said:
        hint = "write `use_spot: true` into its `resources`, or `false`"
        yield Fault(f"`{ordered.deployment}` is on spot by a default, and does not say so itself", hint)


def _machine(fact: Machine, parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if fact.spot and not ordered.spot:
        yield Fault("it is spot capacity, which was not ordered")


def _larger(parameters: Parameters, ordered: Ordered) -> Iterable[Fault]:
    if ordered.asked is not None and ordered.asked.larger:
        says = f"`{ordered.machine}` is larger than asked: {ordered.asked.larger}"
        yield Fault(says, "`skywright explain --exact` looks for machines of that size")


SPOT_DECLARED = Rule(
    "spot-declared",
    "policy/spot",
    "spot capacity where the task does not ask for it itself, or is not one that may",
    _spot,
    (OverFacts(Machine, _machine),),
)
LARGER_THAN_ASKED = Rule(
    "larger-than-asked", "policy/larger", "machines larger than what was asked for exactly", _larger
)
