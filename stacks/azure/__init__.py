"""The cloud `azure`: virtual machines in one virtual network per region, by the protocol of stacks/cloud.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from compiler.offer import Capability, Offer
from compiler.spec import Foundation, StackSpec
from stacks.azure.failures import sort as sort
from stacks.boot import Store
from stacks.cloud import ANYWHERE, Access, Check, Idle, NodeFacts, Probe, Scope, Traces

NAME = "azure"
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
ENV: tuple[str, ...] = ("ARM_", "AZURE_")
EXTRA = "azure"
FOUNDATION = True
BAKES = True

_EVENTS = "http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01"
PROBES: tuple[Probe, ...] = (
    Probe(
        url=_EVENTS,
        every_s=5.0,
        rows="Events",
        member="EventType",
        values=("Preempt",),
        names="Resources",
        deadline="NotBefore",
        headers={"Metadata": "true"},
        acknowledge={"url": _EVENTS, "body": {"StartRequests": [{"EventId": "{id}"}]}, "member": "EventId"},
    ),
)


def offers() -> tuple[Offer, ...]:
    """Nothing beside the catalog."""
    return ()


def configured() -> bool:
    """Does the environment name a principal, or is somebody logged in to the Azure CLI?"""
    if any(os.environ.get(name) for name in ("ARM_CLIENT_ID", "AZURE_CLIENT_ID", "ARM_USE_MSI")):
        return True
    folder = Path(os.environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
    return (folder / "azureProfile.json").exists()


def check() -> tuple[Check, ...]:
    """SDK, credentials, subscription, missing permissions by name."""
    from stacks.azure import checking

    return checking.check()


def build(spec: StackSpec) -> None:
    """Resource group, identity, storage, key vault, firewall, `node-<rank>`; exports `nodes` and `store`."""
    from stacks.azure import stack

    stack.build(spec)


def foundation(spec: Foundation) -> None:
    """A resource group with a virtual network of one subnet, closed from outside."""
    from stacks.azure import network

    network.foundation(spec)


def idle(spec: Foundation) -> tuple[Idle, ...]:
    """The virtual network; none of it is billed."""
    says = "resource group, virtual network and security group are not billed"
    return (Idle(f"network {spec.name} in {spec.region}", 0.0, says),)


def kept(spec: StackSpec, stores: Sequence[Store] = ()) -> tuple[Idle, ...]:
    """The storage accounts in which a checkpoint may lie, with their resource group where that is ours."""
    from stacks import keeping
    from stacks.azure import names

    def named(one: Store) -> tuple[str, str]:
        account, group = one.account or "", names.group(spec)
        if spec.given.group:
            return f"storage account {account}", f"az storage account delete --name {account}"
        return f"storage account {account} in resource group {group}", f"az group delete --name {group}"

    return keeping.stores(spec, stores, "azblob", named)


def write_secrets(spec: StackSpec, values: Mapping[str, str]) -> None:
    """The values into the stack's key vault; one that holds its value already is left alone."""
    from stacks.azure import containers

    containers.write(spec, values)


def inventory(project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
    """Virtual machines with our tags in the subscription, deallocated ones as stopped."""
    from stacks.azure import machines_seen

    return machines_seen.inventory(project, scope)


def remove(node: str, scope: Scope = ANYWHERE) -> None:
    """Delete one virtual machine. Idempotent."""
    from stacks.azure import machines_seen

    machines_seen.remove(node, scope)


def sweep(
    spec: StackSpec | Foundation, known: frozenset[str], scope: Scope = ANYWHERE, look: bool = False
) -> tuple[str, ...]:
    """Delete what a create that was cut off left of a stack beside nodes: all of its things that are not `known`."""
    from stacks.azure import sweeping

    return sweeping.sweep(spec, known, look)


def traces(spec: StackSpec | Foundation) -> Traces:
    """Tags of the whole stack, and its resource group."""
    from stacks.azure import names

    found = {names.PROJECT: spec.project, names.STACK: spec.stack}
    account = f" --subscription {spec.given.account}" if spec.given.account else ""
    commands = [f"az resource list{account} --tag {names.STACK}={spec.stack} --output table"]
    if isinstance(spec, Foundation) or not spec.given.group:
        commands.append(f"az group show{account} --name {names.group(spec)}")
    return Traces(found, tuple(commands))


def generalise(node: str, scope: Scope = ANYWHERE) -> None:
    """Deallocate a virtual machine and mark it as one that only serves to make an image. Idempotent."""
    from stacks.azure import machines_seen

    machines_seen.generalise(node, scope)


def stop(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Deallocate virtual machines."""
    from stacks.azure import machines_seen

    machines_seen.each(nodes, "deallocate", scope)


def start(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Start deallocated virtual machines."""
    from stacks.azure import machines_seen

    machines_seen.each(nodes, "start", scope)


def verify(node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
    """No: Azure's machines speak through their deployment's storage, which only they may write."""
    return False


def access(node: str, scope: Scope = ANYWHERE) -> Access:
    """Command lines of the Azure CLI through the team's Bastion: no port is open to the world for them."""
    from stacks.azure import machines_seen

    return machines_seen.access(node, scope)


def preempt(node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
    """With a notice: a simulated eviction; else delete the machine at once."""
    from stacks.azure import machines_seen

    machines_seen.preempt(node, notice_s, scope)


def kill_agent(node: str, scope: Scope = ANYWHERE) -> int:
    """Kill the agent through a run command; its pid."""
    from stacks.azure import machines_seen

    return machines_seen.kill_agent(node, scope)
