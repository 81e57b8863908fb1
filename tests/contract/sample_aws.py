"""What the contract suite knows of `aws`: answers of its look-ups, and the rules of its names."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compiler.spec import Given
from tests.contract.samples import Sample

RULES = {
    "aws:s3/bucket:Bucket": ("bucket", r"(?!xn--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
    "aws:iam/role:Role": ("name", r"[\w+=,.@-]{1,64}"),
    "aws:iam/instanceProfile:InstanceProfile": ("name", r"[\w+=,.@-]{1,128}"),
    "aws:ec2/securityGroup:SecurityGroup": ("name", r"(?!sg-)[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}"),
    "aws:ec2/placementGroup:PlacementGroup": ("name", r"[\x20-\x7e]{1,255}"),
    "aws:ec2/launchTemplate:LaunchTemplate": ("name", r"[a-zA-Z0-9().\-/_]{3,128}"),
    "aws:secretsmanager/secret:Secret": ("name", r"[a-zA-Z0-9/_+=.@-]{1,512}"),
}
DESCRIBED = {
    "aws:iam/role:Role": r"[\t\n\r\x20-\x7e\xa1-\xff]{0,1000}",
    "aws:ec2/securityGroup:SecurityGroup": r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}",
}
TAG = re.compile(r"[\w .:/=+\-@]*")


@dataclass(frozen=True)
class Aws(Sample):
    def opens(self, resource: Mapping[str, Any]) -> list[str]:
        found = []
        for rule in resource["inputs"].get("ingress") or ():
            if not rule.get("self"):
                first, last = int(rule["fromPort"]), int(rule["toPort"])
                found.append(str(first) if first == last else f"{first}-{last}")
        return found

    def names(self, resource: Mapping[str, Any]) -> list[str]:
        inputs, kind = resource["inputs"], resource["type"]
        wrong = []
        if kind in RULES:
            member, rule = RULES[kind]
            if not re.fullmatch(rule, inputs[member], re.ASCII):
                wrong.append(f"{kind}: {inputs[member]!r}")
        if kind in DESCRIBED and not re.fullmatch(DESCRIBED[kind], inputs["description"], re.ASCII):
            wrong.append(f"{kind}: {inputs['description']!r}")
        for key, value in (inputs.get("tags") or {}).items():
            fits = len(key) <= 128 and len(value) <= 256 and not key.startswith("aws:")
            if not fits or not TAG.fullmatch(key) or not TAG.fullmatch(value):
                wrong.append(f"{kind}: tag {key!r}: {value!r}")
        return wrong

    def user_data(self, node: Mapping[str, Any]) -> str:
        return base64.b64decode(node["inputs"]["userDataBase64"]).decode()


SAMPLE = Aws(
    region="us-east-1",
    zone="us-east-1a",
    machine="g5.xlarge",
    image="resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    network="skywright-proj",
    given=Given(
        account="123456789012",
        network="team-vpc",
        subnet="team-private-a",
        security_groups=("team-nodes", "sg-0123456789abcdef0"),
        role="team-nodes",
        key="alias/team",
        ssh_key="team",
    ),
    answers={
        "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": "123456789012", "id": "123456789012"},
        "aws:index/getAvailabilityZones:getAvailabilityZones": {
            "names": ["us-east-1a", "us-east-1b", "us-east-1c"]
        },
        "aws:ec2/getVpc:getVpc": {"id": "vpc-0123456789abcdef0"},
        "aws:ec2/getSubnets:getSubnets": {"ids": ["subnet-0123456789abcdef0"]},
        "aws:ec2/getSecurityGroup:getSecurityGroup": {"id": "sg-0123456789abcdef1"},
        "aws:ssm/getParameter:getParameter": {"value": "ami-0123456789abcdef0"},
        "aws:kms/getKey:getKey": {"arn": "arn:aws:kms:us-east-1:123456789012:key/0123"},
    },
    outputs={"aws:ec2/instance:Instance": {"privateIp": "address-of-{name}"}},
    spot='"marketType": "spot"',
    tags="tags",
    untagged=frozenset(
        {
            "aws:ec2/routeTableAssociation:RouteTableAssociation",
            "aws:ec2/eipAssociation:EipAssociation",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        }
    ),
    containers=frozenset({"aws:secretsmanager/secret:Secret"}),
    lost=(
        (0, {"action": "terminate", "time": "2026-11-22T21:02:00Z"}),
        (0, {"action": "stop", "time": "2026-11-22T21:02:00Z"}),
    ),
    kept=((0, {}), (0, {"action": "rebalance"}), (0, {"noticeTime": "2026-11-22T21:02:00Z"})),
)
