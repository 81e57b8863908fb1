"""The nodes of a deployment on Azure: one virtual machine per rank, its disk, market, image and user data."""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.lower import GANG_DEADMAN_S, SINGLE_DEADMAN_S
from compiler.offer import Market
from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks.azure import baking, names, network
from stacks.boot import Boot, Store, user_data
from stacks.image import recipe
from stacks.tiers import tier

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

DISK_GB = 256
"""Of nodes whose task does not say."""

LIMIT = 65_535
"""Bytes that custom data may have, by Azure; ours keep to less."""

TIERS = {
    "low": "StandardSSD_LRS",
    "medium": "Premium_LRS",
    "high": "Premium_LRS",
    "best": "Premium_LRS",
}
"""Disk tier -> kind of the system disk, as compiler/catalog/tariffs.py prices them. Ultra disks cannot be one."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all nodes of a stack share. `needed` must be there before the first of them starts."""

    group: pulumi.Input[str]
    place: network.Place
    firewall: pulumi.Input[str]
    identity: pulumi.Input[str]
    store: pulumi.Output[Store]
    secrets: pulumi.Output[str] | None
    needed: Sequence[pulumi.Resource]


def nodes(spec: StackSpec, setting: Setting, options: pulumi.ResourceOptions) -> list[dict[str, Any]]:
    """`node-<rank>` for each rank; rows of the output `nodes`."""
    import pulumi

    near = _near(spec, setting.group, options)
    more = pulumi.ResourceOptions(
        depends_on=list(setting.needed),
        delete_before_replace=True,
        # Frozen when a node is made: a newer image or agent never touches, and never takes down, a living gang.
        ignore_changes=["osProfile.customData", "storageProfile.imageReference"],
        custom_timeouts=pulumi.CustomTimeouts(create="20m", delete="20m"),
    )
    rows = []
    for rank in spec.ranks:
        way = network.interface(spec, rank, setting.group, setting.place, setting.firewall, options)
        made = _node(spec, rank, setting, way, near, pulumi.ResourceOptions.merge(options, more))
        address = way.ip_configurations.apply(
            lambda found: (found[0].private_ip_address if found else None) or ""
        )
        rows.append({"rank": rank, "id": made.vm_id, "address": address})
    return rows


def _node(
    spec: StackSpec, rank: int, setting: Setting, way: Any, near: Any, options: pulumi.ResourceOptions
) -> Any:
    import pulumi
    from pulumi_azure_native import compute

    spot = spec.market is Market.SPOT
    name, login = names.node(spec, rank), baking.USER if spec.bake else names.USER
    zoned = spec.zone is not None and spec.zone.isdigit()
    script = pulumi.Output.all(setting.store, pulumi.Output.from_input(setting.secrets)).apply(
        lambda found: base64.b64encode(user_data(boot(spec, rank, found[0], found[1]))).decode()
    )
    return compute.VirtualMachine(
        f"node-{rank}",
        resource_group_name=setting.group,
        vm_name=name,
        location=spec.region,
        zones=[spec.zone] if zoned and spec.zone else None,
        hardware_profile=compute.HardwareProfileArgs(vm_size=spec.instance_type),
        storage_profile=_storage(spec, name),
        os_profile=compute.OSProfileArgs(
            computer_name=name,
            admin_username=login,
            custom_data=script,
            linux_configuration=_login(spec, login),
        ),
        network_profile=compute.NetworkProfileArgs(
            network_interfaces=[compute.NetworkInterfaceReferenceArgs(id=way.id, primary=True)]
        ),
        identity=compute.VirtualMachineIdentityArgs(
            type=compute.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[setting.identity]
        ),
        priority="Spot" if spot else "Regular",
        eviction_policy="Delete" if spot else None,
        billing_profile=compute.BillingProfileArgs(max_price=-1) if spot else None,
        proximity_placement_group=compute.SubResourceArgs(id=near.id) if near else None,
        tags=names.tags(spec, rank),
        opts=options,
    )


