"""The stand-in for the provider `azure-native`: resources in the stand-ins' file, refused as Azure's API refuses."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from tests.standins.azure_machine import MACHINE
from tests.standins.azure_names import (
    CLOUD_NAME,
    arm,
    find,
    group_id,
    guid,
    refuse,
    subscription,
    tags_wrong,
)
from tests.standins.kind import Ask, Cloud, Kind
from tests.standins.shape import Wrong, unknown
from tests.standins.stored import at, stored

Arguments = Mapping[str, Any]


# ResourceGroup


def _with_its_parts(ask: Ask) -> None:
    """With a group, an account or a container goes everything in it."""
    for kind, name in ask.store.kinds(CLOUD_NAME):
        if name.lower().startswith(f"{ask.id.lower()}/"):
            ask.store.drop(CLOUD_NAME, kind, name)


def _group_rules(inputs: Arguments) -> Iterator[Wrong]:
    name = inputs.get("resourceGroupName", "a")
    if not unknown(name) and not re.fullmatch(r"[-\w._()]{0,89}[-\w_()]", name):
        yield "resourceGroupName", f"'{name}' is no name of a resource group"
    yield from tags_wrong(inputs)


GROUP = stored(
    CLOUD_NAME,
    "ResourceGroup",
    lambda ask: group_id(ask, ask.inputs["resourceGroupName"]),
    lambda ask, name: {
        "name": ask.inputs["resourceGroupName"],
        "type": "Microsoft.Resources/resourceGroups",
        "location": str(ask.inputs.get("location") or ask.config.get("location") or "")
        .replace(" ", "")
        .lower(),
        "properties": {"provisioningState": "Succeeded"},
    },
    replaces=("resourceGroupName", "location"),
    rules=_group_rules,
    remove=_with_its_parts,
    exists="cannot create already existing resource '{}'",
    name="resourceGroupName",
    delete_first=True,
    kept=frozenset({"location"}),
)


# Networks

_VNETS = "Microsoft.Network/virtualNetworks"

NETWORK = arm(
    "VirtualNetwork",
    _VNETS,
    "virtualNetworkName",
    outputs=lambda ask, path: {
        "resourceGuid": guid(path),
        "etag": 'W/"1"',
        "subnets": [
            {"id": f"{path}/subnets/{one.get('name')}", "provisioningState": "Succeeded", **one}
            for one in ask.inputs.get("subnets") or ()
        ],
    },
    used="InUseSubnetCannotBeDeleted",
)


def _subnet_check(ask: Ask) -> None:
    holder = f"{group_id(ask, ask.inputs['resourceGroupName'])}/providers/{_VNETS}/{ask.inputs['virtualNetworkName']}"
    if find(ask, "VirtualNetwork", holder) is None:
        raise refuse(404, "ResourceNotFound", f"The Resource '{holder}' was not found.")


SUBNET = arm(
    "Subnet",
    f"{_VNETS}/{{virtualNetworkName}}/subnets",
    "subnetName",
    parent=("virtualNetworkName",),
    outputs=lambda ask, path: {"etag": 'W/"1"', "purpose": ""},
    refers={"networkSecurityGroup.id": "NetworkSecurityGroup", "natGateway.id": "NatGateway"},
    check=_subnet_check,
    used="InUseSubnetCannotBeDeleted",
    placed=False,
)


def _rules_of_group(inputs: Arguments) -> Iterator[Wrong]:
    seen: set[tuple[Any, Any]] = set()
    for one in inputs.get("securityRules") or ():
        if not isinstance(one, Mapping):
            continue
        key = (one.get("direction"), one.get("priority"))
        priority = one.get("priority")
        if isinstance(priority, int) and not 100 <= priority <= 4096:
            yield "securityRules", f"priority {priority} is not between 100 and 4096"
        if key in seen:
            yield "securityRules", f"two rules have the direction and priority {key}"
        seen.add(key)
        for side in ("source", "destination"):
            if not any(
                each in one
                for each in (
                    f"{side}AddressPrefix",
                    f"{side}AddressPrefixes",
                    f"{side}ApplicationSecurityGroups",
                )
            ):
                yield "securityRules", f"rule {one.get('name')} has no {side} address prefix"
            if not any(each in one for each in (f"{side}PortRange", f"{side}PortRanges")):
                yield "securityRules", f"rule {one.get('name')} has no {side} port range"


SECURITY_GROUP = arm(
    "NetworkSecurityGroup",
    "Microsoft.Network/networkSecurityGroups",
    "networkSecurityGroupName",
    outputs=lambda ask, path: {"resourceGuid": guid(path), "etag": 'W/"1"'},
    rules=_rules_of_group,
    used="InUseNetworkSecurityGroupCannotBeDeleted",
)


def _address(path: str, index: int) -> str:
    mark = zlib.crc32(f"{path}/{index}".encode())
    return f"10.1.{mark // 250 % 250}.{mark % 250 + 4}"


def _interface_check(ask: Ask) -> None:
    given = at(ask.inputs, "ipConfigurations[]")
    if not given:
        raise refuse(
            400, "InvalidRequestFormat", "A network interface must have at least one IP configuration."
        )
    for each in given:
        if not at(each, "subnet.id"):
            raise refuse(
                400,
                "SubnetIsRequired",
                f"Subnet reference is required for ipconfiguration {each.get('name')}.",
            )


INTERFACE = arm(
    "NetworkInterface",
    "Microsoft.Network/networkInterfaces",
    "networkInterfaceName",
    outputs=lambda ask, path: {
        "macAddress": "00-0D-3A-" + "-".join(guid(path)[start : start + 2].upper() for start in (0, 2, 4)),
        "resourceGuid": guid(path),
        "etag": 'W/"1"',
        "ipConfigurations": [
            {
                "privateIPAddress": _address(path, index),
                "privateIPAllocationMethod": "Dynamic",
                "primary": index == 0,
                "id": f"{path}/ipConfigurations/{one.get('name')}",
                "provisioningState": "Succeeded",
                **one,
            }
            for index, one in enumerate(ask.inputs.get("ipConfigurations") or ())
        ],
    },
    refers={
        "ipConfigurations[].subnet.id": "Subnet",
        "ipConfigurations[].publicIPAddress.id": "PublicIPAddress",
        "networkSecurityGroup.id": "NetworkSecurityGroup",
    },
    check=_interface_check,
    used="NicInUse",
)

PUBLIC_ADDRESS = arm(
    "PublicIPAddress",
    "Microsoft.Network/publicIPAddresses",
    "publicIpAddressName",
    replaces=("sku", "zones"),
    outputs=lambda ask, path: {
        "ipAddress": f"20.{zlib.crc32(path.encode()) % 250}.7.9",
        "resourceGuid": guid(path),
    },
    used="PublicIPAddressCannotBeDeleted",
)

NAT = arm(
    "NatGateway",
    "Microsoft.Network/natGateways",
    "natGatewayName",
    replaces=("sku", "zones"),
    refers={"publicIpAddresses[].id": "PublicIPAddress"},
    outputs=lambda ask, path: {"resourceGuid": guid(path)},
    used="NatGatewayInUse",
)


# Machines' surroundings

PROXIMITY = arm(
    "ProximityPlacementGroup",
    "Microsoft.Compute/proximityPlacementGroups",
    "proximityPlacementGroupName",
    outputs=lambda ask, path: {"virtualMachines": [], "availabilitySets": []},
    used="OperationNotAllowed",
)

ENCRYPTION = arm(
    "DiskEncryptionSet",
    "Microsoft.Compute/diskEncryptionSets",
    "diskEncryptionSetName",
    used="OperationNotAllowed",
)


def _image_check(ask: Ask) -> None:
    for path in at(ask.inputs, "sourceVirtualMachine.id"):
        machine = find(ask, "VirtualMachine", path)
        if ask.id:
            continue
        if machine is None:
            raise refuse(400, "InvalidResourceReference", f"Resource {path} was not found.")
        if not machine.get("generalized"):
            text = f"The VM {path} must be generalized before an image is made of it."
            raise refuse(409, "OperationNotAllowed", text)
        if ask.inputs.get("hyperVGeneration", "V1") != "V2":
            raise refuse(400, "InvalidParameter", "The image's Hyper-V generation is not that of its source.")


IMAGE = arm(
    "Image",
    "Microsoft.Compute/images",
    "imageName",
    replaces=("sourceVirtualMachine", "hyperVGeneration"),
    check=_image_check,
)

GALLERY = arm(
    "Gallery",
    "Microsoft.Compute/galleries",
    "galleryName",
    pattern=r"[A-Za-z0-9]([A-Za-z0-9._]{0,78}[A-Za-z0-9])?",
    joint="_",
)

GALLERY_IMAGE = arm(
    "GalleryImage",
    "Microsoft.Compute/galleries/{galleryName}/images",
    "galleryImageName",
    parent=("galleryName",),
)

GALLERY_VERSION = arm(
    "GalleryImageVersion",
    "Microsoft.Compute/galleries/{galleryName}/images/{galleryImageName}/versions",
    "galleryImageVersionName",
    pattern=r"\d+\.\d+\.\d+",
    parent=("galleryName", "galleryImageName"),
)


# Identities

IDENTITY = arm(
    "UserAssignedIdentity",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "resourceName",
    pattern=r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}",
    outputs=lambda ask, path: {
        "principalId": guid(f"{path} principal"),
        "clientId": guid(f"{path} client"),
        "tenantId": guid("tenant"),
    },
)


def _assignment_check(ask: Ask) -> None:
    who = ask.inputs["principalId"]
    ours = {
        one["outputs"]["principalId"] for one in ask.store.all(CLOUD_NAME, "UserAssignedIdentity").values()
    }
    if who in ours and ask.inputs.get("principalType") != "ServicePrincipal":
        raise refuse(
            400,
            "PrincipalNotFound",
            f"Principal {who} does not exist in the directory. If you are creating this principal and then immediately "
            "assigning a role, this error might be related to a replication delay: set principalType.",
        )
    for other in ask.store.all(CLOUD_NAME, "RoleAssignment").values():
        same = ("principalId", "roleDefinitionId", "scope")
        if all(other["inputs"].get(name) == ask.inputs.get(name) for name in same):
            raise refuse(409, "RoleAssignmentExists", "The role assignment already exists.")


def _assignment_rules(inputs: Arguments) -> Iterator[Wrong]:
    role = inputs.get("roleDefinitionId", "")
    uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    if not unknown(role) and not re.search(
        rf"/providers/Microsoft\.Authorization/roleDefinitions/{uuid}$", role, re.I
    ):
        yield "roleDefinitionId", f"'{role}' is no id of a role definition"
    name = inputs.get("roleAssignmentName", "")
    if not inputs.get("__autonamed") and not unknown(name) and not re.fullmatch(uuid, name, re.I):
        yield "roleAssignmentName", "The role assignment ID must be a GUID."


def _assignment_id(ask: Ask) -> str:
    name = ask.inputs["roleAssignmentName"]
    if ask.inputs.get("__autonamed"):
        name = guid(name)
    return f"/{ask.inputs['scope'].strip('/')}/providers/Microsoft.Authorization/roleAssignments/{name}"


ASSIGNMENT: Kind = stored(
    CLOUD_NAME,
    "RoleAssignment",
    _assignment_id,
    lambda ask, name: {
        "name": name.rpartition("/")[2],
        "type": "Microsoft.Authorization/roleAssignments",
        "principalType": ask.inputs.get("principalType", "User"),
    },
    replaces=None,
    check=_assignment_check,
    rules=_assignment_rules,
    exists="cannot create already existing resource '{}'",
    name="roleAssignmentName",
    delete_first=True,
)


# Storage, keys


def _account_check(ask: Ask) -> None:
    if find_account(ask, ask.inputs["accountName"]) and not ask.id:
        raise refuse(
            409,
            "StorageAccountAlreadyTaken",
            f"The storage account named {ask.inputs['accountName']} is already taken.",
        )


def find_account(ask: Ask, name: str) -> dict[str, Any] | None:
    for path, one in ask.store.all(CLOUD_NAME, "StorageAccount").items():
        if path.rpartition("/")[2] == name:
            return one
    return None


def _endpoints(name: str) -> dict[str, str]:
    """Where the account's objects lie: where our code's own calls are answered too, for as long as they are."""
    parts = {
        part: f"https://{name}.{part}.core.windows.net/"
        for part in ("blob", "dfs", "file", "queue", "table", "web")
    }
    at = os.environ.get("ARM_RESOURCE_MANAGER_ENDPOINT")
    return {**parts, "blob": f"{at}/blob/{name}/"} if at else parts


ACCOUNT = arm(
    "StorageAccount",
    "Microsoft.Storage/storageAccounts",
    "accountName",
    pattern=r"[a-z0-9]{3,24}",
    replaces=("isHnsEnabled",),
    outputs=lambda ask, path: {
        "primaryEndpoints": _endpoints(ask.inputs["accountName"]),
        "primaryLocation": ask.inputs.get("location"),
        "statusOfPrimary": "available",
        "creationTime": ask.state.get("creationTime") or "2026-01-01T00:00:00Z",
    },
    check=_account_check,
    remove=_with_its_parts,
    joint="",
)


def _in_account(ask: Ask) -> None:
    if find_account(ask, ask.inputs["accountName"]) is None:
        raise refuse(
            404, "ResourceNotFound", f"The storage account {ask.inputs['accountName']} was not found."
        )


def _by_key(ask: Ask) -> None:
    """The provider has nothing but the account's keys to make a blob with."""
    _in_account(ask)
    account = find_account(ask, ask.inputs["accountName"])
    if account and account["inputs"].get("allowSharedKeyAccess") is False:
        text = "Key based authentication is not permitted on this storage account."
        raise refuse(403, "KeyBasedAuthenticationNotPermitted", text)


