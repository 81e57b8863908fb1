"""The nodes of a deployment on Google Cloud: one instance per rank, its disk, market, image and user data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.lower import GANG_DEADMAN_S, SINGLE_DEADMAN_S
from compiler.offer import Market
from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks.boot import Boot, Store, user_data
from stacks.gcp import baking, names, network
from stacks.image import recipe
from stacks.tiers import tier

if TYPE_CHECKING:
    import pulumi
    import pulumi_gcp as gcp

DISK_GB = 256
"""Of nodes whose task does not say."""

TIERS = {
    "low": "pd-standard",
    "medium": "pd-balanced",
    "high": "pd-ssd",
    "best": "pd-ssd",
}
"""Disk tier -> kind of disk, where the machine takes persistent disks; as compiler/catalog/tariffs.py prices them."""

HYPERDISK = ("a3-ultra", "a4-", "a4x-", "c4-", "c4a-", "c4d-", "n4-", "m4-", "g4-", "h4d-", "x4-")
"""How machine types begin that take Hyperdisk alone."""

CARDS = {
    "T4": "nvidia-tesla-t4",
    "P4": "nvidia-tesla-p4",
    "V100": "nvidia-tesla-v100",
    "P100": "nvidia-tesla-p100",
}
"""Accelerators that are put into N1 machines; all other types bring theirs."""

TIER_1 = ("n2-", "n2d-", "c2-", "c2d-", "c3-", "c3d-", "c4-", "a2-", "g2-")
"""How machine types begin whose network can be bought faster: with 30 vCPUs and more."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all nodes of a stack share. `needed` must be there before the first of them starts."""

    place: network.Place
    project: str
    account: pulumi.Input[str]
    store: Store
    needed: Sequence[pulumi.Resource]


def nodes(spec: StackSpec, setting: Setting, options: pulumi.ResourceOptions) -> list[dict[str, Any]]:
    """`node-<rank>` for each rank; rows of the output `nodes`."""
    import pulumi

    if why := unmade(spec):
        says = f"{spec.instance_type}: {why}"
        raise Problems(Problem("cloud/no-such-machine", says, hint="name an accelerator of another kind"))
    policy = _policy(spec, options)
    more = pulumi.ResourceOptions(
        depends_on=[*setting.needed, *([policy] if policy else [])],
        delete_before_replace=True,
        # Frozen when a node is made: a newer image or agent never touches, and never takes down, a living gang.
        ignore_changes=["bootDisk.initializeParams.image", "metadata"],
        custom_timeouts=pulumi.CustomTimeouts(create="15m", delete="20m"),
    )
    rows = []
    for rank in spec.ranks:
        made = _node(spec, rank, setting, policy, pulumi.ResourceOptions.merge(options, more))
        address = made.network_interfaces.apply(lambda found: found[0].network_ip)
        rows.append({"rank": rank, "id": made.instance_id, "address": address})
        if baking.due(spec):
            baking.image(spec, made.boot_disk.apply(lambda disk: disk.source or ""), setting.project, options)
    return rows


def unmade(spec: StackSpec) -> str | None:
    """Why such a machine cannot be made; the plan has said so already."""
    from stacks.gcp import UNMADE

    card = spec.accelerator.name if spec.accelerator else spec.instance_type.lower()
    return next((why for start, why in UNMADE.items() if card.startswith(start)), None)


def _node(
    spec: StackSpec, rank: int, setting: Setting, policy: Any, options: pulumi.ResourceOptions
) -> gcp.compute.Instance:
    import pulumi_gcp as gcp

    script = user_data(boot(spec, rank, setting.store, setting.project)).decode()
    return gcp.compute.Instance(
        f"node-{rank}",
        gcp.compute.InstanceArgs(
            zone=spec.zone,
            machine_type=spec.instance_type,
            boot_disk=_disk(spec, rank),
            network_interfaces=[_interface(spec, setting.place)],
            network_performance_config=_performance(spec),
            scheduling=_scheduling(spec),
            guest_accelerators=_cards(spec),
            service_account=gcp.compute.InstanceServiceAccountArgs(
                email=setting.account, scopes=["cloud-platform"]
            ),
            shielded_instance_config=gcp.compute.InstanceShieldedInstanceConfigArgs(
                enable_vtpm=True, enable_integrity_monitoring=True
            ),
            metadata={
                "startup-script": script,
                "enable-oslogin": "TRUE",
                "block-project-ssh-keys": "TRUE",
                "install-nvidia-driver": "True",
            },
            tags=network.tags(spec),
            labels=names.labels(spec, rank),
            resource_policies=policy.id if policy else None,
            allow_stopping_for_update=True,
            deletion_protection=False,
        ),
        opts=options,
    )


