"""Google's machines: what the API takes, what it replaces, what it only changes when stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.standins.gcp_names import (
    LINK,
    find,
    labelled,
    labels_wrong,
    must_find,
    named_wrong,
    number,
    project,
    zone,
)
from tests.standins.kind import Ask, Refusal
from tests.standins.shape import Wrong, unknown
from tests.standins.stored import at, choices, now, size, stored

METADATA_VALUE, METADATA_ALL = 256 * 1024, 512 * 1024
BUNDLED = re.compile(r"(a2|a3|a4|a4x|g2|g4)-")
"""Machine types whose GPUs come with them."""

_CHOICES = {
    "scheduling.provisioningModel": ("STANDARD", "SPOT", "FLEX_START", "RESERVATION_BOUND"),
    "scheduling.instanceTerminationAction": ("STOP", "DELETE"),
    "scheduling.onHostMaintenance": ("MIGRATE", "TERMINATE"),
    "networkInterfaces[].nicType": ("GVNIC", "VIRTIO_NET", "IDPF", "MRDMA", "IRDMA"),
    "networkInterfaces[].stackType": ("IPV4_ONLY", "IPV4_IPV6", "IPV6_ONLY"),
    "networkInterfaces[].accessConfigs[].networkTier": ("PREMIUM", "STANDARD", "FIXED_STANDARD"),
    "scratchDisks[].interface": ("SCSI", "NVME"),
    "desiredStatus": ("RUNNING", "TERMINATED", "SUSPENDED"),
    "networkPerformanceConfig.totalEgressBandwidthTier": ("TIER_1", "DEFAULT"),
    "reservationAffinity.type": ("ANY_RESERVATION", "SPECIFIC_RESERVATION", "NO_RESERVATION"),
}

REPLACES = (
    "name", "project", "zone", "description", "hostname", "canIpForward", "guestAccelerators", "metadataStartupScript",
    "bootDisk.initializeParams", "bootDisk.source", "bootDisk.deviceName", "bootDisk.kmsKeySelfLink", "bootDisk.mode",
    "bootDisk.diskEncryptionKeyRaw", "scratchDisks", "networkInterfaces.network", "networkInterfaces.nicType",
    "networkInterfaces.subnetworkProject", "networkInterfaces.networkIp", "scheduling.preemptible",
    "scheduling.provisioningModel", "scheduling.maxRunDuration", "scheduling.onInstanceStopAction",
    "scheduling.localSsdRecoveryTimeout", "resourcePolicies", "reservationAffinity", "confidentialInstanceConfig",
    "networkPerformanceConfig", "keyRevocationActionType", "params", "instanceEncryptionKey",
)  # fmt: skip

STOPPED = ("machineType", "minCpuPlatform", "serviceAccount", "shieldedInstanceConfig", "enableDisplay",
           "advancedMachineFeatures")  # fmt: skip


def _rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    yield from named_wrong(inputs)
    yield from labels_wrong(inputs)
    yield from choices(inputs, _CHOICES)
    for tag in at(inputs, "tags[]"):
        if not re.fullmatch(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?", tag):
            yield "tags", f"{tag!r} is no network tag"
    metadata = inputs.get("metadata")
    if isinstance(metadata, Mapping):
        for key, value in metadata.items():
            if not unknown(value) and size(value) > METADATA_VALUE:
                yield f"metadata.{key}", f"a metadata value is limited to {METADATA_VALUE} bytes"
        if sum(size(value) for value in metadata.values()) > METADATA_ALL:
            yield "metadata", f"metadata is limited to {METADATA_ALL} bytes in all"
    for one in inputs.get("networkInterfaces") or ():
        if isinstance(one, Mapping) and not any(
            name in one for name in ("network", "subnetwork", "networkAttachment")
        ):
            yield (
                "networkInterfaces",
                "exactly one of network, subnetwork, or network_attachment must be provided",
            )
    disk = inputs.get("bootDisk")
    if isinstance(disk, Mapping) and "initializeParams" in disk and "source" in disk:
        yield "bootDisk.source", '"boot_disk.0.source": conflicts with boot_disk.0.initialize_params'


def _bad(text: str) -> Refusal:
    return Refusal(f"googleapi: Error 400: {text}, badRequest")


def _check(ask: Ask) -> None:
    """What the API refuses beyond the provider's own checks."""
    given = ask.inputs
    scheduling = given.get("scheduling") or {}
    spot = scheduling.get("provisioningModel") == "SPOT"
    if spot and scheduling.get("preemptible") is False:
        raise _bad("Scheduling.preemptible must be true for provisioningModel SPOT.")
    if (spot or scheduling.get("preemptible")) and scheduling.get("automaticRestart", True):
        raise _bad("Scheduling must have automaticRestart be false when preemptible is true.")
    if scheduling.get("instanceTerminationAction") and not (spot or scheduling.get("maxRunDuration")):
        raise _bad(
            "You cannot specify a termination action for a VM instance that has the standard provisioning model."
        )
    accelerated = BUNDLED.match(given["machineType"].rpartition("/")[2]) or given.get("guestAccelerators")
    moved = scheduling.get("onHostMaintenance", "TERMINATE" if spot else "MIGRATE")
    if accelerated and moved != "TERMINATE":
        raise _bad("Instances with guest accelerators do not support live migration.")
    if given.get("guestAccelerators") and not given["machineType"].rpartition("/")[2].startswith("n1-"):
        raise _bad("[1-8] accelerators of this type are only supported with N1 machine types.")
    for each in at(given, "networkInterfaces[].subnetwork"):
        must_find(ask, "Subnetwork", each)
        found = find(ask, "Subnetwork", each)
        where = zone(ask).rpartition("-")[0]
        if found and found["outputs"]["region"] != where:
            raise _bad(
                f"Invalid value for field 'networkInterfaces[0].subnetwork': '{each}' is not in region {where}."
            )
    for each in at(given, "networkInterfaces[].network"):
        must_find(ask, "Network", each)
    for each in at(given, "resourcePolicies"):
        must_find(ask, "ResourcePolicy", each)
    who = (given.get("serviceAccount") or {}).get("email", "")
    if who.endswith(f"@{project(ask)}.iam.gserviceaccount.com"):
        must_find(ask, "Account", f"projects/{project(ask)}/serviceAccounts/{who}")


