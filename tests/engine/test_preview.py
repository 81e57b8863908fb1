"""A real preview is told with what each resource costs, and what it would change."""

from __future__ import annotations

import pytest

from compiler.offer import Offer
from compiler.plan import Placement, Plan
from skywright.review import rows, terminal


@pytest.mark.engine
def test_a_real_preview_becomes_a_report(desk):
    spec = desk.spec(2)
    result = desk.well("preview", spec)
    offer = Offer("local", spec.region, None, spec.instance_type, spec.market, 0.5, 1, 1)
    plan = Plan(spec.deployment, 1, (), (Placement(offer, 2, 1.0),), (), (), None)
    report = rows.report([rows.rows(result, spec, plan, name=spec.deployment)])
    (row,) = report.rows
    assert [(one.resource, one.op, one.hourly) for one in row.changing] == [
        ("node-0", "create", 0.5),
        ("node-1", "create", 0.5),
    ]
    assert {one["inputs"]["rank"] for one in row.planned} == {0, 1}
    said = [text for text, _ in terminal.lines(report)]
    assert said[-1].startswith("cost +$1.00/h")