def boot(spec: StackSpec, rank: int, store: Store, project: str) -> Boot:
    """What the rank's startup script says."""
    from stacks.gcp import PROBES

    deadman = GANG_DEADMAN_S if spec.nodes > 1 else SINGLE_DEADMAN_S
    secrets = f"projects/{project}/secrets/{names.secrets(spec)}"
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
        secrets=secrets if spec.secrets else None,
        labels=spec.labels,
        recipe=recipe.bakes(spec.bake, spec.agent),
    )


def _disk(spec: StackSpec, rank: int) -> gcp.compute.InstanceBootDiskArgs:
    import pulumi_gcp as gcp

    if spec.image is None:
        says = f"no machine image is known for {spec.instance_type} in {spec.region}"
        hint = "name one in the task: `image_id: projects/…/global/images/…`"
        raise Problems(Problem("cloud/no-image", says, hint=hint))
    fast = spec.instance_type.startswith(HYPERDISK)
    return gcp.compute.InstanceBootDiskArgs(
        auto_delete=True,
        initialize_params=gcp.compute.InstanceBootDiskInitializeParamsArgs(
            image=spec.image,
            size=int(spec.disk_gb or DISK_GB),
            type="hyperdisk-balanced" if fast else tier(spec, TIERS),
            labels=names.labels(spec, rank),
        ),
        kms_key_self_link=spec.encrypted_with,
    )


def _interface(spec: StackSpec, where: network.Place) -> gcp.compute.InstanceNetworkInterfaceArgs:
    import pulumi_gcp as gcp

    public = [gcp.compute.InstanceNetworkInterfaceAccessConfigArgs(network_tier="PREMIUM")]
    return gcp.compute.InstanceNetworkInterfaceArgs(
        subnetwork=where.subnetwork,
        nic_type="GVNIC" if spec.network_tier == "best" else None,
        access_configs=public if where.public else None,
    )


def _performance(spec: StackSpec) -> gcp.compute.InstanceNetworkPerformanceConfigArgs | None:
    import pulumi_gcp as gcp

    size = spec.instance_type.rpartition("-")[2]
    if spec.network_tier != "best" or not spec.instance_type.startswith(TIER_1):
        return None
    if not size.isdigit() or int(size) < 30:
        return None
    return gcp.compute.InstanceNetworkPerformanceConfigArgs(total_egress_bandwidth_tier="TIER_1")


def _scheduling(spec: StackSpec) -> gcp.compute.InstanceSchedulingArgs:
    """Spot instances are deleted when they are taken away: their successor is made by the stack."""
    import pulumi_gcp as gcp

    spot = spec.market is Market.SPOT
    longest = None
    if spec.most_s is not None:
        longest = gcp.compute.InstanceSchedulingMaxRunDurationArgs(seconds=math.ceil(spec.most_s))
    return gcp.compute.InstanceSchedulingArgs(
        provisioning_model="SPOT" if spot else "STANDARD",
        preemptible=spot,
        automatic_restart=not spot and longest is None,
        on_host_maintenance="TERMINATE" if spot or spec.accelerator else "MIGRATE",
        instance_termination_action="DELETE" if spot or longest else None,
        max_run_duration=longest,
    )


def _cards(spec: StackSpec) -> list[gcp.compute.InstanceGuestAcceleratorArgs] | None:
    import pulumi_gcp as gcp

    card = spec.accelerator
    if card is None or not spec.instance_type.startswith("n1-"):
        return None
    return [gcp.compute.InstanceGuestAcceleratorArgs(type=CARDS[card.name], count=math.ceil(card.count))]


def _policy(spec: StackSpec, options: pulumi.ResourceOptions) -> gcp.compute.ResourcePolicy | None:
    """Nodes of a gang close to each other, where the fastest network is asked for."""
    import pulumi_gcp as gcp

    if spec.network_tier != "best" or spec.nodes < 2:
        return None
    return gcp.compute.ResourcePolicy(
        "placement",
        gcp.compute.ResourcePolicyArgs(
            name=names.deployment(spec),
            region=spec.region,
            group_placement_policy=gcp.compute.ResourcePolicyGroupPlacementPolicyArgs(
                collocation="COLLOCATED", vm_count=spec.nodes
            ),
        ),
        opts=options,
    )
