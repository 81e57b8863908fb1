"""What stands beside AWS machines: addresses, interfaces, and images made of a machine."""

from __future__ import annotations

from typing import Any

from tests.standins.aws_session import client, ec2_kind, refuse_if_told, specification
from tests.standins.kind import Ask, Kind
from tests.standins.stored import choices


def _one(found: Any, name: str) -> Any:
    return found[name][0] if found[name] else None


# Eip


def _address_create(ask: Ask, ec2: Any) -> str:
    refuse_if_told(ask, "Eip")
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=specification(ask, "elastic-ip"))
    name = str(made["AllocationId"])
    if ask.inputs.get("instance"):
        ec2.associate_address(AllocationId=name, InstanceId=ask.inputs["instance"])
    return name


def _address_change(ask: Ask, ec2: Any) -> None:
    if not ask.changed("instance"):
        return
    seen = _one(ec2.describe_addresses(AllocationIds=[ask.id]), "Addresses")
    if seen.get("AssociationId"):
        ec2.disassociate_address(AssociationId=seen["AssociationId"])
    if ask.inputs.get("instance"):
        ec2.associate_address(AllocationId=ask.id, InstanceId=ask.inputs["instance"])


def _address_delete(ask: Ask, ec2: Any) -> None:
    seen = _one(ec2.describe_addresses(AllocationIds=[ask.id]), "Addresses")
    if seen and seen.get("AssociationId"):
        ec2.disassociate_address(AssociationId=seen["AssociationId"])
    ec2.release_address(AllocationId=ask.id)


ADDRESS = ec2_kind(
    "elastic-ip",
    _address_create,
    lambda ask, ec2: _one(ec2.describe_addresses(AllocationIds=[ask.id]), "Addresses"),
    _address_delete,
    lambda ask, seen: {
        "allocationId": seen["AllocationId"],
        "publicIp": seen["PublicIp"],
        "domain": seen["Domain"],
        "instance": seen.get("InstanceId") or None,
        "associationId": seen.get("AssociationId"),
        "privateIp": seen.get("PrivateIpAddress"),
    },
    _address_change,
    replaces=("domain", "networkBorderGroup", "publicIpv4Pool"),
    kept=frozenset({"domain", "instance", "networkInterface"}),
    rules=lambda inputs: choices(inputs, {"domain": ("vpc",)}),
)


# NetworkInterface


def _card_create(ask: Ask, ec2: Any) -> str:
    given = ask.inputs
    optional = {
        "Description": given.get("description"),
        "Groups": given.get("securityGroups"),
        "InterfaceType": given.get("interfaceType"),
    }
    made = ec2.create_network_interface(
        SubnetId=given["subnetId"],
        TagSpecifications=specification(ask, "network-interface"),
        **{name: value for name, value in optional.items() if value is not None},
    )
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def _card_change(ask: Ask, ec2: Any) -> None:
    if ask.changed("securityGroups"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=ask.id, Groups=ask.inputs.get("securityGroups") or []
        )
    if ask.changed("description"):
        text = {"Value": ask.inputs.get("description", "")}
        ec2.modify_network_interface_attribute(NetworkInterfaceId=ask.id, Description=text)


CARD = ec2_kind(
    "network-interface",
    _card_create,
    lambda ask, ec2: _one(ec2.describe_network_interfaces(NetworkInterfaceIds=[ask.id]), "NetworkInterfaces"),
    lambda ask, ec2: ec2.delete_network_interface(NetworkInterfaceId=ask.id),
    lambda ask, seen: {
        "subnetId": seen["SubnetId"],
        "privateIp": seen.get("PrivateIpAddress"),
        "macAddress": seen.get("MacAddress"),
        "securityGroups": [one["GroupId"] for one in seen.get("Groups") or ()],
        # moto forgets that it is one for EFA
        "interfaceType": ask.inputs.get("interfaceType") or ask.state.get("interfaceType") or "interface",
    },
    _card_change,
    replaces=("subnetId", "interfaceType"),
    sets=frozenset({"securityGroups"}),
    kept=frozenset({"securityGroups", "interfaceType", "description"}),
    rules=lambda inputs: choices(inputs, {"interfaceType": ("branch", "efa", "efa-only", "trunk")}),
)


# AmiFromInstance


def _image_create(ask: Ask, ec2: Any) -> str:
    given = ask.inputs
    made = ec2.create_image(
        InstanceId=given["sourceInstanceId"],
        Name=given["name"],
        Description=given.get("description", ""),
        NoReboot=bool(given.get("snapshotWithoutReboot")),
        TagSpecifications=specification(ask, "image"),
    )
    return str(made["ImageId"])


def _image_delete(ask: Ask, ec2: Any) -> None:
    """With its snapshots, as the real one does it."""
    seen = _one(ec2.describe_images(ImageIds=[ask.id]), "Images") or {}
    ec2.deregister_image(ImageId=ask.id)
    for one in seen.get("BlockDeviceMappings") or ():
        if (one.get("Ebs") or {}).get("SnapshotId"):
            ec2.delete_snapshot(SnapshotId=one["Ebs"]["SnapshotId"])


IMAGE = ec2_kind(
    "image",
    _image_create,
    lambda ask, ec2: _one(ec2.describe_images(ImageIds=[ask.id]), "Images"),
    _image_delete,
    lambda ask, seen: {
        "name": seen["Name"],
        "architecture": seen.get("Architecture"),
        "rootDeviceName": seen.get("RootDeviceName"),
        "arn": f"arn:aws:ec2:{client(ask, 'ec2').meta.region_name}::image/{ask.id}",
    },
    replaces=("name", "sourceInstanceId", "snapshotWithoutReboot"),
    name="name",
)


KINDS: dict[str, Kind] = {
    "aws:ec2/eip:Eip": ADDRESS,
    "aws:ec2/networkInterface:NetworkInterface": CARD,
    "aws:ec2/amiFromInstance:AmiFromInstance": IMAGE,
}
