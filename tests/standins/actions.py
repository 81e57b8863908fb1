"""The IAM actions that calls of the aws stand-in need: what a least-privilege policy has to allow, call by call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.standins.store import Store

_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "HeadBucket": ("s3:ListBucket",),
    "HeadObject": ("s3:GetObject",),
    "ListObjectsV2": ("s3:ListBucket",),
    "ListObjectVersions": ("s3:ListBucketVersions",),
    "DeleteBucketTagging": ("s3:PutBucketTagging",),
    "GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "PutBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "DeleteBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "DeletePublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "PutBucketLifecycleConfiguration": ("s3:PutLifecycleConfiguration",),
    "DeleteBucketLifecycle": ("s3:PutLifecycleConfiguration",),
    "DeleteBucketOwnershipControls": ("s3:PutBucketOwnershipControls",),
    "GetObjectTagging": ("s3:GetObjectTagging",),
}
"""Operations of S3 whose action has another name."""

_NO_RIGHTS = {("sts", "GetCallerIdentity")}
"""Anybody may ask."""


def of(service: str, operation: str, detail: Mapping[str, Any]) -> set[str]:
    """The actions that one call needs. `detail` are its parameters as they were sent."""
    if (service, operation) in _NO_RIGHTS:
        return set()
    if service == "s3":
        return set(_OBJECTS.get(operation, (f"s3:{operation}",)))
    found = {f"{service}:{operation}"}
    sent = {str(name) for name in detail}
    if service == "ec2" and any(name.startswith("TagSpecification") for name in sent):
        found.add("ec2:CreateTags")
    if any(name.startswith("IamInstanceProfile") for name in sent) or operation == "AddRoleToInstanceProfile":
        found.add("iam:PassRole")
    if any(name.startswith("Tags.") or name == "Tags" for name in sent):
        tagging = {"iam:CreateRole": "iam:TagRole", "iam:CreateInstanceProfile": "iam:TagInstanceProfile"}
        for call in tuple(found):
            found |= {tagging[call]} if call in tagging else set()
    return found


def needed(store: Store) -> dict[str, str]:
    """Action -> the first call that needed it, of all that the aws stand-in made."""
    found: dict[str, str] = {}
    for call in store.calls("aws"):
        for action in sorted(of(call.service, call.operation, call.detail)):
            found.setdefault(action, f"{call.service} {call.operation}")
    return found
