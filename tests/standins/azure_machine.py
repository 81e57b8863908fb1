"""Azure's machines: what the API takes and what it never lets one change."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.standins.azure_names import CLOUD_NAME, arm, find, group_id, guid, location, refuse
from tests.standins.kind import Ask
from tests.standins.shape import Wrong, differences
from tests.standins.stored import at, now, user_of

CUSTOM_DATA, USER_DATA = 65535, 65536

FIXED = (
    "osProfile",
    "priority",
    "evictionPolicy",
    "storageProfile.imageReference",
    "storageProfile.osDisk.name",
    "storageProfile.osDisk.managedDisk",
    "zones",
    "securityProfile.securityType",
    "plan",
    "availabilitySet",
)
"""What a machine keeps for its life: the provider tries, and the API refuses."""


def _rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    for name, limit in (("osProfile.customData", CUSTOM_DATA), ("userData", USER_DATA)):
        for value in at(inputs, name):
            try:
                raw = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                yield name, f"{name} must be base64"
                continue
            if len(raw) > limit:
                yield name, f"{name} is limited to {limit} bytes"
    size = next(iter(at(inputs, "hardwareProfile.vmSize")), "Standard_X")
    if not re.fullmatch(r"(Standard|Basic)_\w+", size):
        yield "hardwareProfile.vmSize", f"'{size}' is no size of a virtual machine"


def _check(ask: Ask) -> None:
    given = ask.inputs
    spot = given.get("priority") == "Spot"
    if not spot and given.get("evictionPolicy"):
        raise refuse(
            409, "OperationNotAllowed", "Eviction policy can be set only on Azure Spot Virtual Machines."
        )
    if not spot and at(given, "billingProfile.maxPrice"):
        raise refuse(409, "OperationNotAllowed", "Max price can be set only on Azure Spot Virtual Machines.")
    if spot and given.get("availabilitySet"):
        raise refuse(409, "OperationNotAllowed", "Spot Virtual Machines cannot be in an availability set.")
    if not at(given, "networkProfile.networkInterfaces[].id"):
        raise refuse(400, "InvalidParameter", "Required parameter 'networkProfile' is missing (null).")
    for each in at(given, "networkProfile.networkInterfaces[].id"):
        user = user_of(ask, CLOUD_NAME, each)
        if user and user.lower() != ask.id.lower() and "/virtualMachines/" in user and not ask.id:
            raise refuse(400, "NicInUse", f"Network interface {each} is used by existing VM {user}.")
        nic = find(ask, "NetworkInterface", each)
        if nic and nic["outputs"]["location"] != location(ask):
            raise refuse(400, "InvalidResourceReference", f"{each} is in another location than the VM.")
    _login(given)
    if not given.get("storageProfile") or not (
        at(given, "storageProfile.imageReference") or at(given, "storageProfile.osDisk.image")
    ):
        raise refuse(400, "InvalidParameter", "Required parameter 'storageProfile' is missing (null).")
    image = next(iter(at(given, "storageProfile.imageReference")), {})
    if (
        image
        and not image.get("id")
        and not image.get("communityGalleryImageId")
        and not image.get("sharedGalleryImageId")
    ):
        for name in ("publisher", "offer", "sku", "version"):
            if not image.get(name):
                raise refuse(
                    400, "InvalidParameter", f"Required parameter 'imageReference.{name}' is missing (null)."
                )


def _login(given: Mapping[str, Any]) -> None:
    profile = given.get("osProfile") or {}
    linux = profile.get("linuxConfiguration") or {}
    if not profile.get("computerName") or not profile.get("adminUsername"):
        raise refuse(
            400,
            "InvalidParameter",
            "Required parameter 'osProfile.computerName' or '.adminUsername' is missing.",
        )
    keys = at(linux, "ssh.publicKeys[].keyData")
    if linux.get("disablePasswordAuthentication") and not keys:
        raise refuse(
            400,
            "InvalidParameter",
            "Authentication using either SSH or by user name and password must be enabled in Linux profile.",
        )
    if not linux.get("disablePasswordAuthentication") and not profile.get("adminPassword"):
        raise refuse(400, "InvalidParameter", "Required parameter 'adminPassword' is missing (null).")
    for key in keys:
        if not re.match(r"ssh-(rsa|ed25519) [A-Za-z0-9+/=]{60,}", key):
            raise refuse(
                400,
                "InvalidParameter",
                "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid.",
            )


def _change(ask: Ask) -> None:
    for path in differences(ask.old, ask.inputs, frozenset()):
        plain = re.sub(r"\[\d+\]", "", path)
        for fixed in FIXED:
            if plain == fixed or plain.startswith(f"{fixed}."):
                raise refuse(409, "PropertyChangeNotAllowed", f"Changing property '{plain}' is not allowed.")


def _disk(ask: Ask, found: str) -> str:
    given = next(iter(at(ask.inputs, "storageProfile.osDisk.name")), None)
    name = given or f"{found.rpartition('/')[2]}_OsDisk_1_{guid(found)[:8]}"
    return f"{group_id(ask, ask.inputs['resourceGroupName'])}/providers/Microsoft.Compute/disks/{name}"


def _outputs(ask: Ask, found: str) -> dict[str, Any]:
    given = ask.inputs
    if not ask.state:
        ask.store.put(CLOUD_NAME, "Disk", _disk(ask, found), {"inputs": {}, "outputs": {"managedBy": found}})
    storage = given["storageProfile"]
    disk = {**(storage.get("osDisk") or {})}
    disk["managedDisk"] = {**(disk.get("managedDisk") or {}), "id": _disk(ask, found)}
    identity = given.get("identity")
    outputs: dict[str, Any] = {
        "vmId": ask.state.get("vmId") or guid(f"{found} {now()} {ask.urn}"),
        "timeCreated": ask.state.get("timeCreated") or now(),
        "storageProfile": {**storage, "osDisk": disk},
        "etag": '"1"',
    }
    if identity:
        listed = identity.get("userAssignedIdentities") or []
        outputs["identity"] = {
            "type": identity.get("type"),
            "userAssignedIdentities": {
                each: {"principalId": guid(f"{each} principal"), "clientId": guid(f"{each} client")}
                for each in listed
            },
        }
    # Sent, and never given back.
    profile = {
        name: value for name, value in (given.get("osProfile") or {}).items() if name != "adminPassword"
    }
    outputs["osProfile"] = {**profile, "requireGuestProvisionSignal": True}
    return outputs


def _remove(ask: Ask) -> None:
    """What goes with a machine: only what was made to."""
    inputs = (ask.store.get(CLOUD_NAME, "VirtualMachine", ask.id) or {}).get("inputs") or {}
    if "Delete" in at(inputs, "storageProfile.osDisk.deleteOption"):
        for name, one in ask.store.all(CLOUD_NAME, "Disk").items():
            if one["outputs"].get("managedBy") == ask.id:
                ask.store.drop(CLOUD_NAME, "Disk", name)
    for each in at(inputs, "networkProfile.networkInterfaces[]"):
        if each.get("deleteOption") == "Delete":
            ask.store.drop(CLOUD_NAME, "NetworkInterface", each["id"])


MACHINE = arm(
    "VirtualMachine",
    "Microsoft.Compute/virtualMachines",
    "vmName",
    pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_]|[A-Za-z0-9]",
    replaces=("extendedLocation",),
    outputs=_outputs,
    refers={
        "networkProfile.networkInterfaces[].id": "NetworkInterface",
        "proximityPlacementGroup.id": "ProximityPlacementGroup",
        "identity.userAssignedIdentities[]": "UserAssignedIdentity",
        "storageProfile.osDisk.managedDisk.diskEncryptionSet.id": "DiskEncryptionSet",
    },
    check=_check,
    change=_change,
    remove=_remove,
    rules=_rules,
    place=lambda ask: (
        f"{location(ask)}-{ask.inputs['zones'][0]}" if ask.inputs.get("zones") else location(ask),
        next(iter(at(ask.inputs, "hardwareProfile.vmSize")), None),
    ),
)