CONTAINER = arm(
    "BlobContainer",
    "Microsoft.Storage/storageAccounts/{accountName}/blobServices/default/containers",
    "containerName",
    pattern=r"[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]",
    parent=("accountName",),
    check=_in_account,
    outputs=lambda ask, path: {"etag": '"1"', "hasImmutabilityPolicy": False, "hasLegalHold": False},
    remove=_with_its_parts,
    placed=False,
)

BLOB = arm(
    "Blob",
    "Microsoft.Storage/storageAccounts/{accountName}/blobServices/default/containers/{containerName}/blobs",
    "blobName",
    pattern=r".{1,1024}",
    parent=("accountName", "containerName"),
    replaces=("type",),
    check=_by_key,
    outputs=lambda ask, path: {
        "type": ask.inputs.get("type", "Block"),
        "url": "https://{accountName}.blob.core.windows.net/{containerName}/{blobName}".format(**ask.inputs),
    },
    placed=False,
)


def _vault_rules(inputs: Arguments) -> Iterator[Wrong]:
    rights = inputs.get("properties") or {}
    if (
        isinstance(rights, Mapping)
        and not rights.get("enableRbacAuthorization")
        and "accessPolicies" not in rights
    ):
        yield "properties.accessPolicies", "access policies are needed where enableRbacAuthorization is off"


