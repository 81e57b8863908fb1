"""Names and tags within the rules of AWS, the same for the same stack, and apart for stacks that only look alike."""

from __future__ import annotations

import re
from collections.abc import Mapping

from compiler.spec import Foundation, StackSpec
from stacks.naming import HASH, cut, hashed

PROJECT, DEPLOYMENT, RANK = "skywright:project", "skywright:deployment", "skywright:rank"
OWNER, TASK, STACK = "skywright:owner", "skywright:task", "skywright:stack"

BUCKET_MOST, ROLE_MOST, GROUP_MOST = 63, 64, 128
TAG_KEY_MOST, TAG_VALUE_MOST, TAGS_MOST = 128, 256, 50


def bucket(spec: StackSpec, account: str) -> str:
    """Unique in the world: buckets of all accounts share their names."""
    return cut(("skywright", spec.project, spec.deployment), (account, spec.region or ""), BUCKET_MOST)


def role(spec: StackSpec) -> str:
    """Roles and instance profiles are an account's, not a region's."""
    return cut(("skywright", spec.project, spec.deployment), (spec.region or "",), ROLE_MOST)


def profile(spec: StackSpec) -> str:
    """Apart from the role's name, so that an id in a state is of one of the two."""
    return f"{role(spec)}-profile"


def group(spec: StackSpec) -> str:
    """Of the security group, the placement group and the launch template, which takes the shortest."""
    return cut(("skywright", spec.project, spec.deployment), (), GROUP_MOST)


def secrets(spec: StackSpec) -> str:
    """How the names of a deployment's containers in Secrets Manager begin."""
    return f"skywright/{cut((spec.project, spec.deployment), (), 200)}/"


def secret(spec: StackSpec, name: str) -> str:
    """The container of one secret; names of secrets are names of environment variables."""
    return secrets(spec) + name


def letter(zone: str) -> str:
    """`us-east-1a` -> `a`: what zones of a region are told apart by; local zones keep more."""
    found = re.fullmatch(r"[a-z]+(?:-[a-z]+)+-\d+([a-z])", zone)
    return found[1] if found else re.sub(r"[^a-z0-9-]", "-", zone)


def tags(spec: StackSpec | Foundation, name: str, rank: int | None = None) -> dict[str, str]:
    """Constant ones: nothing of an attempt, so that a recovery changes no tag. `name` is what consoles show."""
    found = {"Name": name, PROJECT: spec.project, STACK: spec.stack}
    if isinstance(spec, StackSpec):
        found[DEPLOYMENT] = spec.deployment
        more = {OWNER: spec.owner, TASK: spec.task}
        found |= {key: clean(value, TAG_VALUE_MOST) for key, value in more.items() if value}
    if rank is not None:
        found[RANK] = str(rank)
    labels = spec.labels if isinstance(spec, StackSpec) else {}
    return {**_labels(labels, TAGS_MOST - len(found)), **found}


def clean(text: str, most: int) -> str:
    """Only characters that every service takes in tags: IAM and S3 refuse what EC2 lets through."""
    kept = re.sub(r"[^\w .:/=+\-@]", "_", text).strip()
    return kept if len(kept) <= most else f"{kept[: most - HASH - 1]}-{hashed(text)}"


def _labels(labels: Mapping[str, str], room: int) -> dict[str, str]:
    found = {}
    for key, value in sorted(labels.items())[:room]:
        name = clean(key, TAG_KEY_MOST)
        name = f"_{name}" if name.lower().startswith("aws:") else name
        found[name] = clean(value, TAG_VALUE_MOST)
    return found
