"""Previews made by hand for the golden files: fifty stacks, nasty names, a foundation to come, a loss of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.change import Change as FieldChange
from compiler.change import Meaning
from compiler.cost import Cost, Estimate
from compiler.offer import Market, Offer
from compiler.plan import Placement, Plan
from compiler.problem import Place, Problem
from compiler.spec import StackSpec
from skywright.review import rows
from skywright.review.report import Finding, Level, Report, Row

NASTY = "a|b`c<img src=x onerror=alert(1)>\n@team #1 [x](http://evil.example) **🚀** \u202eשלום"
"""Everything that a name may do to a reader, a table, a host."""


def offer(market: Market = Market.SPOT, price: float = 9.83, kind: str = "p4d.24xlarge") -> Offer:
    return Offer(
        "aws", "us-west-2", "us-west-2c", kind, market, price, 96, 1152, source="a price list, 2026-11"
    )


def plan(name: str, nodes: int, *offers: Offer, hours: float = 36.0) -> Plan:
    placements = tuple(
        Placement(one, nodes, one.price * nodes, Cost(compute=one.price * nodes * hours)) for one in offers
    )
    estimate = Estimate(hours=hours, assumed=False)
    return Plan(name, 3, (), placements, (), (), None, fitting=94, estimate=estimate, catalog="2026-11-20")


def spec(name: str, nodes: int, chosen: Offer, **more: Any) -> StackSpec:
    return StackSpec(
        project="golden", stack=f"{name}-aws-us-west-2", deployment=name, cloud="aws", region="us-west-2",
        zone=chosen.zone, instance_type=chosen.instance_type, market=chosen.market, nodes=nodes, agent="a1" * 32,
        **more,
    )  # fmt: skip


def node(kind: str = "p4d.24xlarge", *, spot: bool = True, gb: int = 500) -> dict[str, Any]:
    market = {"instanceMarketOptions": {"marketType": "spot"}} if spot else {}
    disk = {"volumeSize": gb, "volumeType": "gp3"}
    return {"instanceType": kind, "rootBlockDevice": disk, "associatePublicIpAddress": True, **market}


def step(
    name: str,
    kind: str,
    op: str,
    inputs: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    forces: tuple[str, ...] = (),
) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:s::golden::{kind}::{name}", "name": name, "type": kind, "op": op,
        "forces": list(forces), "inputs": dict(inputs or {}), "before": dict(before or {}),
    }  # fmt: skip


EC2, BUCKET, ROLE = "aws:ec2/instance:Instance", "aws:s3/bucket:Bucket", "aws:iam/role:Role"
VPC, AMI = "aws:ec2/vpc:Vpc", "aws:ec2/amiFromInstance:AmiFromInstance"


def result(*planned: Mapping[str, Any], foundation: tuple[Mapping[str, Any], ...] = ()) -> dict[str, Any]:
    steps = [{**one, "reasons": list(one["forces"])} for one in planned]
    made: dict[str, Any] = {"planned": list(planned), "steps": steps, "seconds": {"total": 1.5}}
    return {**made, "foundation": {"planned": list(foundation), "steps": []}} if foundation else made


def coming() -> tuple[Row, ...]:
    """Four new spot nodes, a bucket that stays, an image that nobody prices; the network is still to be made."""
    chosen = offer()
    made = [step(f"node-{rank}", EC2, "create", node()) for rank in range(4)]
    made += [step("bucket", BUCKET, "create"), step("role", ROLE, "create"), step("image", AMI, "create")]
    network = (
        step("network", VPC, "create"),
        step("way-out", "aws:ec2/internetGateway:InternetGateway", "create"),
    )
    others = (offer(price=10.2), offer(Market.ON_DEMAND, 32.77))
    return rows.rows(
        result(*made, foundation=network), spec("train", 4, chosen, network="skywright-golden", checkpoint="~/kept"),
        plan("train", 4, chosen, *others), name="train", file="train.yaml", apply="up train.yaml",
    )  # fmt: skip


def replacing() -> tuple[Row, ...]:
    """On-demand becomes spot and one disk grows."""
    chosen = offer(price=1.2, kind="g5.2xlarge")
    before = offer(Market.ON_DEMAND, 3.0, "g5.2xlarge")
    made = [
        step(
            "node-0",
            EC2,
            "replace",
            node("g5.2xlarge"),
            node("g5.2xlarge", spot=False),
            ("instanceMarketOptions",),
        ),
        step("node-1", EC2, "update", node("g5.2xlarge", gb=600), node("g5.2xlarge")),
        step("old", ROLE, "delete", None, {"name": "old"}),
        step("group", "aws:ec2/securityGroup:SecurityGroup", "same", {"x": 1}, {"x": 1}),
    ]
    fields = (
        FieldChange("use_spot", Meaning.REPLACES_NODES, False, True),
        FieldChange("envs", Meaning.RESTARTS, {"TOKEN": "hidden-value-1"}, {"TOKEN": "hidden-value-2"}),
        FieldChange("name", Meaning.IN_PLACE, "plain", NASTY[:30]),
    )
    return rows.rows(
        result(*made), spec("serve", 2, chosen), plan("serve", 2, chosen, before), name="serve", file="serve.yaml",
        apply="up serve.yaml", fields=fields,
    )  # fmt: skip


def nasty() -> tuple[Row, ...]:
    """Names as bad as they come; no cloud would take them, and files and properties may be called so."""
    chosen = offer(price=0.5, kind="m5.large")
    made = [step(NASTY, EC2, "replace", node("m5.large"), node("m5.large"), (NASTY,))]
    (row,) = rows.rows(
        result(*made), spec(NASTY, 1, chosen), plan(NASTY, 1, chosen), name=NASTY, file=NASTY, apply=f"up '{NASTY}'"
    )  # fmt: skip
    return (row,)


def failing() -> tuple[Row, ...]:
    place = Place("eval.yaml", 4, 3)
    problem = Problem(
        "task/unknown-field", "`num_nods` is not a field of a task", place, "did you mean `num_nodes`?"
    )
    return (rows.failed("eval", problem, name="eval", file="eval.yaml"),)


def quiet(number: int) -> tuple[Row, ...]:
    chosen, name = offer(price=1.0, kind="g5.xlarge"), f"quiet-{number}"
    same = step("node-0", EC2, "same", node("g5.xlarge"), node("g5.xlarge"))
    return rows.rows(
        result(same), spec(name, 1, chosen), plan(name, 1, chosen), name=name, file=f"{name}.yaml"
    )


def busy(number: int) -> tuple[Row, ...]:
    """Of fifty: eight nodes each, half of them replaced, and much beside them."""
    chosen, name = offer(price=1.0 + number, kind="g5.xlarge"), f"a-team-with-a-long-name-{number}"
    made = [step(f"node-{rank}", EC2, "create", node("g5.xlarge")) for rank in range(4)]
    made += [
        step(
            f"node-{rank}",
            EC2,
            "replace",
            node("g5.xlarge"),
            node("g5.xlarge"),
            ("rootBlockDevice.volumeSize",),
        )
        for rank in range(4, 8)
    ]
    made += [step(f"role-{part}", ROLE, "create") for part in range(12)]
    return rows.rows(
        result(*made), spec(name, 8, chosen), plan(name, 8, chosen), name=name, file=f"tasks/{name}.yaml",
        apply=f"up tasks/{name}.yaml",
    )  # fmt: skip


FINDINGS = (
    Finding("hourly-ceiling", "train-aws-us-west-2", "costs $39.32 an hour, and $30 is near", Level.WARN),
    Finding(
        "required-tags", "serve-aws-us-west-2", f"lacks the tag `team`, says {NASTY}", Level.DENY, "node-0",
        "add `labels: {team: …}` to `resources`",
    ),
)  # fmt: skip


def mixed() -> Report:
    made = rows.report(
        [coming(), replacing(), nasty(), failing(), *(quiet(one) for one in range(3))], commit="1a2b3c4d5e6f"
    )
    return Report(made.rows, FINDINGS, made.commit, made.catalog, made.traffic, made.program)


def fifty() -> Report:
    return rows.report([busy(number) for number in range(50)], commit="1a2b3c4d5e6f")


def one() -> Report:
    return rows.report([replacing()])
