"""Task and Placement into the StackSpec of one Pulumi stack."""

from __future__ import annotations

from compiler.plan import Placement
from compiler.spec import StackSpec
from compiler.task import Task


def stack_name(name: str, cloud: str, region: str | None) -> str:
    """`train-aws-us-west-2`, `hello-local`: Pulumi's name of a deployment's stack in one place."""
    return "-".join(part for part in (name, cloud, region) if part)


def lower(task: Task, placement: Placement, *, name: str, project: str, agent: str) -> StackSpec:
    """What the stack must contain. `agent` is the content hash of the agent's folder.

    Of alternatives the one that the placement meets counts. Sizes are set only where the offer is cut to them:
    elsewhere the instance type decides. Of secrets only names go in.
    """
    offer, wanted = placement.offer, placement.requirements or task.requirements
    cpus = wanted.cpus.value if wanted.cpus and offer.flexible else None
    memory = wanted.memory_gb.value if wanted.memory_gb and offer.flexible else None
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
        cpus=cpus,
        memory_gb=memory,
        disk_gb=wanted.disk_gb,
        labels=dict(sorted(wanted.labels.items())),
        secrets=tuple(sorted(task.secrets)),
    )
