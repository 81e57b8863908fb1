"""Judges what is ordered and planned by a policy: findings, the strictest of those that say the same."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compiler.problem import Problem
from stacks.rules import RULES
from stacks.rules.facts import Resource
from stacks.rules.ordered import Ordered
from stacks.rules.policy import Excuse, Policy, Statement
from stacks.rules.reading import read
from stacks.rules.rule import Fault, Level, Rule, matches

GONE = ("delete", "read")
"""Steps after which a resource is not ours, or was not before: nothing of them is judged."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found. `resource` is None where the order itself is meant. `level` is `deny` or `warn`, `excused`
    where an exception holds (`exception` says which), `unjudged` where it could not be told."""

    rule: str
    code: str
    stack: str
    resource: str | None
    message: str
    level: str
    hint: str | None = None
    exception: str | None = None
    origin: str = ""

    @property
    def denies(self) -> bool:
        return self.level == Level.DENY.value

    def to_data(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Finding:
        return cls(**data)

    def problem(self) -> Problem:
        """As the Problem of a refusal."""
        where = f"{self.stack}: {self.resource}: " if self.resource else ""
        rule = f" (rule {self.rule}{f' of {self.origin}' if self.origin else ''})"
        return Problem(self.code, f"{where}{self.message}{rule}", hint=self.hint)


def of_order(policy: Policy, ordered: Ordered, today: datetime.date) -> tuple[Finding, ...]:
    """What rules over the order itself find."""
    return _strictest(_order(policy, ordered, today))


def of_all(
    policy: Policy, ordered: Ordered, planned: Iterable[Mapping[str, Any]], today: datetime.date
) -> tuple[Finding, ...]:
    """What all rules find; `planned` are rows of a preview (stacks/events.py)."""
    found = [*_order(policy, ordered, today)]
    resources = [Resource.of(row) for row in planned if row["op"] not in GONE]
    for resource in resources:
        found.extend(_resource(policy, ordered, resource, today))
    return _strictest(found)


def denials(findings: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """The Problems of findings (as data) that refuse."""
    return [one.problem() for one in map(Finding.of, findings) if one.denies]


def _order(policy: Policy, ordered: Ordered, today: datetime.date) -> Iterator[Finding]:
    for statement, rule in _on(policy):
        if rule.of_order:
            for fault in rule.of_order(statement.parameters, ordered):
                yield _finding(statement, rule, ordered, None, fault, today)


def _resource(
    policy: Policy, ordered: Ordered, resource: Resource, today: datetime.date
) -> Iterator[Finding]:
    wanted = [(statement, rule) for statement, rule in _on(policy) if rule.of_facts]
    if not wanted:
        return
    facts = read(resource)
    if facts is None:
        names = ", ".join(dict.fromkeys(rule.name for _, rule in wanted))
        fault = Fault(f"not judged: what `{resource.type}` is, rules do not know", judged=False)
        statement, rule = wanted[0]
        found = _finding(statement, rule, ordered, resource.name, fault, today)
        yield Finding(**{**asdict(found), "rule": names, "origin": ""})
        return
    for statement, rule in wanted:
        for over in rule.of_facts:
            for fact in facts:
                if isinstance(fact, over.kind):
                    for fault in over.judge(fact, statement.parameters, ordered):
                        yield _finding(statement, rule, ordered, resource.name, fault, today)


def _on(policy: Policy) -> list[tuple[Statement, Rule]]:
    return [(one, RULES[one.rule]) for one in policy.statements if one.level is not Level.OFF]


def _finding(
    statement: Statement,
    rule: Rule,
    ordered: Ordered,
    resource: str | None,
    fault: Fault,
    today: datetime.date,
) -> Finding:
    level, exception, hint = statement.level.value, None, fault.hint
    mine = [one for one in statement.excuses if _about(one, ordered)]
    holding = next((one for one in mine if today <= datetime.date.fromisoformat(one.until)), None)
    if not fault.judged:
        level = "unjudged"
    elif holding:
        level, exception = "excused", f"{holding.tasks} until {holding.until}: {holding.reason}"
    elif mine:
        ended = f"the exception for `{mine[0].tasks}` ended on {mine[0].until}"
        hint = f"{ended}; {hint}" if hint else ended
    message = (
        fault.message if fault.judged or "not judged" in fault.message else f"not judged: {fault.message}"
    )
    return Finding(
        rule.name, rule.code, ordered.stack, resource, message, level, hint, exception, statement.origin
    )


def _about(excuse: Excuse, ordered: Ordered) -> bool:
    return any(matches(name, [excuse.tasks]) for name in (ordered.deployment, ordered.task) if name)


STRICT = (Level.DENY.value, Level.WARN.value, "unjudged", "excused")


def _strictest(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Of findings that say the same of the same the strictest; those that deny first."""
    kept: dict[tuple[str, str | None, str], Finding] = {}
    for one in findings:
        said = (one.rule, one.resource, one.message)
        if said not in kept or STRICT.index(one.level) < STRICT.index(kept[said].level):
            kept[said] = one
    places = {rule.name: place for place, rule in enumerate(RULES.values())}

    def first(one: Finding) -> tuple[int, int, str, str]:
        # Resources are told in the order in which the engine comes by them, which is chance.
        return STRICT.index(one.level), places.get(one.rule, len(places)), one.resource or "", one.message

    return tuple(sorted(kept.values(), key=first))
