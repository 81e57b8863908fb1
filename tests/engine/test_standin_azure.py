"""The stand-in `azure-native` behind the unmodified SDK: one life of a small stack, and what it refuses."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.standins import inventory, refusals
from tests.standins.fixtures import Bench, touch
from tests.standins.store import Store

pytestmark = pytest.mark.engine
PROVIDERS = ("azure-native",)

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGNvbWUgb24gdGhpcyBpcyBub3QgYSBrZXkgYXQgYWxsIQ=="


@pytest.fixture(autouse=True)
def sdk() -> None:
    touch("pulumi_azure_native.compute.VirtualMachine", "pulumi_azure_native.network.VirtualNetwork")
    touch("pulumi_azure_native.resources.ResourceGroup", "pulumi_azure_native.storage.StorageAccount")
    touch("pulumi_azure_native.managedidentity.UserAssignedIdentity", "pulumi_azure_native.Provider")
    touch("pulumi_azure_native.authorization.RoleAssignment", "pulumi_azure_native.keyvault.Vault")


def others(there: Any, group: Any, account: Any, container: Any) -> None:
    """The kinds that the rest of the program does not have."""
    import pulumi
    import pulumi_azure_native as azure

    address = azure.network.PublicIPAddress(
        "address",
        azure.network.PublicIPAddressInitArgs(
            resource_group_name=group.name,
            public_ip_allocation_method="Static",
            sku=azure.network.PublicIPAddressSkuArgs(name="Standard"),
        ),
        there,
    )
    azure.network.NatGateway(
        "nat",
        azure.network.NatGatewayInitArgs(
            resource_group_name=group.name,
            public_ip_addresses=[azure.network.SubResourceArgs(id=address.id)],
            sku=azure.network.NatGatewaySkuArgs(name="Standard"),
        ),
        there,
    )
    azure.compute.ProximityPlacementGroup(
        "together",
        azure.compute.ProximityPlacementGroupArgs(
            resource_group_name=group.name, proximity_placement_group_type="Standard", tags={"team": "nlp"}
        ),
        there,
    )
    azure.compute.DiskEncryptionSet(
        "encrypted",
        azure.compute.DiskEncryptionSetArgs(
            resource_group_name=group.name,
            encryption_type="EncryptionAtRestWithCustomerKey",
            identity=azure.compute.EncryptionSetIdentityArgs(type="SystemAssigned"),
            active_key=azure.compute.KeyForDiskEncryptionSetArgs(
                key_url="https://v.vault.azure.net/keys/k/1"
            ),
        ),
        there,
    )
    azure.storage.Blob(
        "agent",
        azure.storage.BlobArgs(
            resource_group_name=group.name,
            account_name=account.name,
            container_name=container.name,
            source=pulumi.StringAsset("print('agent')"),
        ),
        there,
    )


def program(
    nodes: int = 2, tags: dict[str, str] | None = None, custom_data: str = "#!/bin/sh\n", **more: Any
) -> Callable[[], None]:
    """A group with a network, an identity with a right, storage, a vault, and spot nodes."""

    def build() -> None:
        import pulumi
        import pulumi_azure_native as azure

        there = pulumi.ResourceOptions(
            provider=azure.Provider("azure", subscription_id=SUBSCRIPTION, location="westeurope")
        )
        group = azure.resources.ResourceGroup(
            "group", azure.resources.ResourceGroupArgs(resource_group_name="train"), there
        )
        guard = azure.network.NetworkSecurityGroup(
            "guard",
            azure.network.NetworkSecurityGroupInitArgs(
                resource_group_name=group.name,
                security_rules=[
                    azure.network.SecurityRuleArgs(
                        name="none",
                        priority=4096,
                        direction="Inbound",
                        access="Deny",
                        protocol="*",
                        source_address_prefix="Internet",
                        source_port_range="*",
                        destination_address_prefix="*",
                        destination_port_range="*",
                    )
                ],
            ),
            there,
        )
        network = azure.network.VirtualNetwork(
            "network",
            azure.network.VirtualNetworkInitArgs(
                resource_group_name=group.name,
                address_space=azure.network.AddressSpaceArgs(address_prefixes=["10.0.0.0/16"]),
            ),
            there,
        )
        subnet = azure.network.Subnet(
            "subnet",
            azure.network.SubnetInitArgs(
                resource_group_name=group.name,
                virtual_network_name=network.name,
                address_prefix="10.0.0.0/20",
                network_security_group=azure.network.NetworkSecurityGroupArgs(id=guard.id),
            ),
            there,
        )
        who = azure.managedidentity.UserAssignedIdentity(
            "who", azure.managedidentity.UserAssignedIdentityArgs(resource_group_name=group.name), there
        )
        account = azure.storage.StorageAccount(
            "account",
            azure.storage.StorageAccountArgs(
                resource_group_name=group.name,
                kind=azure.storage.Kind.STORAGE_V2,
                sku=azure.storage.SkuArgs(name=azure.storage.SkuName.STANDARD_LRS),
            ),
            there,
        )
        container = azure.storage.BlobContainer(
            "container",
            azure.storage.BlobContainerArgs(
                resource_group_name=group.name, account_name=account.name, container_name="train"
            ),
            there,
        )
        azure.authorization.RoleAssignment(
            "reads",
            azure.authorization.RoleAssignmentArgs(
                scope=container.id,
                principal_id=who.principal_id,
                principal_type=azure.authorization.PrincipalType.SERVICE_PRINCIPAL,
                role_definition_id=f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{READER}",
            ),
            there,
        )
        azure.keyvault.Vault(
            "vault",
            azure.keyvault.VaultArgs(
                resource_group_name=group.name,
                vault_name="train-4f2c",
                properties=azure.keyvault.VaultPropertiesArgs(
                    tenant_id=SUBSCRIPTION,
                    enable_rbac_authorization=True,
                    sku=azure.keyvault.SkuArgs(family="A", name=azure.keyvault.SkuName.STANDARD),
                ),
            ),
            there,
        )
        others(there, group, account, container)
        made = []
        for rank in range(nodes):
            card = azure.network.NetworkInterface(
                f"card-{rank}",
                azure.network.NetworkInterfaceArgs(
                    resource_group_name=group.name,
                    enable_accelerated_networking=True,
                    ip_configurations=[
                        azure.network.NetworkInterfaceIPConfigurationArgs(
                            name="main", subnet=azure.network.SubnetArgs(id=subnet.id)
                        )
                    ],
                ),
                there,
            )
            vm = azure.compute.VirtualMachine(
                f"node-{rank}",
                azure.compute.VirtualMachineArgs(
                    resource_group_name=group.name,
                    vm_name=f"train-{rank}",
                    zones=["2"],
                    priority=azure.compute.VirtualMachinePriorityTypes.SPOT,
                    eviction_policy=azure.compute.VirtualMachineEvictionPolicyTypes.DELETE,
                    billing_profile=azure.compute.BillingProfileArgs(max_price=-1),
                    hardware_profile=azure.compute.HardwareProfileArgs(vm_size="Standard_ND96isr_H100_v5"),
                    identity=azure.compute.VirtualMachineIdentityArgs(
                        type=azure.compute.ResourceIdentityType.USER_ASSIGNED,
                        user_assigned_identities=[who.id],
                    ),
                    network_profile=azure.compute.NetworkProfileArgs(
                        network_interfaces=[
                            azure.compute.NetworkInterfaceReferenceArgs(id=card.id, primary=True)
                        ]
                    ),
                    os_profile=azure.compute.OSProfileArgs(
                        computer_name=f"train-{rank}",
                        admin_username="skywright",
                        custom_data=base64.b64encode(custom_data.encode()).decode(),
                        linux_configuration=azure.compute.LinuxConfigurationArgs(
                            disable_password_authentication=True,
                            ssh=azure.compute.SshConfigurationArgs(
                                public_keys=[
                                    azure.compute.SshPublicKeyArgs(
                                        key_data=KEY, path="/home/skywright/.ssh/authorized_keys"
                                    )
                                ]
                            ),
                        ),
                    ),
                    storage_profile=azure.compute.StorageProfileArgs(
                        image_reference=azure.compute.ImageReferenceArgs(
                            publisher="microsoft-dsvm",
                            offer="ubuntu-hpc",
                            sku="2204",
                            version="22.04.2026010101",
                        ),
                        os_disk=azure.compute.OSDiskArgs(
                            create_option=azure.compute.DiskCreateOptionTypes.FROM_IMAGE,
                            delete_option=azure.compute.DiskDeleteOptionTypes.DELETE,
                            disk_size_gb=200,
                        ),
                    ),
                    tags={"rank": str(rank), **(tags or {})},
                    **more,
                ),
                pulumi.ResourceOptions.merge(there, pulumi.ResourceOptions(delete_before_replace=True)),
            )
            made.append((vm, card))
        pulumi.export(
            "nodes",
            [{"id": vm.id, "address": card.ip_configurations[0].private_ip_address} for vm, card in made],
        )

    return build


@pytest.mark.soak  # lives on this stand-in show the same of it
def test_one_life(bench: Bench, store: Store) -> None:
    assert set(bench.preview(program()).changes) == {"create"}
    assert store.kinds("azure-native") == []

    bench.up(program())
    nodes = inventory.azure(store)
    assert [(one.name, one.zone, one.alive) for one in nodes] == [
        ("train-0", "westeurope-2", True),
        ("train-1", "westeurope-2", True),
    ]
    assert bench.preview(program()).changes == {}

    tagged = program(tags={"team": "nlp"})
    assert bench.up(tagged).changes == {"update": 2}
    assert [one.unique for one in inventory.azure(store)] == [one.unique for one in nodes]

    replaced = bench.up(tagged, replace=[bench.resources()["node-1"]["urn"]])
    assert replaced.of("replace") == ["node-1"]
    again = inventory.azure(store)
    assert again[0].unique == nodes[0].unique
    assert again[1].unique != nodes[1].unique

    inventory.lose(store, again[0].id)
    bench.refresh(tagged)
    assert "node-0" not in bench.resources()
    after = bench.up(tagged)
    assert (after.changes, after.differ) == ({"create": 1}, ())

    bench.destroy(tagged)
    assert bench.resources() == {}
    assert store.kinds("azure-native") == []


def test_the_cloud_refuses_in_its_own_words(bench: Bench, store: Store) -> None:
    bench.up(program(nodes=1))
    store.refuse(
        "azure-native",
        "VirtualMachine",
        refusals.azure_no_size("Standard_ND96isr_H100_v5", "westeurope"),
        zone="westeurope-2",
    )
    assert "SkuNotAvailable" in bench.refused(program())
    assert len(inventory.azure(store)) == 1
    assert bench.up(program()).changes == {"create": 1}
    said = bench.refused(program(custom_data="#!/bin/sh\necho changed\n"))
    assert "Changing property 'osProfile.customData' is not allowed" in said
