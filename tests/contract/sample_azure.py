"""What the contract suite knows of `azure`: answers of its look-ups, and the rules of its names."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compiler.spec import Given
from tests.contract.samples import Sample

RULES = {
    "azure-native:resources:ResourceGroup": ("resourceGroupName", r"[-\w._()]{0,89}[-\w_()]"),
    "azure-native:storage:StorageAccount": ("accountName", r"[a-z0-9]{3,24}"),
    "azure-native:managedidentity:UserAssignedIdentity": ("resourceName", r"[a-zA-Z0-9][-\w]{2,127}"),
    "azure-native:network:NetworkSecurityGroup": (
        "networkSecurityGroupName",
        r"[a-zA-Z0-9]([\w.-]{0,78}\w)?",
    ),
    "azure-native:network:NetworkInterface": ("networkInterfaceName", r"[a-zA-Z0-9]([\w.-]{0,78}\w)?"),
    "azure-native:network:PublicIPAddress": ("publicIpAddressName", r"[a-zA-Z0-9]([\w.-]{0,78}\w)?"),
    "azure-native:network:VirtualNetwork": ("virtualNetworkName", r"[a-zA-Z0-9]([\w.-]{0,62}\w)?"),
    "azure-native:compute:VirtualMachine": ("vmName", r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,62}[a-zA-Z0-9])?"),
}


@dataclass(frozen=True)
class Azure(Sample):
    def opens(self, resource: Mapping[str, Any]) -> list[str]:
        rules = resource["inputs"].get("securityRules") or ()
        return [port for rule in rules for port in rule["destinationPortRanges"]]

    def names(self, resource: Mapping[str, Any]) -> list[str]:
        inputs, kind = resource["inputs"], resource["type"]
        wrong = []
        if kind in RULES:
            member, rule = RULES[kind]
            if not re.fullmatch(rule, inputs[member], re.ASCII):
                wrong.append(f"{kind}: {inputs[member]!r}")
        tags = inputs.get("tags") or {}
        for key, value in tags.items():
            if len(key) > 512 or len(value) > 256 or re.search(r"[<>%&\\?/]", key):
                wrong.append(f"{kind}: tag {key!r}: {value!r}")
        return wrong if len(tags) <= 50 else [*wrong, f"{kind}: {len(tags)} tags"]

    def user_data(self, node: Mapping[str, Any]) -> str:
        return base64.b64decode(node["inputs"]["osProfile"]["customData"]).decode()


def _event(kind: str) -> dict[str, Any]:
    return {"EventId": "an-id", "EventType": kind, "Resources": ["train-0"], "NotBefore": ""}


SAMPLE = Azure(
    region="eastus",
    zone="1",
    machine="Standard_NC24ads_A100_v4",
    image="microsoft-dsvm:ubuntu-hpc:2204:latest",
    network="skywright-proj",
    given=Given(
        account="00000000-0000-4000-8000-000000000001",
        network="team-network/team",
        subnet="nodes",
        security_groups=("team-network/nodes",),
        role="team-identities/nodes",
        key="/subscriptions/0/resourceGroups/team/providers/Microsoft.Compute/diskEncryptionSets/team",
        ssh_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO5RzVhaTzSMbmoTpQ0wzAyNRSVJhJrXLGxSzEAYKpqb team",
        group="team-deployments",
    ),
    env={"ARM_SUBSCRIPTION_ID": "00000000-0000-4000-8000-000000000001"},
    answers={
        "azure-native:network:getSubnet": {"id": "/subscriptions/0/subnets/nodes"},
        "azure-native:network:getNetworkSecurityGroup": {"id": "/subscriptions/0/securityGroups/nodes"},
        "azure-native:authorization:getClientConfig": {"tenantId": "00000000-0000-4000-8000-00000000000f"},
        "azure-native:managedidentity:getUserAssignedIdentity": {
            "id": "/subscriptions/0/identities/nodes",
            "principalId": "00000000-0000-4000-8000-00000000000a",
            "clientId": "00000000-0000-4000-8000-00000000000b",
        },
    },
    outputs={
        "azure-native:resources:ResourceGroup": {"name": "group-of-{name}"},
        "azure-native:compute:VirtualMachine": {"vmId": "number-of-{name}", "identity": {}},
        "azure-native:network:NetworkInterface": {"ipConfigurations": [{"privateIPAddress": "10.64.0.4"}]},
        "azure-native:managedidentity:UserAssignedIdentity": {
            "principalId": "00000000-0000-4000-8000-00000000000a",
            "clientId": "00000000-0000-4000-8000-00000000000b",
        },
        "azure-native:storage:StorageAccount": {"name": "account-of-{name}"},
        "azure-native:storage:BlobContainer": {"name": "container-of-{name}"},
        "azure-native:keyvault:Vault": {"name": "vault"},
    },
    spot='"priority": "Spot"',
    tags="tags",
    untagged=frozenset(
        {
            "azure-native:authorization:RoleAssignment",
            "azure-native:network:Subnet",
            "azure-native:storage:BlobContainer",
        }
    ),
    lost=((0, {"DocumentIncarnation": 2, "Events": [_event("Freeze"), _event("Preempt")]}),),
    kept=(
        (0, {"DocumentIncarnation": 1, "Events": []}),
        (0, {"DocumentIncarnation": 1, "Events": [_event("Freeze"), _event("Reboot")]}),
    ),
)