def _vault_remove(ask: Ask) -> None:
    name = ask.id.rpartition("/")[2]
    for each in ask.store.all(CLOUD_NAME, "SecretValue"):
        if each.startswith(f"{name}/"):
            ask.store.drop(CLOUD_NAME, "SecretValue", each)


VAULT = arm(
    "Vault",
    "Microsoft.KeyVault/vaults",
    "vaultName",
    pattern=r"[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    rules=_vault_rules,
    remove=_vault_remove,
    outputs=lambda ask, path: {
        "properties": {
            **ask.inputs["properties"],
            "vaultUri": f"https://{ask.inputs['vaultName']}.vault.azure.net/",
            "provisioningState": "Succeeded",
        }
    },
)


# Look-ups


def _shown(ask: Ask, kind: str, path: str, name: str) -> dict[str, Any]:
    found = find(ask, kind, path)
    if found is None:
        group = path.split("/")[4]
        raise refuse(
            404,
            "ResourceNotFound",
            f"The Resource '{kind}/{name}' under resource group '{group}' was not found.",
        )
    return {**found["outputs"], "id": path}


def _get(kind: str, part: str, name: str) -> Any:
    def look_up(given: Arguments, ask: Ask) -> dict[str, Any]:
        path = f"{group_id(ask, given['resourceGroupName'])}/providers/{part.format(**given)}/{given[name]}"
        return _shown(ask, kind, path, given[name])

    return look_up


