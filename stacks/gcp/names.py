"""Names and labels within the rules of Google Cloud, the same for the same stack."""

from __future__ import annotations

import re
from collections.abc import Mapping

from compiler.spec import Foundation, StackSpec
from stacks.naming import HASH, cut, hashed

PROJECT, DEPLOYMENT, RANK = "skywright-project", "skywright-deployment", "skywright-rank"
OWNER, TASK, STACK = "skywright-owner", "skywright-task", "skywright-stack"

NAME_MOST, ACCOUNT_MOST, BUCKET_MOST, LABEL_MOST, LABELS_MOST = 63, 30, 63, 63, 64


def network(spec: Foundation | StackSpec, name: str) -> str:
    """A network's name as it is, when Google takes it; else cut. The region, and what it is for, follow it."""
    return name if re.fullmatch(r"[a-z]([-a-z0-9]{0,34}[a-z0-9])?", name) else cut((name,), (), 36)


def deployment(spec: StackSpec) -> str:
    """Of firewalls and placement policies, and the network tag that they aim at."""
    return cut(("skywright", spec.project, spec.deployment), (spec.region or "",), NAME_MOST)


def account(spec: StackSpec) -> str:
    """A service account's id: 6 to 30 letters."""
    return cut(("sky", spec.deployment), (spec.project, spec.region or ""), ACCOUNT_MOST)


def bucket(spec: StackSpec, project: str) -> str:
    """Unique in the world: buckets of all projects share their names."""
    return cut(("skywright", spec.project, spec.deployment), (project, spec.region or ""), BUCKET_MOST)


def secrets(spec: StackSpec) -> str:
    """How the ids of a deployment's secrets begin."""
    return f"{cut(('skywright', spec.project, spec.deployment), (spec.region or '',), 200)}-"


def secret(spec: StackSpec, name: str) -> str:
    """The secret of one name; those are names of environment variables."""
    return secrets(spec) + name


def labels(spec: StackSpec | Foundation, rank: int | None = None) -> dict[str, str]:
    """Constant ones: nothing of an attempt, so that a recovery changes no label."""
    found = {PROJECT: value(spec.project), STACK: value(spec.stack)}
    if isinstance(spec, StackSpec):
        found[DEPLOYMENT] = value(spec.deployment)
        more = {OWNER: spec.owner, TASK: spec.task}
        found |= {key: value(text) for key, text in more.items() if text}
    if rank is not None:
        found[RANK] = str(rank)
    theirs = spec.labels if isinstance(spec, StackSpec) else {}
    return {**_theirs(theirs, LABELS_MOST - len(found)), **found}


def value(text: str) -> str:
    """Small letters, digits, `_` and `-`, 63 at most."""
    kept = re.sub(r"[^a-z0-9_-]", "_", text.lower())
    return kept if len(kept) <= LABEL_MOST else f"{kept[: LABEL_MOST - HASH - 1]}-{hashed(text)}"


def _theirs(labels: Mapping[str, str], room: int) -> dict[str, str]:
    found = {}
    for key, text in sorted(labels.items())[:room]:
        name = value(key)
        found[name if name[:1].isalpha() else f"l{name}"[:LABEL_MOST]] = value(text)
    return found
