"""An operation is judged before anything is made: what costs nothing first, then by a preview or by the state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Market
from compiler.problem import Problems
from compiler.spec import StackSpec
from stacks import home, judged, operate
from stacks.operate import Kind, Request
from stacks.rules.ordered import Asked, key
from stacks.rules.policy import Policy, Statement
from stacks.state import State

SPEC = StackSpec("proj", "train-aws-r", "train", "aws", "g5.xlarge", Market.SPOT, 1, "a1", "r")
ROLE: dict[str, Any] = {"type": "aws:iam/role:Role", "inputs": {"name": "r", "tags": {}}}
STATE = State.from_data({"deployment": {"resources": [{"urn": "urn:x::role", "id": "r", **ROLE}]}})
BOUNDED = Statement.of("permission-boundary", {})
CEILING = Statement.of("hourly-ceiling", {"usd": 5})


def request(*statements: Statement, hourly: float = 1.0, **more: Any) -> Request:
    policy = Policy(statements, (Asked(key(SPEC), hourly=hourly),)).to_data()
    return Request("1", Kind.UP, SPEC, **{"policy": policy, **more})


def judge(asked: Request, folder: Path, **previewed: Any) -> tuple[str | None, list[Kind]]:
    """The code of the refusal, and the operations that it took."""
    begun: list[Kind] = []

    def begin(inner: Request, place: Path) -> int:
        begun.append(inner.kind)
        assert not inner.secrets
        planned = [{"name": "role", "op": "create", **ROLE}]
        findings = judged.findings(inner, planned)
        home.write_json(place / operate.RESULT, {"problem": None, "findings": findings, **previewed})
        return 0

    try:
        judged.before_up(begin, asked, folder / "judged", lambda: STATE)
    except Problems as problems:
        return problems.problems[0].code, begun
    return None, begun


def test_what_the_order_says_is_judged_without_a_preview(tmp_path: Path) -> None:
    assert judge(request(CEILING, BOUNDED, hourly=6.0), tmp_path) == ("policy/too-dear", [])
    assert judge(request(CEILING), tmp_path) == (None, [])


def test_what_is_planned_is_judged_by_a_preview_and_of_a_stack_as_ordered_by_its_state(
    tmp_path: Path,
) -> None:
    secret = {"secrets": {"TOKEN": "value"}}
    assert judge(request(CEILING, BOUNDED, **secret), tmp_path) == ("policy/no-boundary", [Kind.PREVIEW])
    assert judge(request(BOUNDED, applied=True), tmp_path) == ("policy/no-boundary", [])
    tags = Statement.of("required-tags", {"tags": {"x": True}, "level": "warn"})
    assert judge(request(tags), tmp_path) == (None, [Kind.PREVIEW])
    foundation = {"findings": judged.findings(request(BOUNDED), [{"name": "f", "op": "create", **ROLE}])}
    assert judge(request(tags), tmp_path, foundation=foundation)[0] == "policy/no-boundary"
    failed = {"problem": {"code": "cloud/credentials", "message": "expired"}}
    assert judge(request(BOUNDED), tmp_path, **failed)[0] == "cloud/credentials"


def test_a_policy_that_cannot_be_read_refuses(tmp_path: Path) -> None:
    for wrong in ({"statements": [{"rule": "of-tomorrow"}]}, {"broken": "the file is gone"}):
        asked = request(policy=wrong)
        assert judged.due(asked)
        assert judge(asked, tmp_path) == ("policy/unreadable", [])
    with pytest.raises(Problems, match="the file is gone"):
        judged.told(request(policy={"broken": "the file is gone"}), [], None)


def test_only_what_makes_something_is_judged_first() -> None:
    assert judged.due(request(CEILING))
    assert not judged.due(request())
    assert not judged.due(Request("1", Kind.DESTROY, SPEC, policy=request(CEILING).policy))
    assert Request.from_data(request(CEILING, applied=True).to_data()) == request(CEILING, applied=True)
