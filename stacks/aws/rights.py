"""What a person or a runner needs on AWS to have stacks made, as one policy: documented, checked, tested."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OURS = {"Null": {"aws:ResourceTag/skywright:project": "false"}}
"""Only things that carry our tag."""


@dataclass(frozen=True, slots=True)
class Right:
    """One statement. `example` is a resource of `resources` that a simulation can ask about."""

    id: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    condition: dict[str, Any] = field(default_factory=dict)
    example: str = "*"


def _of(service: str, words: str) -> tuple[str, ...]:
    return tuple(f"{service}:{word}" for word in words.split())


RIGHTS: tuple[Right, ...] = (
    Right(
        "Look",
        (
            *_of(
                "ec2",
                "DescribeAddresses DescribeAddressesAttribute DescribeAvailabilityZones "
                "DescribeIamInstanceProfileAssociations DescribeImages "
                "DescribeInstanceAttribute DescribeInstanceCreditSpecifications DescribeInstances "
                "DescribeInstanceTypes DescribeInternetGateways DescribeKeyPairs DescribeLaunchTemplates "
                "DescribeLaunchTemplateVersions DescribeNetworkAcls DescribeNetworkInterfaces "
                "DescribePlacementGroups DescribePrefixLists DescribeRegions DescribeRouteTables "
                "DescribeSecurityGroupRules DescribeSecurityGroups DescribeSpotInstanceRequests DescribeSubnets "
                "DescribeTags DescribeVolumes DescribeVpcAttribute DescribeVpcEndpoints DescribeVpcs",
            ),
            "sts:GetCallerIdentity",
        ),
    ),
    Right(
        "Make",
        _of(
            "ec2",
            "AllocateAddress CreateInternetGateway CreateLaunchTemplate CreatePlacementGroup CreateRouteTable "
            "CreateImage CreateSecurityGroup CreateSubnet CreateTags CreateVpc CreateVpcEndpoint RunInstances",
        ),
    ),
    Right(
        "ChangeOurs",
        _of(
            "ec2",
            "AssociateAddress AssociateIamInstanceProfile AssociateRouteTable AttachInternetGateway "
            "AuthorizeSecurityGroupEgress "
            "AuthorizeSecurityGroupIngress CreateLaunchTemplateVersion CreateRoute DeleteInternetGateway "
            "DeleteLaunchTemplate DeletePlacementGroup DeleteRoute DeleteRouteTable DeleteSecurityGroup "
            "DeleteSnapshot DeleteSubnet DeleteTags DeleteVolume DeleteVpc DeleteVpcEndpoints DeregisterImage "
            "DetachInternetGateway DisassociateAddress DisassociateIamInstanceProfile "
            "DisassociateRouteTable ModifyInstanceAttribute ModifyInstanceMetadataOptions ModifyLaunchTemplate "
            "ModifySubnetAttribute ModifyVolume ModifyVpcAttribute ModifyVpcEndpoint ReleaseAddress "
            "ReplaceIamInstanceProfileAssociation ReplaceRoute "
            "RevokeSecurityGroupEgress RevokeSecurityGroupIngress StartInstances StopInstances "
            "TerminateInstances",
        ),
        condition=OURS,
    ),
    # A living node's security groups change on its interface, which comes with the node and carries no tag of ours.
    Right(
        "Interfaces",
        ("ec2:ModifyNetworkInterfaceAttribute",),
        tuple(f"arn:aws:ec2:*:*:{kind}/*" for kind in ("instance", "network-interface", "security-group")),
        example="arn:aws:ec2:us-east-1:{account}:network-interface/eni-00000000",
    ),
    Right(
        "Identities",
        _of(
            "iam",
            "CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies "
            "ListInstanceProfilesForRole ListRolePolicies PutRolePolicy TagRole UntagRole "
            "UpdateAssumeRolePolicy UpdateRoleDescription",
        ),
        ("arn:aws:iam::*:role/skywright-*",),
        example="arn:aws:iam::{account}:role/skywright-check",
    ),
    Right(
        "Profiles",
        _of(
            "iam",
            "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
            "RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile",
        ),
        ("arn:aws:iam::*:instance-profile/skywright-*",),
        example="arn:aws:iam::{account}:instance-profile/skywright-check",
    ),
    Right(
        "GiveIdentities",
        ("iam:PassRole",),
        ("arn:aws:iam::*:role/skywright-*",),
        {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        "arn:aws:iam::{account}:role/skywright-check",
    ),
    Right(
        "FirstSpotNode",
        ("iam:CreateServiceLinkedRole",),
        ("arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/*",),
        {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        "arn:aws:iam::{account}:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
    ),
    Right(
        "Buckets",
        _of(
            "s3",
            "CreateBucket DeleteBucket GetAccelerateConfiguration GetBucketAcl GetBucketCORS GetBucketLogging "
            "GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy "
            "GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning "
            "GetBucketWebsite GetEncryptionConfiguration GetLifecycleConfiguration GetReplicationConfiguration "
            "ListBucket ListBucketVersions PutBucketPublicAccessBlock PutBucketTagging "
            "PutEncryptionConfiguration PutLifecycleConfiguration",
        ),
        ("arn:aws:s3:::skywright-*",),
        example="arn:aws:s3:::skywright-check",
    ),
    Right(
        "Objects",
        _of(
            "s3",
            "DeleteObject DeleteObjectVersion GetObject GetObjectTagging PutObject PutObjectTagging",
        ),
        ("arn:aws:s3:::skywright-*/*",),
        example="arn:aws:s3:::skywright-check/object",
    ),
    Right(
        "Secrets",
        _of(
            "secretsmanager",
            "CreateSecret DeleteSecret DescribeSecret GetResourcePolicy GetSecretValue PutSecretValue "
            "TagResource UntagResource UpdateSecret",
        ),
        ("arn:aws:secretsmanager:*:*:secret:skywright/*",),
        example="arn:aws:secretsmanager:us-east-1:{account}:secret:skywright/check-000000",
    ),
    Right(
        "Images",
        ("ssm:GetParameter",),
        ("arn:aws:ssm:*::parameter/aws/service/*",),
        example="arn:aws:ssm:us-east-1::parameter/aws/service/canonical/ubuntu",
    ),
    Right(
        "Reach",
        ("ssm:SendCommand", "ssm:StartSession"),
        (
            "arn:aws:ec2:*:*:instance/*",
            "arn:aws:ssm:*::document/AWS-RunShellScript",
            "arn:aws:ssm:*::document/AWS-StartPortForwardingSession",
            "arn:aws:ssm:*::document/AWS-StartSSHSession",
        ),
        example="arn:aws:ssm:us-east-1::document/AWS-StartSSHSession",
    ),
    Right(
        "ReachAnswers",
        ("ssm:GetCommandInvocation", "ssm:TerminateSession", "ssm:ResumeSession"),
    ),
    Right(
        "Check",
        ("iam:SimulatePrincipalPolicy", "servicequotas:GetServiceQuota"),
    ),
)


def policy() -> dict[str, Any]:
    """The policy document, as docs/clouds/aws.md has it."""
    return {"Version": "2012-10-17", "Statement": [_statement(one) for one in RIGHTS]}


def _statement(one: Right) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Sid": one.id,
        "Effect": "Allow",
        "Action": sorted(one.actions),
        "Resource": one.resources[0] if len(one.resources) == 1 else list(one.resources),
    }
    return {**found, "Condition": one.condition} if one.condition else found
