"""The cloud `aws`: EC2 instances in one VPC per region; what its protocol says, with the work in its modules."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from compiler.offer import Capability, Offer
from compiler.spec import Foundation, StackSpec
from stacks.aws.failures import sort as sort
from stacks.boot import Store
from stacks.cloud import ANYWHERE, Access, Check, Idle, NodeFacts, Probe, Scope, Traces

NAME = "aws"
CAPABILITIES = frozenset(
    {
        Capability.MULTI_NODE,
        Capability.SPOT,
        Capability.STOP,
        Capability.LABELS,
        Capability.WORKDIR,
        Capability.CHECKPOINT,
        Capability.PORTS,
        Capability.IMAGE,
        Capability.CONTAINER,
        Capability.DISK_TIER,
        Capability.NETWORK_TIER,
        Capability.NETWORKING,
        Capability.ENCRYPTION,
        Capability.BUCKETS,
    }
)
ENV: tuple[str, ...] = ("AWS_",)
EXTRA = "aws"
FOUNDATION = True
BAKES = True

_METADATA = "http://169.254.169.254/latest"
PROBES: tuple[Probe, ...] = (
    Probe(
        url=f"{_METADATA}/meta-data/spot/instance-action",
        every_s=5.0,
        member="action",
        values=("terminate", "stop", "hibernate"),
        deadline="time",
        token={
            "url": f"{_METADATA}/api/token",
            "method": "PUT",
            "headers": {"X-aws-ec2-metadata-token-ttl-seconds": "21600"},
            "header": "X-aws-ec2-metadata-token",
        },
    ),
)

_NAMED = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_FILES = (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config"))
_CREDENTIALS = re.compile(
    r"^\s*(aws_access_key_id|sso_(session|start_url|account_id)|role_arn|credential_process|login_session)\s*=",
    re.M,
)


def offers() -> tuple[Offer, ...]:
    """Nothing beside the catalog."""
    return ()


def configured() -> bool:
    """Does the environment or a file of `~/.aws` name credentials?"""
    if any(os.environ.get(name) for name in (*_NAMED, *_CONTAINER)):
        return True
    for variable, name in _FILES:
        path = Path(os.environ.get(variable) or Path.home() / ".aws" / name).expanduser()
        try:
            if _CREDENTIALS.search(path.read_text(encoding="utf-8", errors="replace")):
                return True
        except OSError:
            continue
    return False


def check() -> tuple[Check, ...]:
    """SDK, credentials, account, missing permissions by name, quotas of vCPUs."""
    from stacks.aws import checking

    return checking.check()


def build(spec: StackSpec) -> None:
    """Security group, identity, bucket, secret containers and `node-<rank>`; exports `nodes` and `store`."""
    from stacks.aws import stack

    stack.build(spec)


def foundation(spec: Foundation) -> None:
    """A VPC with a public subnet in every zone, an internet gateway, and a gateway endpoint for S3."""
    from stacks.aws import network

    network.foundation(spec)


def idle(spec: Foundation) -> tuple[Idle, ...]:
    """The VPC and what is in it; none of it is billed."""
    says = "VPC, subnets, internet gateway, route table and S3 gateway endpoint are not billed"
    return (Idle(f"network {spec.name} in {spec.region}", 0.0, says),)


def kept(spec: StackSpec, stores: Sequence[Store] = ()) -> tuple[Idle, ...]:
    """The buckets in which a checkpoint may lie."""
    from stacks import keeping

    return keeping.stores(
        spec,
        stores,
        "s3",
        lambda one: (f"bucket s3://{one.bucket}", f"aws s3 rb --force s3://{one.bucket}"),
    )


def write_secrets(spec: StackSpec, values: Mapping[str, str]) -> None:
    """The values into the stack's containers of Secrets Manager; one that holds its value already is left alone."""
    from stacks.aws import containers

    containers.write(spec, values)


def inventory(project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
    """Instances with our tags that run, are about to, or are stopped; in all regions where the scope names none."""
    from stacks.aws import instances

    return instances.inventory(project, scope)


def remove(node: str, scope: Scope = ANYWHERE) -> None:
    """Terminate one instance. Idempotent."""
    from stacks.aws import instances

    instances.remove(node, scope)


def sweep(
    spec: StackSpec | Foundation, known: frozenset[str], scope: Scope = ANYWHERE, look: bool = False
) -> tuple[str, ...]:
    """Delete what a create that was cut off left of a stack beside nodes: all of its things that are not `known`."""
    from stacks.aws import sweeping

    return sweeping.sweep(spec, known, look)


def traces(spec: StackSpec | Foundation) -> Traces:
    """Tags of the whole stack; roles and instance profiles are found by name, as that call knows none."""
    from stacks.aws import names

    found = {names.PROJECT: spec.project, names.STACK: spec.stack}
    filters = " ".join(f"Key={key},Values={value}" for key, value in found.items())
    region = f" --region {spec.region}" if spec.region else ""
    commands = [f"aws resourcegroupstaggingapi get-resources{region} --tag-filters {filters}"]
    if isinstance(spec, StackSpec) and not spec.given.role:
        commands.append(f"aws iam get-role --role-name {names.role(spec)}")
        commands.append(f"aws iam get-instance-profile --instance-profile-name {names.profile(spec)}")
    return Traces(found, tuple(commands))


def stop(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Stop on-demand instances. Problems cloud/cannot-stop for spot ones, which EC2 does not stop on demand."""
    from stacks.aws import instances

    instances.stop(nodes, scope)


def start(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Start stopped instances."""
    from stacks.aws import instances

    instances.start(nodes, scope)


def verify(node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
    """Is `proof` a request to STS that only the role of the instance `node` can have signed?"""
    from stacks.aws import proving

    return proving.holds(node, proof, scope)


def access(node: str, scope: Scope = ANYWHERE) -> Access:
    """Command lines of the AWS CLI with the Session Manager plugin: no port is open for them."""
    from stacks.aws import instances

    return instances.access(node, scope)


def preempt(node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
    """Terminate an instance at once. Problems cloud/no-notice for a loss with a notice, which only FIS can give."""
    from stacks.aws import instances

    instances.preempt(node, notice_s, scope)


def kill_agent(node: str, scope: Scope = ANYWHERE) -> int:
    """Kill the agent through a command of Systems Manager; its pid."""
    from stacks.aws import instances

    return instances.kill_agent(node, scope)