def _change(ask: Ask) -> None:
    needs = [name for name in STOPPED if ask.changed(name)]
    if needs and not ask.inputs.get("allowStoppingForUpdate"):
        raise Refusal(
            f"Changing the {', '.join(needs)} on a started instance requires stopping it. To acknowledge this, please "
            "set allow_stopping_for_update = true in your config."
        )


def _remove(ask: Ask) -> None:
    if ask.state.get("deletionProtection"):
        raise Refusal(
            f"Cannot delete instance {ask.state.get('name')}: instance Deletion Protection is enabled."
        )


def _address(name: str, index: int) -> str:
    mark = number(f"{name}/{index}")
    return f"10.{128 + index}.{mark // 250 % 250}.{mark % 250 + 2}"


def _interfaces(ask: Ask, name: str) -> list[dict[str, Any]]:
    found = []
    for index, one in enumerate(ask.inputs["networkInterfaces"]):
        made = {"name": f"nic{index}", "networkIp": _address(name, index), **one}
        subnet = find(ask, "Subnetwork", one["subnetwork"]) if one.get("subnetwork") else None
        if subnet:
            made["network"] = one.get("network") or subnet["outputs"]["network"]
            made["subnetwork"] = subnet["outputs"]["selfLink"]
        if one.get("accessConfigs") is not None:
            made["accessConfigs"] = [
                {"natIp": f"34.1.{number(name) % 250}.{index + 2}", "networkTier": "PREMIUM", **each}
                for each in one["accessConfigs"]
            ]
        found.append(made)
    return found


def _outputs(ask: Ask, name: str) -> dict[str, Any]:
    given = ask.inputs
    scheduling = given.get("scheduling") or {}
    status = (
        (given.get("desiredStatus") or "RUNNING")
        if not ask.state
        else ask.state.get("currentStatus", "RUNNING")
    )
    if ask.changed("desiredStatus") and given.get("desiredStatus"):
        status = given["desiredStatus"]
    return {
        "project": project(ask),
        "zone": zone(ask),
        "selfLink": LINK + name,
        "instanceId": str(number(name)),
        "currentStatus": status,
        "cpuPlatform": "Intel Sapphire Rapids",
        "creationTimestamp": ask.state.get("creationTimestamp") or now(),
        "metadataFingerprint": f"{number(repr(given.get('metadata')))}=",
        "tagsFingerprint": f"{number(repr(given.get('tags')))}=",
        "networkInterfaces": _interfaces(ask, name),
        "scheduling": {"provisioningModel": "STANDARD", "automaticRestart": True, **scheduling},
        **labelled(ask),
    }


INSTANCE = stored(
    "gcp",
    "Instance",
    lambda ask: f"projects/{project(ask)}/zones/{zone(ask)}/instances/{ask.inputs['name']}",
    _outputs,
    replaces=REPLACES,
    check=_check,
    change=_change,
    remove=_remove,
    place=lambda ask: (zone(ask), ask.inputs["machineType"]),
    rules=_rules,
    exists="googleapi: Error 409: The resource '{}' already exists, alreadyExists",
    name="name",
    sets=frozenset({"tags"}),
    kept=frozenset({"zone", "project", "scheduling", "shieldedInstanceConfig", "minCpuPlatform"}),
)
