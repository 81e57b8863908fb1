"""Names and tags within the rules of Azure, the same for the same stack."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from compiler.spec import Foundation, StackSpec
from stacks.naming import HASH, cut, hashed

PROJECT, DEPLOYMENT, RANK = "skywright-project", "skywright-deployment", "skywright-rank"
OWNER, TASK, STACK = "skywright-owner", "skywright-task", "skywright-stack"

USER = "skywright"
"""Who logs in on machines."""

GROUP_MOST, NAME_MOST, STORAGE_MOST = 90, 64, 24
TAG_KEY_MOST, TAG_VALUE_MOST, TAGS_MOST = 512, 256, 50


def group(spec: StackSpec | Foundation) -> str:
    """The resource group: everything of one stack, gone in one go."""
    if spec.given.group and isinstance(spec, StackSpec):
        return spec.given.group
    name = spec.deployment if isinstance(spec, StackSpec) else "foundation"
    return cut(("skywright", spec.project, name), (spec.region or "",), GROUP_MOST)


def deployment(spec: StackSpec) -> str:
    """Of the identity, the firewall and the proximity group."""
    return cut((spec.deployment,), (spec.project, spec.region or ""), NAME_MOST)


def node(spec: StackSpec, rank: int) -> str:
    """A virtual machine's name, which is its host name too."""
    return f"{deployment(spec)[:58]}-{rank}"


def storage(spec: StackSpec, subscription: str) -> str:
    """Unique in the world, in small letters and digits alone."""
    return cut(("sky", spec.deployment), (subscription, spec.project, spec.region or ""), STORAGE_MOST, "")


def assignment(spec: StackSpec, subscription: str, name: str) -> str:
    """A role assignment's name is a UUID by Azure's rule: the same for the same stack."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{subscription}/{group(spec)}/{spec.deployment}/{name}"))


def secret(name: str) -> str:
    """Key vaults take letters, digits and hyphens; names of environment variables have no hyphen."""
    return name.replace("_", "-")


def tags(spec: StackSpec | Foundation, rank: int | None = None) -> dict[str, str]:
    """Constant ones: nothing of an attempt, so that a recovery changes no tag."""
    found = {PROJECT: spec.project, STACK: spec.stack}
    if isinstance(spec, StackSpec):
        found[DEPLOYMENT] = spec.deployment
        more = {OWNER: spec.owner, TASK: spec.task}
        found |= {key: value[:TAG_VALUE_MOST] for key, value in more.items() if value}
    if rank is not None:
        found[RANK] = str(rank)
    theirs = spec.labels if isinstance(spec, StackSpec) else {}
    return {**_theirs(theirs, TAGS_MOST - len(found)), **found}


def _theirs(labels: Mapping[str, str], room: int) -> dict[str, str]:
    found = {}
    for key, value in sorted(labels.items())[:room]:
        name = re.sub(r"[<>%&\\?/]", "_", key)
        name = name if len(name) <= TAG_KEY_MOST else f"{name[: TAG_KEY_MOST - HASH - 1]}-{hashed(key)}"
        if re.match(r"(?i)microsoft|azure|windows", name):
            name = f"_{name}"
        found[name] = value[:TAG_VALUE_MOST]
    return found
