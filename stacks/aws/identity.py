"""Who nodes of a deployment are on AWS: a role that reaches its own bucket and secrets, and Systems Manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from compiler.spec import StackSpec
from stacks.aws import names, session
from stacks.boot import BLOBS

if TYPE_CHECKING:
    import pulumi

PREFIX = "skywright"
"""Below it the bucket's objects lie."""

WRITE = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")

SYSTEMS_MANAGER = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
)
"""What sessions need; AWS's own policy for it lets nodes read every parameter of the account as well."""


def policy(spec: StackSpec, bucket: str, account: str, key: str | None) -> dict[str, Any]:
    """What a node may do. Below `down/` (code, agents, words of control) it only reads."""
    partition = session.partition(spec.region)
    whole = f"arn:{partition}:s3:::{bucket}"
    down = f"{whole}/{PREFIX}/{BLOBS.partition('/')[0]}/*"
    secrets = f"arn:{partition}:secretsmanager:{spec.region}:{account}:secret:{names.secrets(spec)}*"
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": whole},
        {"Effect": "Allow", "Action": ["s3:GetObject", *WRITE], "Resource": f"{whole}/{PREFIX}/*"},
        {"Effect": "Deny", "Action": list(WRITE), "Resource": down},
        {"Effect": "Allow", "Action": list(SYSTEMS_MANAGER), "Resource": "*"},
    ]
    if spec.secrets:
        statements.append(
            {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": secrets}
        )
    statements += _buckets(spec, account)
    if key:
        use = ["kms:Decrypt", "kms:GenerateDataKey"]
        statements.append({"Effect": "Allow", "Action": use, "Resource": key})
    return {"Version": "2012-10-17", "Statement": statements}


def _buckets(spec: StackSpec, account: str) -> list[dict[str, Any]]:
    """The task's own buckets: exactly those, below the path that the task names."""
    partition, found = session.partition(spec.region), list[dict[str, Any]]()
    for uri, may in (spec.buckets or {}).items():
        name, _, path = uri.partition("://")[2].partition("/")
        whole = f"arn:{partition}:s3:::{name}"
        listing: dict[str, Any] = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": whole}
        if path:
            listing["Condition"] = {"StringLike": {"s3:prefix": [path, f"{path}/*"]}}
        objects = [f"{whole}/{path}", f"{whole}/{path}/*"] if path else [f"{whole}/*"]
        actions = ["s3:GetObject", *(WRITE if may["access"] == "write" else ())]
        found += [
            listing,
            # rclone asks for the region of a bucket that is elsewhere.
            {"Effect": "Allow", "Action": ["s3:GetBucketLocation"], "Resource": whole},
            {"Effect": "Allow", "Action": actions, "Resource": objects},
        ]
        key = may.get("key", "")
        if key and not key.startswith(("arn:", "alias/")):
            key = f"arn:{partition}:kms:{spec.region}:{account}:key/{key}"
        if key.startswith("arn:"):
            use = ["kms:Decrypt", "kms:GenerateDataKey"]
            found.append({"Effect": "Allow", "Action": use, "Resource": key})
    return found


def trust(region: str | None) -> str:
    """Only EC2 takes on the role."""
    service = "ec2.amazonaws.com" + (".cn" if session.partition(region) == "aws-cn" else "")
    allowed = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


def profile(
    spec: StackSpec,
    bucket: str,
    account: str,
    key: pulumi.Output[str] | None,
    options: pulumi.ResourceOptions,
) -> tuple[pulumi.Input[str], list[pulumi.Resource]]:
    """The instance profile's name, and what must be there before a node starts. A given one is only named."""
    import pulumi
    import pulumi_aws as aws

    if spec.given.role:
        return spec.given.role.rpartition("/")[2], []
    name = names.role(spec)
    role = aws.iam.Role(
        "role",
        aws.iam.RoleArgs(
            name=name,
            description=f"Nodes of a deployment of skywright: {name}",
            assume_role_policy=trust(spec.region),
            permissions_boundary=spec.given.permissions_boundary,
            tags=names.tags(spec, name),
        ),
        opts=options,
    )
    text = pulumi.Output.from_input(key).apply(lambda found: json.dumps(policy(spec, bucket, account, found)))
    rights = aws.iam.RolePolicy(
        "rights", aws.iam.RolePolicyArgs(name="node", role=role.name, policy=text), opts=options
    )
    made = aws.iam.InstanceProfile(
        "profile",
        aws.iam.InstanceProfileArgs(
            name=names.profile(spec), role=role.name, tags=names.tags(spec, names.profile(spec))
        ),
        opts=options,
    )
    return made.name, [rights]
