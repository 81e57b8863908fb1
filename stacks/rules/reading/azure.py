"""What resource types of Azure mean for rules. Everything that rests there is encrypted, if by Azure's key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.rules.facts import EVERY, EVERYBODY, Address, Disk, Fact, Machine, Opening, Tags
from stacks.rules.reading import Read, acting, listed, mapped, nothing, text, texts

Inputs = Mapping[str, Any]

ANYBODY = frozenset({"*", "internet", "any"})
"""Azure's words for sources that anybody is in."""


def _tagged(inputs: Inputs) -> Iterable[Fact]:
    yield Tags(texts(inputs.get("tags")))


def _machine(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    yield Machine(str(inputs.get("priority", "")).lower() == "spot")
    given = mapped(inputs.get("identity")).get("userAssignedIdentities")
    for role in given if isinstance(given, list) else mapped(given):
        yield from acting(role)
    storage = mapped(inputs.get("storageProfile"))
    disks = [("its system disk", storage.get("osDisk"))]
    disks += [("a data disk", one) for one in listed(storage.get("dataDisks"))]
    for what, disk in disks:
        managed = mapped(mapped(disk).get("managedDisk"))
        key = mapped(managed.get("diskEncryptionSet")).get("id")
        yield Disk(what, True, key and text(key))


def _identity(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    yield from acting(inputs.get("resourceName"))


def _disk(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    key = mapped(inputs.get("encryption")).get("diskEncryptionSetId")
    yield Disk("the disk", True, key and text(key))


def _storage(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    by = mapped(mapped(inputs.get("encryption")).get("keyVaultProperties"))
    key = by.get("keyName")
    yield Disk("the storage account", True, key and f"{text(by.get('keyVaultUri', ''))}keys/{text(key)}")


def _firewall(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    for rule in listed(inputs.get("securityRules")):
        yield from _rule(rule)


def _rule(inputs: Inputs) -> Iterable[Fact]:
    if (inputs.get("direction"), inputs.get("access")) != ("Inbound", "Allow"):
        return
    given = [inputs.get("sourceAddressPrefix"), *listed(inputs.get("sourceAddressPrefixes"))]
    sources = tuple(EVERYBODY[0] if str(one).lower() in ANYBODY else str(one) for one in given if one)
    protocol = str(inputs.get("protocol", "*")).lower().replace("*", "all")
    ports = [inputs.get("destinationPortRange"), *listed(inputs.get("destinationPortRanges"))]
    for one in (str(one) for one in ports if one):
        first, _, last = one.partition("-")
        whole = (int(first), int(last or first)) if first.isdigit() else EVERY
        if sources and sources != ("VirtualNetwork",):
            yield Opening(*whole, protocol, sources)


def _address(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    yield Address("a public address")


TYPES: dict[str, Read] = {
    "azure-native:authorization:RoleAssignment": nothing,
    "azure-native:compute:Disk": _disk,
    "azure-native:compute:Image": _tagged,
    "azure-native:compute:ProximityPlacementGroup": _tagged,
    "azure-native:compute:VirtualMachine": _machine,
    "azure-native:keyvault:Vault": _tagged,
    "azure-native:managedidentity:UserAssignedIdentity": _identity,
    "azure-native:network:NetworkInterface": _tagged,
    "azure-native:network:NetworkSecurityGroup": _firewall,
    "azure-native:network:PublicIPAddress": _address,
    "azure-native:network:SecurityRule": _rule,
    "azure-native:network:Subnet": nothing,
    "azure-native:network:VirtualNetwork": _tagged,
    "azure-native:resources:ResourceGroup": _tagged,
    "azure-native:storage:Blob": nothing,
    "azure-native:storage:BlobContainer": nothing,
    "azure-native:storage:StorageAccount": _storage,
}
