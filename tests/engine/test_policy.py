"""A team's policy at the real engine: judged at preview and again at `up`, before anything is made."""

from __future__ import annotations

import pytest
from aws_account import Account

from compiler.spec import Given
from stacks.rules.ordered import Asked, key
from stacks.rules.policy import Policy, Statement

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

RULES = (
    Statement.of("required-tags", {"tags": {"cost-center": "cc-[0-9]+"}}, "team.yaml"),
    Statement.of("no-open-ssh", {}, "team.yaml"),
    Statement.of("encrypted-disks", {}, "team.yaml"),
    Statement.of("permission-boundary", {}, "team.yaml"),
    Statement.of("hourly-ceiling", {"usd": 5}, "team.yaml"),
)
BOUNDARY = "arn:aws:iam::123456789012:policy/nodes"


def test_an_untagged_open_stack_is_refused_at_preview_and_at_up_and_nothing_is_made(account: Account) -> None:
    spec = account.spec(nodes=1, ports=("22",))
    policy = Policy(RULES, (Asked(key(spec), hourly=1.0),)).to_data()
    previewed = account.well("preview", spec, policy=policy)
    told = {(one["rule"], one["resource"], one["level"]) for one in previewed["findings"]}
    assert told >= {
        ("required-tags", None, "deny"),
        ("required-tags", "node-0", "deny"),
        ("required-tags", "bucket", "deny"),
        ("no-open-ssh", "nodes", "deny"),
        ("permission-boundary", "role", "deny"),
    }
    assert {one["rule"] for one in previewed["findings"]}.isdisjoint({"encrypted-disks", "hourly-ceiling"})
    assert previewed["foundation"]["findings"] == []

    def refused(spec=spec):  # type: ignore[no-untyped-def]
        result = account.ended(account.begin("up", spec, policy=policy))
        assert result is not None
        assert not result["ok"]
        assert account.moto.instances() == []
        assert account.left() == [], "not even the network that it needs"
        return result["problem"]

    # The order is judged by itself; a stack whose order says the right things, by what would be made.
    assert refused()["code"] == "policy/label-missing"
    tagged = account.spec(nodes=1, ports=("22",), labels={"cost-center": "cc-7"})
    problem = refused(tagged)
    assert problem["code"] == "policy/open-ssh"
    assert "nodes: SSH is open to everybody" in problem["message"]
    assert "rule no-open-ssh of team.yaml" in problem["message"]
    assert problem["hint"]

    good = account.spec(
        nodes=1,
        labels={"cost-center": "cc-7"},
        given=Given(permissions_boundary=BOUNDARY),
    )
    made = account.well("up", good, policy=policy)
    assert len(account.nodes()) == 1
    iam = account.moto.client("iam")
    (role,) = iam.list_roles()["Roles"]
    bounded = iam.get_role(RoleName=role["RoleName"])["Role"]["PermissionsBoundary"]
    assert bounded["PermissionsBoundaryArn"] == BOUNDARY

    # A recovery is judged too: by what the state says where the stack is as it was ordered.
    lost = made["nodes"][0]["id"]
    account.moto.lose(lost)
    ended = Statement.of("required-tags", {"tags": {"team": True}}, "team.yaml")
    stricter = Policy((ended,)).to_data()
    result = account.ended(account.begin("up", good, policy=stricter, lost=(lost,), applied=True))
    assert result is not None
    assert result["problem"]["code"] == "policy/label-missing"
    assert account.nodes() == []
    account.well("up", good, policy=policy, lost=(lost,), applied=True)
    assert len(account.nodes()) == 1
    account.well("destroy", good, policy=policy)
    assert account.missing() == set(), "the documented rights are enough"
