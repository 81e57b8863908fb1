"""Task and Placement into the StackSpec of one Pulumi stack."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from compiler import buckets
from compiler.plan import Placement
from compiler.spec import Given, StackSpec, digest
from compiler.task import Requirements, Task


def stack_name(name: str, cloud: str, region: str | None) -> str:
    """`train-aws-us-west-2`, `hello-local`: Pulumi's name of a deployment's stack in one place.

    Contexts of Kubernetes may be called anything (`arn:aws:eks:...:cluster/ml`): what Pulumi does not take in a name
    is left out, and a mark of the whole added.
    """
    place = region and re.sub(r"[^A-Za-z0-9._-]+", "-", region).strip("-")
    if place != region:
        place = f"{place}-{digest(region)[:6]}"
    return "-".join(part for part in (name, cloud, place) if part)


GANG_DEADMAN_S, SINGLE_DEADMAN_S = 600.0, 3600.0
"""How long nodes go on without control: several wait for each other and cost more."""

OF_THE_USERS = "local"
"""The cloud whose machine is there already: it has neither network nor images nor tags of ours."""


def lower(
    task: Task,
    placement: Placement,
    *,
    name: str,
    project: str,
    agent: str,
    owner: str | None = None,
    image: str | None = None,
    given: Given | None = None,
    foundation: bool = False,
) -> StackSpec:
    """What the stack must contain. `agent` is the content hash of the agent's folder, `image` the machine image of
    the catalog, `given` what the team owns by its configuration; `foundation`: the cloud needs a network of ours
    where none is given.

    Of alternatives the one that the placement meets counts. Sizes are set only where the offer is cut to them:
    elsewhere the instance type decides. Of secrets only names go in.
    """
    offer, wanted = placement.offer, placement.requirements or task.requirements
    given = _given(task, given or Given())
    if offer.cloud == OF_THE_USERS:
        more: dict[str, Any] = {}
    else:
        more = {
            "task": task.name,
            "owner": owner,
            "image": _image(wanted, offer.region) or image,
            "container": wanted.image.docker if wanted.image else None,
            "ports": wanted.ports,
            "disk_tier": wanted.disk_tier,
            "network_tier": wanted.network_tier,
            "network": f"skywright-{project}" if foundation and given.network is None else None,
            "encrypted_with": given.key,
            "checkpoint": task.checkpoint,
            "priority_class": wanted.priority_class,
            "deadman_s": GANG_DEADMAN_S if placement.nodes > 1 else SINGLE_DEADMAN_S,
            "buckets": buckets.granted(buckets.rows(task), offer.cloud) or None,
            "given": given,
        }
    memory = offer.memory_gb if (wanted.memory_gb or wanted.memory_per_cpu) and offer.flexible else None
    return StackSpec(
        project=project,
        stack=stack_name(name, offer.cloud, offer.region),
        deployment=name,
        cloud=offer.cloud,
        region=offer.region,
        zone=offer.zone,
        instance_type=offer.instance_type,
        market=offer.market,
        nodes=placement.nodes,
        agent=agent,
        accelerator=offer.accelerator if wanted.accelerator else None,
        cpus=wanted.cpus.value if wanted.cpus and offer.flexible else None,
        memory_gb=memory,
        disk_gb=wanted.disk_gb,
        labels=dict(sorted(wanted.labels.items())),
        secrets=tuple(sorted({*task.secrets, *buckets.secret_names(task, offer.cloud)})),
        **more,
    )


def _given(task: Task, given: Given) -> Given:
    """The task's own `networking` wins over the configuration, name by name."""
    asked = task.networking
    if asked is None:
        return given
    return replace(
        given,
        network=asked.vpc_name or given.network,
        subnet=asked.subnet_name or given.subnet,
        security_groups=asked.security_groups or given.security_groups,
    )


def _image(wanted: Requirements, region: str | None) -> str | None:
    ids = wanted.image.ids if wanted.image else {}
    return ids.get(region or "") or ids.get("")
