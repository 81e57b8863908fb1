"""What user, project and team allow, at the plan: the policy of an order, and what its rules find before any engine."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compiler.problem import Place, Problem, Problems
from skywright.cli import screen
from skywright.cli.taskfile import Entry

if TYPE_CHECKING:
    from compiler.plan import Placement, Plan
    from compiler.spec import StackSpec
    from compiler.task import Task
    from skywright.cli.living import Living
    from stacks.rules.judging import Finding
    from stacks.rules.ordered import Asked
    from stacks.rules.policy import Policy, Statement


def policy_of(entry: Entry, plan: Plan) -> Policy:
    """All that holds for the task, with what is known of each of its placements."""
    from stacks.rules.policy import Policy

    asked = tuple(_asked(entry, plan, one) for one in plan.placements)
    unique = tuple({one.key: one for one in reversed(asked)}.values())[::-1]
    return Policy(_statements(entry), unique)


def _statements(entry: Entry) -> tuple[Statement, ...]:
    """Of all files, and that a task costs no more than its own budget."""
    from stacks.rules.policy import Statement

    said = entry.config.policy.statements
    told = entry.task.budget is None or any(one.rule == "budget" for one in said)
    return said if told else (*said, Statement("budget"))


def _asked(entry: Entry, plan: Plan, placement: Placement) -> Asked:
    from compiler.words import span
    from stacks.rules.ordered import Asked

    taken = span(plan.estimate.hours * 3600)
    assumed = plan.estimate.assumed and plan.estimate.deadline_h is None
    return Asked(
        key=_key(placement),
        hourly=placement.hourly,
        larger=placement.larger,
        spot_said=_spot_said(entry),
        total=placement.total,
        budget=entry.task.budget,
        reckoned=f"{taken} by default" if assumed else taken,
    )


def _key(placement: Placement) -> str:
    """As stacks/rules/ordered.py makes it of the spec that the placement becomes."""
    offer = placement.offer
    place = (offer.cloud, offer.region, offer.zone, offer.instance_type, offer.market.value)
    return " ".join(part or "-" for part in place)


def _spot_said(entry: Entry) -> bool:
    """Does the task ask for spot itself? True also where no default asks for it: then a flag did."""
    resources = entry.config.defaults.get("resources")
    default = isinstance(resources, dict) and _mentions(resources, "use_spot")
    source = entry.task.source
    return not default or (source is not None and _mentions(source.data, "use_spot"))


def _mentions(data: Any, name: str) -> bool:
    if isinstance(data, dict):
        return name in data or any(_mentions(one, name) for one in data.values())
    return isinstance(data, list) and any(_mentions(one, name) for one in data)


def today() -> datetime.date:
    """The day by which exceptions end, UTC."""
    return datetime.datetime.now(datetime.timezone.utc).date()


def findings(entry: Entry, plan: Plan, placement: Placement | None = None) -> tuple[Finding, ...]:
    """What rules over the order find, of the chosen placement or of another."""
    if not entry.config.policy.files and entry.task.budget is None:
        return ()  # most times: and nothing more is imported
    from stacks.rules.judging import of_order
    from stacks.rules.ordered import Ordered
    from stacks.rules.policy import Policy

    chosen = placement or plan.chosen
    policy, mine = Policy(_statements(entry)), _asked(entry, plan, chosen)
    offer, wanted = chosen.offer, chosen.requirements or entry.task.requirements
    ordered = Ordered(
        stack=entry.name,
        cloud=offer.cloud,
        region=offer.region,
        zone=offer.zone,
        deployment=entry.name,
        task=entry.task.name,
        machine=offer.instance_type,
        spot=offer.market.value == "spot",
        # What one of the alternatives lacks the task lacks: another day that one is chosen.
        labels={
            name: value
            for name, value in wanted.labels.items()
            if all(name in one.labels for one in entry.task.options)
        },
        ports=wanted.ports,
        asked=mine,
    )
    return of_order(policy, ordered, today())


def check_policy(entry: Entry, plan: Plan) -> None:
    """Raises Problems policy/... of the rules over the order that deny."""
    found = [_placed(entry.task, one) for one in findings(entry, plan) if one.denies]
    if found:
        raise Problems(found)


def warn(entry: Entry, plan: Plan) -> None:
    """Tell what rules over the order found beside refusals: exceptions, warnings, what could not be judged."""
    say([one.to_data() for one in findings(entry, plan) if not one.denies])


def found(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Findings of a preview operation's result, as data; those of its foundation first."""
    return [*(result.get("foundation") or {}).get("findings", ()), *result.get("findings", ())]


