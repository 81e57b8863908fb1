"""The bucket of one deployment on AWS: closed, encrypted, with the agent in it, and kept when it holds a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.spec import StackSpec
from stacks.aws import identity, names, session
from stacks.boot import AGENTS
from stacks.cloud import Scope

if TYPE_CHECKING:
    import pulumi
    import pulumi_aws as aws

ABORT_DAYS = 7
"""Parts of uploads that were never ended are deleted after so long."""


def make(
    spec: StackSpec, name: str, key: pulumi.Output[str] | None, options: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """What must be there before a node starts.

    A bucket that may hold a checkpoint stays when the stack goes, and the next `up` takes it on again.
    """
    import pulumi
    import pulumi_aws as aws

    kept = spec.checkpoint is not None
    parts = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(retain_on_delete=kept or None))
    whole = parts
    if kept and _exists(spec, name):
        taken = pulumi.ResourceOptions(import_=name, ignore_changes=["tags", "force_destroy"])
        whole = pulumi.ResourceOptions.merge(parts, taken)
    bucket = aws.s3.Bucket(
        "bucket",
        aws.s3.BucketArgs(bucket=name, force_destroy=not kept, tags=names.tags(spec, name)),
        opts=whole,
    )
    closed = aws.s3.BucketPublicAccessBlock(
        "closed",
        aws.s3.BucketPublicAccessBlockArgs(
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
        ),
        opts=parts,
    )
    aws.s3.BucketLifecycleConfiguration("lifecycle", bucket=bucket.bucket, rules=[_abort()], opts=parts)
    encryption = aws.s3.BucketServerSideEncryptionConfiguration(
        "encryption", bucket=bucket.bucket, rules=[_encrypt(key)], opts=parts
    )
    return [closed, encryption, _agent(spec, bucket, encryption, options)]


def _encrypt(
    key: pulumi.Output[str] | None,
) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgs:
    """By S3's own key, or by the user's, of which one data key then serves many objects."""
    import pulumi_aws as aws

    by = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
        sse_algorithm="aws:kms" if key else "AES256", kms_master_key_id=key
    )
    return aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
        apply_server_side_encryption_by_default=by, bucket_key_enabled=True if key else None
    )


def _abort() -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    import pulumi_aws as aws

    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id="abort-uploads",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
            days_after_initiation=ABORT_DAYS
        ),
    )


def _agent(
    spec: StackSpec, bucket: aws.s3.Bucket, after: pulumi.Resource, options: pulumi.ResourceOptions
) -> pulumi.Resource:
    """The agent's archive under its hash. One that is not asked for any more stays as long as the bucket: nodes are
    made again with the agent that their gang began with."""
    import pulumi
    import pulumi_aws as aws

    from stacks.provider import agents

    return aws.s3.BucketObjectv2(
        "agent",
        aws.s3.BucketObjectv2Args(
            bucket=bucket.bucket,
            key=f"{identity.PREFIX}/{AGENTS}/{spec.agent}",
            source=pulumi.FileAsset(str(agents.archive(spec.agent))),
            tags=names.tags(spec, "agent"),
        ),
        opts=pulumi.ResourceOptions.merge(
            options, pulumi.ResourceOptions(depends_on=[after], retain_on_delete=True)
        ),
    )


def _exists(spec: StackSpec, name: str) -> bool:
    """Is the bucket there from an earlier life of the deployment? Where that cannot be asked, its creation tells."""
    from compiler.problem import Problems

    try:
        s3 = session.client("s3", session.region(Scope.of(spec)))
        with session.asking(f"looking for the bucket {name}"):
            s3.head_bucket(Bucket=name)
    except Problems:
        return False
    return True
