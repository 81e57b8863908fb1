"""The stack of one deployment on Google Cloud: bucket, secrets, identity, firewalls and nodes put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.spec import StackSpec
from stacks.boot import AGENTS, BLOBS, Store
from stacks.cloud import Scope
from stacks.gcp import baking, machines, names, network, session

if TYPE_CHECKING:
    import pulumi
    import pulumi_gcp as gcp

PREFIX = "skywright"
"""Below it the bucket's objects lie."""

ABORT_DAYS = 7
"""Parts of uploads that were never ended are deleted after so long."""


def build(spec: StackSpec) -> None:
    """Declare it all; exports `nodes` as [{rank, id, address}] and `store`, where the link's objects lie."""
    import pulumi

    project = session.project(Scope.of(spec))
    through = network.provider(spec, project)
    options, asking = pulumi.ResourceOptions(provider=through), pulumi.InvokeOptions(provider=through)
    if baking.only(spec):
        baking.image(spec, None, project, options)
        return
    where = network.place(spec, project, asking)
    account, member = _account(spec, options)
    bucket = _bucket(spec, project, options)
    needed = [
        *_rights(bucket, member, options),
        *_buckets(spec, member, options),
        _agent(spec, bucket, options),
    ]
    _secrets(spec, member, options)
    network.firewalls(spec, where, options)
    store = Store("gcs", names.bucket(spec, project), PREFIX, region=spec.region)
    setting = machines.Setting(where, project, account, store, needed)
    pulumi.export("nodes", machines.nodes(spec, setting, options))
    pulumi.export("store", store.to_data())


def _account(spec: StackSpec, options: pulumi.ResourceOptions) -> tuple[pulumi.Input[str], pulumi.Input[str]]:
    """The service account that nodes are, and its name in policies. A given one is only named."""
    import pulumi_gcp as gcp

    if spec.given.role:
        return spec.given.role, f"serviceAccount:{spec.given.role}"
    made = gcp.serviceaccount.Account(
        "identity",
        gcp.serviceaccount.AccountArgs(
            account_id=names.account(spec), display_name=f"Nodes of skywright's {spec.deployment}"
        ),
        opts=options,
    )
    return made.email, made.email.apply(lambda email: f"serviceAccount:{email}")


def _bucket(spec: StackSpec, project: str, options: pulumi.ResourceOptions) -> gcp.storage.Bucket:
    """The deployment's bucket, closed to the public. One that may hold a checkpoint stays when the stack goes, and the
    next `up` takes it on again."""
    import pulumi
    import pulumi_gcp as gcp

    kept = spec.checkpoint is not None
    more = pulumi.ResourceOptions(retain_on_delete=kept or None)
    if kept and _exists(names.bucket(spec, project)):
        more.import_, more.ignore_changes = names.bucket(spec, project), ["labels", "force_destroy"]
    abort = gcp.storage.BucketLifecycleRuleArgs(
        action=gcp.storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
        condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=ABORT_DAYS),
    )
    key = gcp.storage.BucketEncryptionArgs(default_kms_key_name=spec.encrypted_with)
    return gcp.storage.Bucket(
        "bucket",
        gcp.storage.BucketArgs(
            name=names.bucket(spec, project),
            location=(spec.region or "US").upper(),
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=not kept,
            lifecycle_rules=[abort],
            encryption=key if spec.encrypted_with else None,
            labels=names.labels(spec),
        ),
        opts=pulumi.ResourceOptions.merge(options, more),
    )


def _exists(bucket: str) -> bool:
    """Is the bucket there from an earlier life of the deployment? Where that cannot be asked, its creation tells."""
    from compiler.problem import Problems

    try:
        session.ask("GET", "storage", f"b/{bucket}", f"looking for the bucket {bucket}")
    except Problems:
        return False
    return True


def _rights(
    bucket: gcp.storage.Bucket, member: pulumi.Input[str], options: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Nodes read all of the bucket, and write what is not below `down/`: code, agents, words of control."""
    import pulumi
    import pulumi_gcp as gcp

    reading = gcp.storage.BucketIAMMember(
        "reads",
        gcp.storage.BucketIAMMemberArgs(bucket=bucket.name, role="roles/storage.objectViewer", member=member),
        opts=options,
    )
    down = f"/objects/{PREFIX}/{BLOBS.partition('/')[0]}/"
    elsewhere = pulumi.Output.from_input(bucket.name).apply(
        lambda name: f'!resource.name.startsWith("projects/_/buckets/{name}{down}")'
    )
    writing = gcp.storage.BucketIAMMember(
        "writes",
        gcp.storage.BucketIAMMemberArgs(
            bucket=bucket.name,
            role="roles/storage.objectUser",
            member=member,
            condition=gcp.storage.BucketIAMMemberConditionArgs(title="not-below-down", expression=elsewhere),
        ),
        opts=options,
    )
    return [reading, writing]


def _buckets(
    spec: StackSpec, member: pulumi.Input[str], options: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Rights to the task's own buckets, each as a whole; a service account that is given has its rights already."""
    import pulumi_gcp as gcp

    if spec.given.role:
        return []
    may: dict[str, str] = {}
    for uri, granted in (spec.buckets or {}).items():
        name = uri.partition("://")[2].partition("/")[0]
        may[name] = "write" if "write" in (granted["access"], may.get(name)) else "read"
    return [
        gcp.storage.BucketIAMMember(
            f"data-{name}",
            gcp.storage.BucketIAMMemberArgs(
                bucket=name,
                role="roles/storage.objectUser" if access == "write" else "roles/storage.objectViewer",
                member=member,
            ),
            opts=options,
        )
        for name, access in sorted(may.items())
    ]


def _agent(spec: StackSpec, bucket: gcp.storage.Bucket, options: pulumi.ResourceOptions) -> pulumi.Resource:
    """The agent's archive under its hash. One that is not asked for any more stays as long as the bucket: nodes are
    made again with the agent that their gang began with."""
    import pulumi
    import pulumi_gcp as gcp

    from stacks.provider import agents

    return gcp.storage.BucketObject(
        "agent",
        gcp.storage.BucketObjectArgs(
            bucket=bucket.name,
            name=f"{PREFIX}/{AGENTS}/{spec.agent}",
            source=pulumi.FileAsset(str(agents.archive(spec.agent))),
        ),
        opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(retain_on_delete=True)),
    )


def _secrets(spec: StackSpec, member: pulumi.Input[str], options: pulumi.ResourceOptions) -> None:
    """Secrets by name, which the nodes alone may read: their values are written beside Pulumi (containers.py)."""
    import pulumi_gcp as gcp

    for name in spec.secrets:
        replica = gcp.secretmanager.SecretReplicationUserManagedReplicaArgs(location=spec.region or "")
        made = gcp.secretmanager.Secret(
            f"secret-{name}",
            gcp.secretmanager.SecretArgs(
                secret_id=names.secret(spec, name),
                replication=gcp.secretmanager.SecretReplicationArgs(
                    user_managed=gcp.secretmanager.SecretReplicationUserManagedArgs(replicas=[replica])
                ),
                labels=names.labels(spec),
            ),
            opts=options,
        )
        gcp.secretmanager.SecretIamMember(
            f"secret-{name}-reads",
            gcp.secretmanager.SecretIamMemberArgs(
                secret_id=made.secret_id, role="roles/secretmanager.secretAccessor", member=member
            ),
            opts=options,
        )
