"""The stack of one deployment on AWS: bucket, containers of secrets, identity, network and nodes put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compiler.spec import StackSpec
from stacks.aws import baking, bucket, identity, machines, names, network
from stacks.boot import Store

if TYPE_CHECKING:
    import pulumi


def build(spec: StackSpec) -> None:
    """Declare it all; exports `nodes` as [{rank, id, address}] and `store`, where the link's objects lie."""
    import pulumi
    import pulumi_aws as aws

    through = network.provider(spec)
    options, asking = pulumi.ResourceOptions(provider=through), pulumi.InvokeOptions(provider=through)
    if baking.only(spec):
        baking.image(spec, options)
        return
    account = aws.get_caller_identity(opts=asking).account_id
    key = _key(spec, asking)
    name = names.bucket(spec, account)
    objects = bucket.make(spec, name, key, options)
    _secrets(spec, key, options)
    profile, rights = identity.profile(spec, name, account, key, options)
    where = network.place(spec, asking)
    groups = network.groups(spec, where, options, asking)
    store = Store("s3", name, identity.PREFIX, region=spec.region)
    nodes = machines.nodes(
        spec, store, machines.Setting(where, groups, profile, key, [*objects, *rights]), options, asking
    )
    pulumi.export("nodes", nodes)
    pulumi.export("store", store.to_data())
    if baking.due(spec):
        baking.image(spec, options)


def _key(spec: StackSpec, asking: pulumi.InvokeOptions) -> pulumi.Output[str] | None:
    """The ARN of the user's key: policies take no other name."""
    import pulumi
    import pulumi_aws as aws

    named = spec.encrypted_with
    if named is None:
        return None
    if named.startswith("arn:") and ":alias/" not in named:
        return pulumi.Output.from_input(named)
    return aws.kms.get_key_output(key_id=named, opts=asking).apply(lambda found: found.arn)


def _secrets(spec: StackSpec, key: pulumi.Output[str] | None, options: pulumi.ResourceOptions) -> None:
    """Containers by name: their values are written beside Pulumi (containers.py)."""
    import pulumi_aws as aws

    for name in spec.secrets:
        aws.secretsmanager.Secret(
            f"secret-{name}",
            aws.secretsmanager.SecretArgs(
                name=names.secret(spec, name),
                kms_key_id=key,
                recovery_window_in_days=0,
                tags=names.tags(spec, name),
            ),
            opts=options,
        )