def boot(spec: StackSpec, rank: int, store: Store, secrets: str | None) -> Boot:
    """What the rank's custom data say."""
    from stacks.azure import PROBES

    deadman = GANG_DEADMAN_S if spec.nodes > 1 else SINGLE_DEADMAN_S
    return Boot(
        cloud=spec.cloud,
        project=spec.project,
        deployment=spec.deployment,
        rank=rank,
        agent=spec.agent,
        store=store,
        deadman_s=spec.deadman_s or deadman,
        probes=PROBES if spec.market is Market.SPOT else (),
        most_s=spec.most_s,
        secrets=secrets,
        labels=spec.labels,
        recipe=recipe.bakes(spec.bake, spec.agent),
    )


def _storage(spec: StackSpec, name: str) -> Any:
    from pulumi_azure_native import compute

    key = compute.DiskEncryptionSetParametersArgs(id=spec.encrypted_with) if spec.encrypted_with else None
    return compute.StorageProfileArgs(
        image_reference=_image(spec),
        os_disk=compute.OSDiskArgs(
            name=f"{name}-disk",
            create_option="FromImage",
            delete_option="Delete",
            disk_size_gb=_disk_gb(spec),
            managed_disk=compute.ManagedDiskParametersArgs(
                storage_account_type=tier(spec, TIERS), disk_encryption_set=key
            ),
        ),
    )


def _disk_gb(spec: StackSpec) -> int | None:
    """None takes that of the image: no disk of a node may be smaller than that of the machine its image was made of."""
    return None if spec.bake and not spec.disk_gb else int(spec.disk_gb or DISK_GB)


def _image(spec: StackSpec) -> Any:
    """An image of the marketplace (`publisher:offer:sku:version`), or one of the team's by its id."""
    from pulumi_azure_native import compute

    parts = (spec.image or "").split(":")
    if spec.image and spec.image.startswith("/"):
        return compute.ImageReferenceArgs(id=spec.image)
    if len(parts) == 4:
        publisher, offer, sku, version = parts
        return compute.ImageReferenceArgs(publisher=publisher, offer=offer, sku=sku, version=version)
    says = f"no machine image is known for {spec.instance_type} in {spec.region}"
    if spec.image:
        says = f"`{spec.image}` is neither publisher:offer:sku:version nor the id of an image"
    hint = "name one in the task: `image_id: publisher:offer:sku:version`"
    raise Problems(Problem("cloud/no-image", says, hint=hint))


def _login(spec: StackSpec, user: str) -> Any:
    """No password, and where no key is given one that nobody has: people come in through Azure's own login."""
    from pulumi_azure_native import compute

    key = spec.given.ssh_key or nobodys_key()
    path = f"/home/{user}/.ssh/authorized_keys"
    return compute.LinuxConfigurationArgs(
        disable_password_authentication=True,
        ssh=compute.SshConfigurationArgs(public_keys=[compute.SshPublicKeyArgs(key_data=key, path=path)]),
    )


def nobodys_key() -> str:
    """A public RSA key whose private half nobody ever had: its modulus is made of hashes, not of two primes.

    Azure makes no Linux machine without a key or a password.
    """
    digits = b"".join(
        hashlib.sha512(b"skywright: nobody has this key %d" % part).digest() for part in range(8)
    )
    modulus = int.from_bytes(digits, "big") | (1 << 4095) | 1
    parts = (b"ssh-rsa", (65537).to_bytes(3, "big"), b"\0" + modulus.to_bytes(512, "big"))
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return f"ssh-rsa {base64.b64encode(blob).decode()} nobody"


def _near(spec: StackSpec, group: pulumi.Input[str], options: pulumi.ResourceOptions) -> Any:
    """Nodes of a gang close to each other, where the fastest network is asked for."""
    from pulumi_azure_native import compute

    if spec.network_tier != "best" or spec.nodes < 2:
        return None
    zoned = [spec.zone] if spec.zone and spec.zone.isdigit() else None
    return compute.ProximityPlacementGroup(
        "near",
        resource_group_name=group,
        proximity_placement_group_name=names.deployment(spec),
        location=spec.region,
        proximity_placement_group_type="Standard",
        zones=zoned,
        tags=names.tags(spec),
        opts=options,
    )
