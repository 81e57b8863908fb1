"""Each rule of a team's policy over resources as they were recorded: what it finds, what it says, what excuses."""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacks.rules import RULES, judging
from stacks.rules.facts import UNKNOWN
from stacks.rules.ordered import Asked, Ordered
from stacks.rules.policy import Policy, Statement
from stacks.rules.rule import Level

GOLDEN = Path(__file__).parents[1] / "golden"
TODAY = datetime.date(2026, 11, 22)
ORDERED = Ordered(
    stack="train-aws",
    cloud="aws",
    region="us-east-1",
    deployment="train",
    machine="g5.xlarge",
    spot=True,
    labels={"team": "nlp"},
    asked=Asked("k", hourly=9.0),
)
Rows = list[dict[str, Any]]


def recorded(file: str = "stacks/aws.json") -> Rows:
    """Planned resources as a reviewed build has them."""
    made = json.loads((GOLDEN / file).read_text())["made"]
    return [
        {"name": one["name"], "type": one["type"], "op": "create", "inputs": copy.deepcopy(one["inputs"])}
        for one in made
        if not one["type"].startswith("pulumi:providers")
    ]


def first(rows: Rows, kind: str) -> dict[str, Any]:
    inputs: dict[str, Any] = next(one for one in rows if one["type"].endswith(f":{kind}"))["inputs"]
    return inputs


def judge(rule: str, said: dict[str, Any], rows: Rows, ordered: Ordered = ORDERED) -> list[judging.Finding]:
    policy = Policy((Statement.of(rule, said, "team.yaml"),))
    return list(judging.of_all(policy, ordered, rows, TODAY))


