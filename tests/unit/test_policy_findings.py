"""What rules found becomes a report's findings: the foundation's too, and exceptions that are told and deny nothing."""

from __future__ import annotations

import datetime

from skywright.review.findings import findings
from skywright.review.report import Level, Report
from stacks.rules import judging
from stacks.rules.ordered import Asked, Ordered
from stacks.rules.policy import Policy, Statement


def found(**said: object) -> list[dict[str, object]]:
    policy = Policy((Statement.of("hourly-ceiling", {"usd": 1, **said}, "team.yaml"),))
    ordered = Ordered("train-aws", "aws", "us-east-1", deployment="train", asked=Asked("k", hourly=2.0))
    return [one.to_data() for one in judging.of_all(policy, ordered, [], datetime.date(2026, 11, 22))]


def test_findings_of_a_stack_and_of_its_foundation_are_told_with_their_level() -> None:
    excuse = {"tasks": "t*", "reason": "a big one", "until": "2027-01-01"}
    result = {"findings": found(), "foundation": {"findings": found(**{"except": [excuse]})}}
    excused, denied = findings(result)
    assert (excused.level, denied.level) == (Level.WARN, Level.DENY)
    assert excused.message.endswith("; allowed by an exception: t* until 2027-01-01: a big one")
    assert (denied.rule, denied.stack, denied.resource) == ("hourly-ceiling", "train-aws", "")
    assert int(Report((), (denied,)).exit) == 6
    assert int(Report((), (excused,)).exit) == 0
    assert findings({}) == ()
