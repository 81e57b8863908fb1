"""The cloud `gcp`: Compute Engine instances in one network per region, by the protocol of stacks/cloud.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from compiler.offer import Capability, Offer
from compiler.spec import Foundation, StackSpec
from stacks.boot import Store
from stacks.cloud import ANYWHERE, Access, Check, Idle, NodeFacts, Probe, Scope, Traces
from stacks.gcp.failures import sort as sort

NAME = "gcp"
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
ENV: tuple[str, ...] = ("GOOGLE_", "CLOUDSDK_")
EXTRA = "gcp"
FOUNDATION = True
BAKES = IN_ZONES = True

UNMADE: Mapping[str, str] = {"tpu-": "TPU machines cannot be made yet"}

PROBES: tuple[Probe, ...] = (
    Probe(
        url="http://metadata.google.internal/computeMetadata/v1/instance/preempted?alt=json",
        every_s=5.0,
        member="",
        values=("TRUE",),
        headers={"Metadata-Flavor": "Google"},
    ),
)


def offers() -> tuple[Offer, ...]:
    """Nothing beside the catalog."""
    return ()


def configured() -> bool:
    """Does the environment or the file of `gcloud auth application-default login` name credentials?"""
    if any(os.environ.get(name) for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN")):
        return True
    folder = os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud"
    return (Path(folder) / "application_default_credentials.json").exists()


def check() -> tuple[Check, ...]:
    """SDK, credentials, project, missing permissions by name."""
    from stacks.gcp import checking

    return checking.check()


def build(spec: StackSpec) -> None:
    """Identity, bucket, secret containers, firewalls, `node-<rank>`; exports `nodes` and `store`."""
    from stacks.gcp import stack

    stack.build(spec)


def foundation(spec: Foundation) -> None:
    """A network with one subnetwork in the region, and a firewall that lets Identity-Aware Proxy reach port 22."""
    from stacks.gcp import network

    network.foundation(spec)


def idle(spec: Foundation) -> tuple[Idle, ...]:
    """The network; none of it is billed."""
    says = "network, subnetwork and firewall are not billed"
    return (Idle(f"network {spec.name} in {spec.region}", 0.0, says),)


def kept(spec: StackSpec, stores: Sequence[Store] = ()) -> tuple[Idle, ...]:
    """The buckets in which a checkpoint may lie."""
    from stacks import keeping

    return keeping.stores(
        spec,
        stores,
        "gcs",
        lambda one: (f"bucket gs://{one.bucket}", f"gcloud storage rm --recursive gs://{one.bucket}"),
    )


def write_secrets(spec: StackSpec, values: Mapping[str, str]) -> None:
    """The values as versions of the stack's secrets; one that holds its value already is left alone."""
    from stacks.gcp import containers

    containers.write(spec, values)


def inventory(project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
    """Instances with our labels that run, are about to, or are stopped, in all zones of the Google project."""
    from stacks.gcp import instances

    return instances.inventory(project, scope)


def remove(node: str, scope: Scope = ANYWHERE) -> None:
    """Delete one instance. Idempotent."""
    from stacks.gcp import instances

    instances.remove(node, scope)


def sweep(
    spec: StackSpec | Foundation, known: frozenset[str], scope: Scope = ANYWHERE, look: bool = False
) -> tuple[str, ...]:
    """Delete what a create that was cut off left of a stack beside nodes: all of its things that are not `known`."""
    from stacks.gcp import sweeping

    return sweeping.sweep(spec, known, look)


def traces(spec: StackSpec | Foundation) -> Traces:
    """Labels of what can have some; networks, firewalls and service accounts are found by name."""
    from stacks.gcp import names

    found = {key: value for key, value in names.labels(spec).items() if key in (names.PROJECT, names.STACK)}
    project = f" --scope=projects/{spec.given.account}" if spec.given.account else ""
    query = " AND ".join(f"labels.{key}={value}" for key, value in found.items())
    named = names.deployment(spec) if isinstance(spec, StackSpec) else names.network(spec, spec.name)
    commands = [f'gcloud asset search-all-resources{project} --query="{query}"']
    commands.append(f'gcloud asset search-all-resources{project} --query="name:{named}"')
    return Traces(found, tuple(commands))


def stop(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Stop instances."""
    from stacks.gcp import instances

    instances.each(nodes, "stop", scope)


def start(nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
    """Start stopped instances."""
    from stacks.gcp import instances

    instances.each(nodes, "start", scope)


def verify(node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
    """Is `proof` an identity token that Google signed for the instance `node`?"""
    from stacks.gcp import proof as proving

    return proving.holds(node, proof)


def access(node: str, scope: Scope = ANYWHERE) -> Access:
    """Command lines of gcloud through Identity-Aware Proxy: no port is open to the world for them."""
    from stacks.gcp import instances

    return instances.access(node, scope)


def preempt(node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
    """With a notice: a simulated maintenance event, which preempts a spot instance; else delete it at once."""
    from stacks.gcp import instances

    instances.preempt(node, notice_s, scope)


def kill_agent(node: str, scope: Scope = ANYWHERE) -> int:
    """Raises Problems cloud/no-agent: Google Cloud runs no command on an instance for us."""
    from compiler.problem import Problem, Problems

    says = "on Google Cloud nothing but a shell reaches an agent's process"
    raise Problems(Problem("cloud/no-agent", says, hint="`invoke ssh` and kill it there"))
