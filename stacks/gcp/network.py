"""The network on Google Cloud: what a foundation is made of, and the firewalls of one deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from stacks import network
from stacks.gcp import names

if TYPE_CHECKING:
    import pulumi
    import pulumi_gcp as gcp

CIDR = "10.64.0.0/20"
MTU = 8896
"""The largest that Google has: gangs exchange large messages."""

PROXY = "35.235.240.0/20"
"""Where connections of Identity-Aware Proxy come from."""

EVERYWHERE = "0.0.0.0/0"
NODES = "skywright"
"""The network tag that all our nodes carry."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where nodes go. `public`: they get an address of their own, since the network has no other way out."""

    network: pulumi.Input[str]
    subnetwork: pulumi.Input[str]
    public: bool
    project: str


def provider(spec: StackSpec | Foundation, project: str) -> gcp.Provider:
    """Google Cloud in the region of the stack, and in its project."""
    import pulumi_gcp as gcp

    return gcp.Provider("gcp", gcp.ProviderArgs(project=project, region=spec.region))


def foundation(spec: Foundation) -> None:
    """One subnetwork, from which Google's own services are reached without an address; SSH by its proxy alone."""
    import pulumi
    import pulumi_gcp as gcp

    from stacks.cloud import Scope
    from stacks.gcp import session

    options = pulumi.ResourceOptions(provider=provider(spec, session.project(Scope.of(spec))))
    name = names.network(spec, spec.name)
    made = gcp.compute.Network(
        "network",
        gcp.compute.NetworkArgs(
            name=f"{name}-{spec.region}",
            auto_create_subnetworks=False,
            mtu=MTU,
            routing_mode="REGIONAL",
            description="Nodes of skywright",
        ),
        opts=options,
    )
    gcp.compute.Subnetwork(
        "subnetwork",
        gcp.compute.SubnetworkArgs(
            name=f"{name}-{spec.region}",
            network=made.id,
            region=spec.region,
            ip_cidr_range=CIDR,
            private_ip_google_access=True,
        ),
        opts=options,
    )
    gcp.compute.Firewall(
        "shells",
        gcp.compute.FirewallArgs(
            name=f"{name}-{spec.region}-shells",
            network=made.id,
            direction="INGRESS",
            source_ranges=[PROXY],
            target_tags=[NODES],
            allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["22"])],
        ),
        opts=options,
    )


def place(spec: StackSpec, project: str, asking: pulumi.InvokeOptions) -> Place:
    """The subnetwork of the region, looked up: in our foundation's network, or in the given one."""
    import pulumi_gcp as gcp

    given = spec.given
    if given.network is None and spec.network is not None:
        name = f"{names.network(spec, spec.network)}-{spec.region}"
        found = network.looked_up(
            lambda: gcp.compute.get_subnetwork_output(
                name=name, project=project, region=spec.region, opts=asking
            ).apply(lambda one: (one.network, one.self_link))
        )
        return Place(found.apply(lambda both: both[0]), found.apply(lambda both: both[1]), True, project)
    if given.network is None:
        says = "nodes need a network: none is given, and none of ours is asked for"
        hint = "name one in `networking: vpc_name`, or compile again"
        raise Problems(Problem("cloud/no-network", says, hint=hint))
    # Of a network that is shared by another project: `projects/HOST/global/networks/NAME`.
    host = owner(given.network) or project
    whole = gcp.compute.get_network_output(name=given.network.rpartition("/")[2], project=host, opts=asking)
    subnet = gcp.compute.get_subnetwork_output(
        name=(given.subnet or given.network).rpartition("/")[2],
        project=host,
        region=spec.region,
        opts=asking,
    )
    return Place(
        whole.apply(lambda one: one.self_link), subnet.apply(lambda one: one.self_link), False, project
    )


def owner(network: str) -> str | None:
    """The project that a network's name says."""
    return network.split("/")[1] if network.startswith("projects/") else None


def shared(network: str | None, project: str) -> bool:
    """Is it another project's?"""
    return network is not None and owner(network) not in (None, project)


def firewalls(spec: StackSpec, where: Place, options: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Nodes of a gang reach each other; asked ports are open to everybody; nothing else comes in.

    With tags of the team's its own firewalls alone say who may come in. Raises Problems cloud/no-access on a network
    of another project, where Google lets only that project make firewalls.
    """
    import pulumi_gcp as gcp

    if spec.given.security_groups:
        return []
    if (spec.nodes > 1 or spec.ports) and shared(spec.given.network, where.project):
        says = (
            f"the network {spec.given.network} is another project's, which alone can open it to these nodes"
        )
        hint = "`networking: security_groups` names network tags that its firewalls let in"
        raise Problems(Problem("cloud/no-access", says, hint=hint))
    tag = names.deployment(spec)
    made: list[pulumi.Resource] = []
    if spec.nodes > 1:
        made.append(
            gcp.compute.Firewall(
                "gang",
                gcp.compute.FirewallArgs(
                    name=f"{tag[:58]}-gang",
                    network=where.network,
                    direction="INGRESS",
                    source_tags=[tag],
                    target_tags=[tag],
                    allows=[gcp.compute.FirewallAllowArgs(protocol="all")],
                ),
                opts=options,
            )
        )
    if spec.ports:
        made.append(
            gcp.compute.Firewall(
                "ports",
                gcp.compute.FirewallArgs(
                    name=f"{tag[:57]}-ports",
                    network=where.network,
                    direction="INGRESS",
                    source_ranges=[EVERYWHERE],
                    target_tags=[tag],
                    allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=list(spec.ports))],
                ),
                opts=options,
            )
        )
    return made


def tags(spec: StackSpec) -> list[str]:
    """Network tags of a node: what firewalls aim at, and those of the team."""
    return [NODES, names.deployment(spec), *spec.given.security_groups]