def opened(protocol: str, low: int, high: int, source: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rule = {"protocol": protocol, "fromPort": low, "toPort": high, "cidrBlocks": [source]}
        first(rows, "SecurityGroup")["ingress"].append(rule)

    return change


def changed(kind: str, **inputs: Any) -> Callable[[Rows], None]:
    return lambda rows: first(rows, kind).update(inputs)


KEY = "arn:aws:kms:us-east-1:1:key/a"
BOUNDARY = "arn:aws:iam::1:policy/nodes"


@pytest.mark.parametrize(
    ("rule", "said", "change", "words"),
    [
        ("required-tags", {"tags": {"team": True}}, changed("Bucket", tags={}), "lacks the tag `team`"),
        ("required-tags", {"tags": {"team": ["vision"]}}, None, "not one of `vision`"),
        ("required-tags", {"tags": {"team": "v.*"}}, None, "not as `v.*` says"),
        ("no-open-ssh", {}, opened("tcp", 22, 22, "0.0.0.0/0"), "SSH is open to everybody (port 22)"),
        ("no-open-ssh", {}, opened("tcp", 20, 30, "::/0"), "SSH is open to everybody (ports 20-30)"),
        ("no-open-ssh", {}, opened("-1", 0, 0, "128.0.0.0/1"), "SSH is open to 128.0.0.0/1 (all ports)"),
        ("no-open-ssh", {"from": ["10.0.0.0/8"]}, opened("tcp", 22, 22, "192.168.0.0/16"), "192.168.0.0/16"),
        ("open-ports", {"allowed": [443]}, opened("tcp", 8080, 8081, "0.0.0.0/0"), "ports 8080-8081 (tcp) open"),
        ("open-ports", {"allowed": ["1-65535"]}, opened("-1", 0, 0, "0.0.0.0/0"), "all ports (all) open"),
        ("public-addresses", {}, None, "it has a public address"),
        ("encrypted-disks", {}, changed("Instance", rootBlockDevice={}), "its root disk is not encrypted"),
        ("encrypted-disks", {"keys": [KEY]}, None, "encrypted by the cloud's own key"),
        ("allowed-clouds", {"clouds": ["gcp"]}, None, "`aws` is not a cloud"),
        ("allowed-regions", {"regions": ["eu-*", "gcp/*"]}, None, "`aws/us-east-1` is not a region"),
        ("allowed-roles", {"roles": ["team-*"]}, None, "it acts as `skywright-"),
        ("permission-boundary", {}, None, "has no permissions boundary"),
        ("permission-boundary", {"boundaries": [BOUNDARY]}, changed("Role", permissionsBoundary="x"), "`x` is not one"),
        ("hourly-ceiling", {"usd": 8}, None, "costs 9.00 USD/h, and 8 is the most"),
        ("spot-declared", {"tasks": ["eval-*"]}, None, "only `eval-*` may be"),
    ],
)  # fmt: skip
def test_what_a_rule_does_not_allow_is_found_with_words_and_a_hint(
    rule: str, said: dict[str, Any], change: Callable[[Rows], None] | None, words: str
) -> None:
    rows = recorded()
    if change:
        change(rows)
    found = judge(rule, said, rows)
    assert found
    assert {(one.rule, one.level, one.code) for one in found} == {(rule, "deny", RULES[rule].code)}
    assert any(words in one.message for one in found), [one.message for one in found]
    assert all(one.hint for one in found)
    assert all(one.level == "warn" for one in judge(rule, {**said, "level": "warn"}, rows))
    assert judge(rule, {**said, "level": "off"}, rows) == []


@pytest.mark.parametrize(
    ("rule", "said", "change"),
    [
        ("required-tags", {"tags": {"team": ["NLP"], "skywright:project": "p.*"}, "networks": True}, None),
        ("no-open-ssh", {}, opened("tcp", 22, 22, "10.0.0.0/8")),
        ("no-open-ssh", {}, opened("udp", 22, 22, "0.0.0.0/0")),
        ("no-open-ssh", {"from": ["10.0.0.0/8"]}, opened("tcp", 22, 22, "10.1.0.0/16")),
        ("open-ports", {"allowed": [8080, "8000-8009", "8010-8020"]}, opened("tcp", 8005, 8015, "0.0.0.0/0")),
        ("public-addresses", {}, changed("Instance", associatePublicIpAddress=False)),
        ("encrypted-disks", {}, None),
        ("allowed-clouds", {"clouds": ["AWS"]}, None),
        ("allowed-regions", {"regions": ["aws/us-*"]}, None),
        ("allowed-roles", {"roles": ["skywright-*"]}, None),
        ("permission-boundary", {"boundaries": ["arn:*"]}, changed("Role", permissionsBoundary=BOUNDARY)),
        ("hourly-ceiling", {"usd": 9}, None),
        ("budget", {}, None),
        ("spot-declared", {"tasks": ["TRAIN"]}, None),
        ("larger-than-asked", {}, None),
    ],
)  # fmt: skip
def test_what_a_rule_allows_is_not_found(
    rule: str, said: dict[str, Any], change: Callable[[Rows], None] | None
) -> None:
    rows = [one for one in recorded() if rule != "public-addresses" or one["name"] in ("node-0", "nodes")]
    labelled = Ordered(**{**_fields(ORDERED), "labels": {"team": "nlp", "skywright:project": "proj"}})
    if change:
        change(rows)
    assert judge(rule, said, rows, labelled) == []


def _fields(ordered: Ordered) -> dict[str, Any]:
    return {name: getattr(ordered, name) for name in Ordered.__dataclass_fields__}


def ask(**known: Any) -> Ordered:
    return Ordered(**{**_fields(ORDERED), "asked": Asked("k", **known)})


def test_what_only_the_plan_knows_is_judged_by_what_it_said() -> None:
    (found,) = judge("budget", {}, [], ask(total=120.0, budget=100.0, reckoned="10 h by default"))
    assert "costs $120.00 on aws us-east-1 g5.xlarge, and its budget is $100.00" in found.message
    assert found.hint is not None
    assert found.hint.startswith("reckoned for 10 h by default")
    (found,) = judge("larger-than-asked", {}, [], ask(larger="8 vCPU, asked 4"))
    assert "8 vCPU, asked 4" in found.message
    (found,) = judge("spot-declared", {}, [], ask(spot_said=False))
    assert "by a default" in found.message
    stealthy = Ordered(**{**_fields(ORDERED), "spot": False})
    found = judge("spot-declared", {}, recorded(), stealthy)[0]
    assert (found.resource, found.message) == ("node-0", "it is spot capacity, which was not ordered")


def test_what_cannot_be_told_is_said_and_never_passed_over() -> None:
    unknown = [{"name": "x", "type": "oci:core:Instance", "op": "create", "inputs": {}}]
    (found,) = judge("encrypted-disks", {}, unknown)
    assert (found.level, found.resource) == ("unjudged", "x")
    assert "what `oci:core:Instance` is, rules do not know" in found.message
    unread = [{"name": "db", "type": "aws:rds/instance:Instance", "op": "create", "inputs": {}}]
    assert judge("no-open-ssh", {}, unread)[0].level == "unjudged"
    rows = recorded()
    first(rows, "Instance")["rootBlockDevice"]["encrypted"] = UNKNOWN
    assert [one.level for one in judge("encrypted-disks", {}, rows)] == ["unjudged"]
    nobody = Ordered(**{**_fields(ORDERED), "asked": None})
    assert [one.level for one in judge("hourly-ceiling", {"usd": 1}, [], nobody)] == ["unjudged"]
    pods = recorded("kubernetes-objects.json")
    assert {one.level for one in judge("encrypted-disks", {}, pods)} == {"unjudged"}


def test_what_goes_is_not_judged() -> None:
    rows = recorded()
    for row in rows:
        row["op"] = "delete"
    assert judge("permission-boundary", {}, rows) == []


def test_an_exception_holds_for_its_tasks_until_its_day() -> None:
    def said(tasks: str, until: str) -> dict[str, Any]:
        return {"usd": 8, "except": [{"tasks": tasks, "reason": "a big one", "until": until}]}

    (found,) = judge("hourly-ceiling", said("tra*", "2026-11-22"), [])
    assert (found.level, found.exception) == ("excused", "tra* until 2026-11-22: a big one")
    (found,) = judge("hourly-ceiling", said("tra*", "2026-11-21"), [])
    assert found.denies
    assert found.hint is not None
    assert "the exception for `tra*` ended on 2026-11-21" in found.hint
    (found,) = judge("hourly-ceiling", said("eval", "2026-12-31"), [])
    assert found.denies


def test_of_statements_each_holds_and_nobody_loosens_another() -> None:
    team = Statement.of("allowed-regions", {"regions": ["eu-*"]}, "team.yaml")
    excuse = {"tasks": "*", "reason": "mine", "until": "2099-01-01"}
    for loose in (
        {"regions": ["*"]},
        {"regions": ["eu-*"], "level": "off"},
        {"regions": ["x"], "except": [excuse]},
    ):
        mine = Statement.of("allowed-regions", loose, ".skywright.yaml")
        for order in ((team, mine), (mine, team)):
            found = judging.of_all(Policy(order), ORDERED, [], TODAY)
            assert [one.origin for one in found if one.denies] == ["team.yaml"]


def test_a_policy_travels_and_one_that_is_not_understood_refuses() -> None:
    policy = Policy((Statement.of("open-ports", {"allowed": [1], "level": "warn"}, "f"),), (Asked("k", 1.0),))
    assert Policy.from_data(json.loads(json.dumps(policy.to_data()))) == policy
    assert policy.statements[0].level is Level.WARN
    for wrong in ({"statements": [{"rule": "no-such", "said": {}, "origin": ""}]}, {"broken": "why"}):
        with pytest.raises(ValueError, match=r"no-such|why"):
            Policy.from_data(wrong)