def get_group(given: Arguments, ask: Ask) -> dict[str, Any]:
    path = group_id(ask, given["resourceGroupName"])
    found = find(ask, "ResourceGroup", path)
    if found is None:
        raise refuse(
            404, "ResourceGroupNotFound", f"Resource group '{given['resourceGroupName']}' could not be found."
        )
    return {**found["outputs"], "id": path}


def get_client_config(given: Arguments, ask: Ask) -> dict[str, Any]:
    return {
        "clientId": guid("client"),
        "objectId": guid("object"),
        "subscriptionId": subscription(ask),
        "tenantId": guid("tenant"),
    }


CLOUD = Cloud(
    package=CLOUD_NAME,
    kinds={
        "azure-native:resources:ResourceGroup": GROUP,
        "azure-native:network:VirtualNetwork": NETWORK,
        "azure-native:network:Subnet": SUBNET,
        "azure-native:network:NetworkSecurityGroup": SECURITY_GROUP,
        "azure-native:network:NetworkInterface": INTERFACE,
        "azure-native:network:PublicIPAddress": PUBLIC_ADDRESS,
        "azure-native:network:NatGateway": NAT,
        "azure-native:compute:VirtualMachine": MACHINE,
        "azure-native:compute:ProximityPlacementGroup": PROXIMITY,
        "azure-native:compute:DiskEncryptionSet": ENCRYPTION,
        "azure-native:compute:Image": IMAGE,
        "azure-native:compute:Gallery": GALLERY,
        "azure-native:compute:GalleryImage": GALLERY_IMAGE,
        "azure-native:compute:GalleryImageVersion": GALLERY_VERSION,
        "azure-native:managedidentity:UserAssignedIdentity": IDENTITY,
        "azure-native:authorization:RoleAssignment": ASSIGNMENT,
        "azure-native:storage:StorageAccount": ACCOUNT,
        "azure-native:storage:BlobContainer": CONTAINER,
        "azure-native:storage:Blob": BLOB,
        "azure-native:keyvault:Vault": VAULT,
    },
    functions={
        "azure-native:resources:getResourceGroup": get_group,
        "azure-native:authorization:getClientConfig": get_client_config,
        "azure-native:network:getVirtualNetwork": _get("VirtualNetwork", _VNETS, "virtualNetworkName"),
        "azure-native:network:getSubnet": _get(
            "Subnet", f"{_VNETS}/{{virtualNetworkName}}/subnets", "subnetName"
        ),
        "azure-native:network:getNetworkSecurityGroup": _get(
            "NetworkSecurityGroup", "Microsoft.Network/networkSecurityGroups", "networkSecurityGroupName"
        ),
        "azure-native:managedidentity:getUserAssignedIdentity": _get(
            "UserAssignedIdentity", "Microsoft.ManagedIdentity/userAssignedIdentities", "resourceName"
        ),
        "azure-native:compute:getProximityPlacementGroup": _get(
            "ProximityPlacementGroup",
            "Microsoft.Compute/proximityPlacementGroups",
            "proximityPlacementGroupName",
        ),
        "azure-native:compute:getDiskEncryptionSet": _get(
            "DiskEncryptionSet", "Microsoft.Compute/diskEncryptionSets", "diskEncryptionSetName"
        ),
        "azure-native:compute:getImage": _get("Image", "Microsoft.Compute/images", "imageName"),
        "azure-native:storage:getStorageAccount": _get(
            "StorageAccount", "Microsoft.Storage/storageAccounts", "accountName"
        ),
        "azure-native:keyvault:getVault": _get("Vault", "Microsoft.KeyVault/vaults", "vaultName"),
    },
)
