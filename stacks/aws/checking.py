"""What `check` says of AWS: SDK, credentials, account, missing rights by name, quotas of vCPUs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from compiler.problem import Problems
from stacks.aws import session
from stacks.aws.rights import RIGHTS, Right
from stacks.cloud import Check

QUOTAS = (
    ("L-1216C47A", "standard machines, on demand"),
    ("L-34B43A08", "standard machines, spot"),
    ("L-DB2E81BA", "G machines, on demand"),
    ("L-3819A6DF", "G machines, spot"),
    ("L-417A185B", "P machines, on demand"),
    ("L-7212CCBC", "P4 and P5 machines, spot"),
)
"""Codes of Service Quotas for vCPUs in one region. Source: EC2's page of on-demand and spot quotas."""

POLICY = "docs/clouds/aws.md has the policy that is enough"


def check() -> tuple[Check, ...]:
    """One line each; what cannot be asked is said and is no failure."""
    missing = [name for name in ("pulumi_aws", "boto3") if importlib.util.find_spec(name) is None]
    if missing:
        says = f"the AWS SDK is not installed ({' and '.join(missing)})"
        return (Check(False, says, "./invoke setup --extra aws"),)
    from stacks import aws

    if not aws.configured():
        return (
            Check(False, "no AWS credentials are set up", "`aws configure sso`, or set AWS_ACCESS_KEY_ID"),
        )
    region = session.region()
    try:
        sts = session.client("sts", region)
        with session.asking("asking AWS who we are"):
            me = sts.get_caller_identity()
    except Problems as problems:
        problem = problems.problems[0]
        return (Check(False, problem.message, problem.hint or session.LOGIN),)
    with ThreadPoolExecutor(max_workers=2) as pool:
        rights = pool.submit(lambda: tuple(_rights(me, region)))
        quotas = pool.submit(lambda: tuple(_quotas(region)))
        return (Check(True, f"account {me['Account']} as {me['Arn']}"), *rights.result(), *quotas.result())


def _rights(me: dict[str, Any], region: str) -> Iterator[Check]:
    if me["Arn"].endswith(":root"):
        yield Check(True, "the account's root user may do everything; better use a role")
        return
    try:
        iam = session.client("iam", region)
        with session.asking("asking for rights"):
            source = _source(me, iam)
            denied = [action for right in RIGHTS for action in _denied(iam, source, right, me["Account"])]
    except Problems as problems:
        says = f"which rights are missing could not be asked: {problems.problems[0].message}"
        yield Check(True, says, f"allow iam:SimulatePrincipalPolicy; {POLICY}")
        return
    if denied:
        yield Check(False, f"missing rights: {', '.join(sorted(denied))}", POLICY)
    else:
        yield Check(True, "every right that stacks need is there")


def _source(me: dict[str, Any], iam: Any) -> str:
    """The user or role behind the credentials: a session is not simulated."""
    arn = str(me["Arn"])
    if ":assumed-role/" not in arn:
        return arn
    return str(iam.get_role(RoleName=arn.split("/")[1])["Role"]["Arn"])


def _denied(iam: Any, source: str, right: Right, account: str) -> list[str]:
    context = [
        {
            "ContextKeyName": key,
            "ContextKeyValues": [str(value) if test != "Null" else "any"],
            "ContextKeyType": "string",
        }
        for test, keys in right.condition.items()
        for key, value in keys.items()
    ]
    asked: dict[str, Any] = {"PolicySourceArn": source, "ActionNames": list(right.actions)}
    if right.example != "*":
        asked["ResourceArns"] = [right.example.format(account=account)]
    pages = iam.get_paginator("simulate_principal_policy").paginate(**asked, ContextEntries=context)
    rows = [row for page in pages for row in page["EvaluationResults"]]
    return [row["EvalActionName"] for row in rows if row["EvalDecision"] != "allowed"]


def _quotas(region: str) -> Iterator[Check]:
    try:
        asked = session.client("service-quotas", region)
        with session.asking("asking for quotas"):
            for code, what in QUOTAS:
                answer = asked.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
                vcpus = f"{answer['Value']:g} vCPUs"
                ok = answer["Value"] > 0
                hint = None if ok else "ask AWS for more in Service Quotas"
                yield Check(ok, f"quota in {region}: {vcpus} of {what}", hint)
    except Problems as problems:
        says = f"quotas in {region} could not be asked: {problems.problems[0].message}"
        yield Check(True, says, "allow servicequotas:GetServiceQuota")