def refuse(findings: Sequence[Mapping[str, Any]]) -> None:
    """Raises the Problems policy/... of findings that deny."""
    from stacks.rules.judging import denials

    if problems := denials(findings):
        raise Problems(problems)


def say(findings: Sequence[Mapping[str, Any]]) -> None:
    """Findings that refuse nothing as lines beside the output."""
    for one in findings:
        where = f"{one['resource']}: " if one["resource"] else ""
        why = f"; allowed by an exception: {one['exception']}" if one["exception"] else ""
        screen.say(f"  policy ! {where}{one['message']}{why} ({one['rule']})")


def gate(entry: Entry, plan: Plan, living: Living | None = None) -> None:
    """Before an order: let the programs of `policy.command` judge what is planned, which
    takes a preview. Raises Problems policy/... ."""
    if not entry.config.policy.commands:
        return
    from skywright.cli import outside, reviewing

    if outside.foreign():
        says = "the program of `policy.command` is not run where SKYWRIGHT_FOREIGN is set, and has to judge"
        raise Problems(
            Problem("policy/command-failed", says, hint="that variable is for previews of others' files")
        )
    refuse(found(reviewing.operate(reviewing.asked(entry, plan, living))))


def allowed(entry: Entry, plan: Plan, placements: Sequence[Placement]) -> list[Placement]:
    """Those of the placements that no rule over the order denies; the chosen one is judged by itself."""
    return [
        one
        for one in placements
        if one is plan.chosen or not any(found.denies for found in findings(entry, plan, one))
    ]


def for_order(entry: Entry, plan: Plan, spec: StackSpec, hourly: float) -> dict[str, Any]:
    """The policy as it travels to control; living nodes are an order of their own."""
    from stacks.rules.ordered import Asked, key

    living = Asked(key(spec), hourly=hourly, spot_said=_spot_said(entry))
    return policy_of(entry, plan).asking(spec, living).to_data()


PLACES = {
    "policy/over-budget": ("budget",),
    "policy/region": ("resources", "infra"),
    "policy/cloud": ("resources", "infra"),
    "policy/spot": ("resources", "use_spot"),
}
"""Where in the task stands what a rule over the order refuses."""


def _placed(task: Task, finding: Finding) -> Problem:
    problem = finding.problem()
    place: Place | None = None
    if finding.code == "policy/label-missing":
        place = _label(task, finding.message.split("`")[1])
    elif finding.code in PLACES:
        place = task.place(*PLACES[finding.code])
    return Problem(problem.code, problem.message, place, problem.hint)


def _label(task: Task, name: str) -> Place | None:
    """The alternative that lacks a label, where each of them stands in the file by itself; else `resources`."""
    data = task.source.data.get("resources") if task.source and isinstance(task.source.data, dict) else None
    for kind in ("any_of", "ordered"):
        listed = data.get(kind) if isinstance(data, dict) else None
        if isinstance(listed, list) and len(listed) == len(task.options) > 1:
            lacking = [number for number, one in enumerate(task.options) if name not in one.labels]
            return task.place("resources", kind, *(lacking[:1]), "labels", key=True)
    return task.place("resources", "labels", key=True)
