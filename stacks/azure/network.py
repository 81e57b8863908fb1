"""The network on Azure: what a foundation is made of, and the firewall and addresses of one deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from stacks import network
from stacks.azure import names

if TYPE_CHECKING:
    import pulumi
    import pulumi_azure_native as azure

CIDR, NODES = "10.64.0.0/16", "10.64.0.0/20"
SUBNET = "nodes"


@dataclass(frozen=True, slots=True)
class Place:
    """Where nodes go. `public`: they get an address of their own, since the network has no other way out."""

    subnet: pulumi.Input[str]
    public: bool


def provider(spec: StackSpec | Foundation, subscription: str) -> azure.Provider:
    """Azure in the subscription and the region of the stack."""
    import pulumi_azure_native as azure

    return azure.Provider("azure", azure.ProviderArgs(subscription_id=subscription, location=spec.region))


def foundation(spec: Foundation) -> None:
    """One subnet, whose way to storage stays inside Azure. What comes from outside ends at Azure's own rules."""
    import pulumi
    from pulumi_azure_native import network as net
    from pulumi_azure_native import resources

    from stacks.azure import session
    from stacks.cloud import Scope

    options = pulumi.ResourceOptions(provider=provider(spec, session.subscription(Scope.of(spec))))
    group = resources.ResourceGroup(
        "group",
        resources.ResourceGroupArgs(
            resource_group_name=names.group(spec), location=spec.region, tags=names.tags(spec)
        ),
        opts=options,
    )
    whole = net.VirtualNetwork(
        "network",
        resource_group_name=group.name,
        virtual_network_name=spec.name,
        location=spec.region,
        address_space=net.AddressSpaceArgs(address_prefixes=[CIDR]),
        tags=names.tags(spec),
        opts=options,
    )
    net.Subnet(
        "subnet",
        resource_group_name=group.name,
        virtual_network_name=whole.name,
        subnet_name=SUBNET,
        address_prefix=NODES,
        service_endpoints=[net.ServiceEndpointPropertiesFormatArgs(service="Microsoft.Storage")],
        opts=options,
    )


def place(spec: StackSpec, asking: pulumi.InvokeOptions) -> Place:
    """The subnet, looked up: in our foundation's network, or in the given one (`GROUP/NAME`)."""
    from pulumi_azure_native import network as net

    given = spec.given
    ours = spec.foundation
    if given.network is None and ours is not None:
        found = network.looked_up(
            lambda: net.get_subnet_output(
                resource_group_name=names.group(ours),
                virtual_network_name=ours.name,
                subnet_name=SUBNET,
                opts=asking,
            ).apply(lambda one: one.id or "")
        )
        return Place(found, public=True)
    if given.network is None:
        says = "nodes need a network: none is given, and none of ours is asked for"
        hint = "name one in `networking: vpc_name`, or compile again"
        raise Problems(Problem("cloud/no-network", says, hint=hint))
    group, _, name = given.network.rpartition("/")
    subnet = net.get_subnet_output(
        resource_group_name=group or given.group or names.group(spec),
        virtual_network_name=name,
        subnet_name=given.subnet or "default",
        opts=asking,
    )
    return Place(subnet.apply(lambda one: one.id or ""), public=False)


def firewall(
    spec: StackSpec,
    group: pulumi.Input[str],
    options: pulumi.ResourceOptions,
    asking: pulumi.InvokeOptions,
) -> pulumi.Output[str]:
    """Nodes of one network reach each other, asked ports are open to everybody; nothing else comes in.

    A given group is looked up, as GROUP/NAME or by its name beside what is made, and alone says who may come in.
    """
    from pulumi_azure_native import network as net

    given = spec.given.security_groups
    if len(given) > 1:
        says = f"Azure takes one security group for a machine, and {len(given)} are named: {', '.join(given)}"
        raise Problems(Problem("cloud/refused", says, hint="name the one that has the rules of all"))
    if given:
        there, _, name = given[0].rpartition("/")
        found = net.get_network_security_group_output(
            resource_group_name=there or spec.given.group or names.group(spec),
            network_security_group_name=name,
            opts=asking,
        )
        return found.apply(lambda one: one.id or "")
    rules = []
    if spec.ports:
        rules.append(
            net.SecurityRuleArgs(
                name="ports",
                priority=200,
                direction="Inbound",
                access="Allow",
                protocol="Tcp",
                source_address_prefix="Internet",
                source_port_range="*",
                destination_address_prefix="*",
                destination_port_ranges=list(spec.ports),
            )
        )
    made = net.NetworkSecurityGroup(
        "firewall",
        resource_group_name=group,
        network_security_group_name=names.deployment(spec),
        location=spec.region,
        security_rules=rules,
        tags=names.tags(spec),
        opts=options,
    )
    return made.id


def interface(
    spec: StackSpec,
    rank: int,
    group: pulumi.Input[str],
    where: Place,
    closed: pulumi.Input[str],
    options: pulumi.ResourceOptions,
) -> azure.network.NetworkInterface:
    """A rank's way into the network: it stays when the machine is replaced, and so does the node's address."""
    from pulumi_azure_native import network as net

    address = None
    if where.public:
        made = net.PublicIPAddress(
            f"address-{rank}",
            resource_group_name=group,
            public_ip_address_name=names.node(spec, rank),
            location=spec.region,
            sku=net.PublicIPAddressSkuArgs(name="Standard"),
            public_ip_allocation_method="Static",
            zones=[spec.zone] if spec.zone and spec.zone.isdigit() else None,
            tags=names.tags(spec, rank),
            opts=options,
        )
        address = net.PublicIPAddressArgs(id=made.id)
    return net.NetworkInterface(
        f"interface-{rank}",
        resource_group_name=group,
        network_interface_name=names.node(spec, rank),
        location=spec.region,
        enable_accelerated_networking=True if spec.network_tier == "best" else None,
        network_security_group=net.NetworkSecurityGroupArgs(id=closed),
        ip_configurations=[
            net.NetworkInterfaceIPConfigurationArgs(
                name="first",
                subnet=net.SubnetArgs(id=where.subnet),
                private_ip_allocation_method="Dynamic",
                public_ip_address=address,
            )
        ],
        tags=names.tags(spec, rank),
        opts=options,
    )
