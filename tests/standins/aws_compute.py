"""AWS machines: Instance, LaunchTemplate, KeyPair, PlacementGroup.

moto keeps less of an instance than EC2 does: what it drops (placement group, spot request, the root disk's
encryption and speed) is kept in the stand-in's file, beside the instance that moto has.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.standins.aws_session import (
    account,
    client,
    ec2_kind,
    gone,
    listed,
    mapped,
    refuse_if_told,
    region,
    specification,
    tagged,
    tags,
    there,
    with_id,
)
from tests.standins.kind import Ask, Kind, Made, Refusal
from tests.standins.shape import Wrong, unknown

USER_DATA_BYTES = 16384
ROOT_DEVICE = "/dev/sda1"
MORE = "instance"
"""The store's kind for what moto forgets of an instance."""

_VOLUME = {
    "volumeSize": "VolumeSize",
    "volumeType": "VolumeType",
    "iops": "Iops",
    "throughput": "Throughput",
    "encrypted": "Encrypted",
    "kmsKeyId": "KmsKeyId",
    "deleteOnTermination": "DeleteOnTermination",
}
_METADATA = {
    "httpEndpoint": "HttpEndpoint",
    "httpTokens": "HttpTokens",
    "httpPutResponseHopLimit": "HttpPutResponseHopLimit",
    "instanceMetadataTags": "InstanceMetadataTags",
    "httpProtocolIpv6": "HttpProtocolIpv6",
}


def _renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {option: given[name] for name, option in names.items() if given.get(name) is not None}


# Instance: what is sent


def _user_data(inputs: Mapping[str, Any]) -> str | None:
    """As the API takes it, in base64."""
    if inputs.get("userDataBase64") is not None:
        return str(inputs["userDataBase64"])
    text = inputs.get("userData")
    return None if text is None else base64.b64encode(str(text).encode()).decode()


def _disks(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    root = inputs.get("rootBlockDevice")
    if root:
        found.append({"DeviceName": ROOT_DEVICE, "Ebs": _renamed(root, _VOLUME)})
    for one in inputs.get("ebsBlockDevices") or ():
        found.append({"DeviceName": one["deviceName"], "Ebs": _renamed(one, _VOLUME)})
    for one in inputs.get("ephemeralBlockDevices") or ():
        found.append({"DeviceName": one["deviceName"], "VirtualName": one.get("virtualName", "ephemeral0")})
    # moto keeps neither: they stand in the stand-in's file only.
    for one in found:
        for name in ("Iops", "Throughput"):
            one.get("Ebs", {}).pop(name, None)
    return found


def _market(inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    given = inputs.get("instanceMarketOptions")
    if not given:
        return None
    names = {
        "spotInstanceType": "SpotInstanceType",
        "instanceInterruptionBehavior": "InstanceInterruptionBehavior",
        "maxPrice": "MaxPrice",
        "validUntil": "ValidUntil",
    }
    options = _renamed(given.get("spotOptions") or {}, names)
    return {"MarketType": given.get("marketType"), **({"SpotOptions": options} if options else {})}


def _run(ask: Ask, ec2: Any) -> dict[str, Any]:
    """The parameters of RunInstances."""
    given = ask.inputs
    found: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": given.get("ami"),
        "InstanceType": given.get("instanceType"),
        "KeyName": given.get("keyName"),
        "UserData": given.get("userData"),
        "EbsOptimized": given.get("ebsOptimized"),
        "InstanceInitiatedShutdownBehavior": given.get("instanceInitiatedShutdownBehavior"),
        "DisableApiTermination": given.get("disableApiTermination"),
        "BlockDeviceMappings": _disks(given) or None,
        "InstanceMarketOptions": _market(given),
        "TagSpecifications": specification(ask, "instance") or None,
    }
    if given.get("userDataBase64") is not None:  # boto encodes by itself
        found["UserData"] = base64.b64decode(given["userDataBase64"])
    if given.get("monitoring") is not None:
        found["Monitoring"] = {"Enabled": given["monitoring"]}
    if given.get("iamInstanceProfile"):
        found["IamInstanceProfile"] = {"Name": given["iamInstanceProfile"]}
    if given.get("metadataOptions"):
        found["MetadataOptions"] = _renamed(given["metadataOptions"], _METADATA)
    if given.get("launchTemplate"):
        names = {"id": "LaunchTemplateId", "name": "LaunchTemplateName", "version": "Version"}
        found["LaunchTemplate"] = _renamed(given["launchTemplate"], names)
    placement = _renamed(
        given,
        {"availabilityZone": "AvailabilityZone", "placementGroup": "GroupName", "tenancy": "Tenancy"},
    )
    if placement:
        found["Placement"] = placement
    if found.get("UserData") is not None and len(base64.b64decode(_user_data(given) or "")) > USER_DATA_BYTES:
        raise Refusal("api error InvalidParameterValue: User data is limited to 16384 bytes")
    found |= _interfaces(given)
    return {name: value for name, value in found.items() if value is not None}


def _interfaces(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "networkInterfaceId": "NetworkInterfaceId",
        "deviceIndex": "DeviceIndex",
        "networkCardIndex": "NetworkCardIndex",
        "deleteOnTermination": "DeleteOnTermination",
    }
    cards = [_renamed(one, names) for one in given.get("networkInterfaces") or ()]
    if given.get("primaryNetworkInterface"):
        cards.insert(0, {"DeviceIndex": 0, **_renamed(given["primaryNetworkInterface"], names)})
    if cards:
        return {"NetworkInterfaces": cards}
    groups = given.get("vpcSecurityGroupIds")
    if given.get("associatePublicIpAddress") is None:
        return {
            "SubnetId": given.get("subnetId"),
            "SecurityGroupIds": groups,
            "SecurityGroups": given.get("securityGroups"),
        }
    one = {
        "DeviceIndex": 0,
        "SubnetId": given.get("subnetId"),
        "Groups": groups,
        "AssociatePublicIpAddress": given["associatePublicIpAddress"],
        "DeleteOnTermination": True,
    }
    return {"NetworkInterfaces": [{name: value for name, value in one.items() if value is not None}]}


def _zone(ask: Ask, ec2: Any) -> str | None:
    if ask.inputs.get("availabilityZone"):
        return str(ask.inputs["availabilityZone"])
    if not ask.inputs.get("subnetId"):
        return None
    return str(ec2.describe_subnets(SubnetIds=[ask.inputs["subnetId"]])["Subnets"][0]["AvailabilityZone"])


def _checked(ask: Ask, ec2: Any) -> None:
    """What EC2 refuses and moto takes."""
    given = ask.inputs
    machine, group = given.get("instanceType"), given.get("placementGroup")
    if machine:
        known = ec2.get_paginator("describe_instance_types").paginate(
            Filters=[{"Name": "instance-type", "Values": [machine]}]
        )
        if not any(page["InstanceTypes"] for page in known):
            raise Refusal(
                "api error InvalidParameterValue: The following supplied instance types do not exist: "
                f"[{machine}]"
            )
    if group and ask.store.get("aws", "placement-group", f"{region(ask)}/{group}") is None:
        raise Refusal(f"api error InvalidPlacementGroup.Unknown: The Placement Group '{group}' is unknown.")


def _instance_create(ask: Ask) -> Made:
    ec2 = client(ask, "ec2")
    zone, machine = _zone(ask, ec2), ask.inputs.get("instanceType")
    refuse_if_told(ask, "Instance", zone, machine)
    _checked(ask, ec2)
    parameters = _run(ask, ec2)
    if "LaunchTemplate" in parameters:
        parameters = _from_template(ec2, parameters)
    made = ec2.run_instances(**parameters)["Instances"][0]
    name = str(made["InstanceId"])
    spot = (parameters.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
    more: dict[str, Any] = {
        "placementGroup": ask.inputs.get("placementGroup"),
        "rootBlockDevice": ask.inputs.get("rootBlockDevice"),
        "market": parameters.get("InstanceMarketOptions"),
        "spotInstanceRequestId": f"sir-{uuid.uuid4().hex[:8]}" if spot else None,
        "starts": 1,
    }
    ask.store.put("aws", MORE, name, more)
    _volume_tags(ask, ec2, made)
    if ask.inputs.get("sourceDestCheck") is False:
        ec2.modify_instance_attribute(InstanceId=name, SourceDestCheck={"Value": False})
    found = _instance_read(with_id(ask, name))
    assert found is not None
    return found


def _from_template(ec2: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What EC2 does with a template and moto only does in part: what is not given here comes from it."""
    named = parameters["LaunchTemplate"]
    by = {name: value for name, value in named.items() if name != "Version"}
    versions = ec2.describe_launch_template_versions(**by, Versions=[named.get("Version", "$Default")])
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    found = {name: value for name, value in data.items() if name not in ("TagSpecifications",)}
    if found.get("UserData"):
        found["UserData"] = base64.b64decode(found["UserData"])
    if parameters.get("SubnetId") and found.get("NetworkInterfaces"):
        found.pop("NetworkInterfaces")
    return {**found, **{name: value for name, value in parameters.items() if name != "LaunchTemplate"}}


def _volume_tags(ask: Ask, ec2: Any, made: Mapping[str, Any]) -> None:
    given = ask.inputs.get("volumeTags") or (ask.inputs.get("rootBlockDevice") or {}).get("tags")
    if given:
        volumes = _volumes(ec2, str(made["InstanceId"]))
        ec2.create_tags(Resources=[one["VolumeId"] for one in volumes], Tags=listed(given))


def _volumes(ec2: Any, name: str) -> list[dict[str, Any]]:
    of = [{"Name": "attachment.instance-id", "Values": [name]}]
    return list(ec2.describe_volumes(Filters=of)["Volumes"])


# Instance: what comes back


def _seen(ask: Ask) -> Any:
    """The instance as EC2 describes it, or None when it is no more."""
    ec2 = client(ask, "ec2")
    found = there(lambda: ec2.describe_instances(InstanceIds=[ask.id]))
    listed_ones = [one for each in (found or {}).get("Reservations", ()) for one in each["Instances"]]
    if not listed_ones or listed_ones[0]["State"]["Name"] in ("terminated", "shutting-down"):
        return None
    return listed_ones[0]


def _instance_read(ask: Ask) -> Made | None:
    seen = _seen(ask)
    if seen is None:
        ask.store.drop("aws", MORE, ask.id)
        return None
    ec2 = client(ask, "ec2")
    more = ask.store.get("aws", MORE, ask.id) or {}
    interface = (seen.get("NetworkInterfaces") or [{}])[0]
    profile = str((seen.get("IamInstanceProfile") or {}).get("Arn", "")).rpartition("/")[2]
    options = seen.get("MetadataOptions") or {}
    data = ec2.describe_instance_attribute(InstanceId=ask.id, Attribute="userData").get("UserData", {})
    coded = data.get("Value")
    root = more.get("rootBlockDevice") or {}
    volumes = _volumes(ec2, ask.id)
    given = {**ask.state, **ask.inputs}
    outputs = {
        "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:instance/{ask.id}",
        "region": region(ask),
        "ami": seen.get("ImageId"),
        "instanceType": seen["InstanceType"],
        "availabilityZone": seen["Placement"]["AvailabilityZone"],
        "tenancy": seen["Placement"].get("Tenancy", "default"),
        "placementGroup": more.get("placementGroup"),
        "instanceState": seen["State"]["Name"],
        "instanceLifecycle": seen.get("InstanceLifecycle"),
        "spotInstanceRequestId": more.get("spotInstanceRequestId"),
        "keyName": seen.get("KeyName"),
        "privateIp": seen.get("PrivateIpAddress"),
        "privateDns": seen.get("PrivateDnsName"),
        "publicIp": seen.get("PublicIpAddress"),
        "publicDns": seen.get("PublicDnsName"),
        "subnetId": seen.get("SubnetId"),
        "primaryNetworkInterfaceId": interface.get("NetworkInterfaceId"),
        "vpcSecurityGroupIds": [
            # moto has the groups of an instance that names its interface on that interface alone
            one["GroupId"]
            for one in interface.get("Groups") or seen.get("SecurityGroups") or ()
        ],
        "iamInstanceProfile": profile or None,
        "sourceDestCheck": seen.get("SourceDestCheck", True),
        "monitoring": seen.get("Monitoring", {}).get("State") == "enabled",
        "metadataOptions": {
            name: options[option] for name, option in _METADATA.items() if options.get(option) is not None
        },
        "rootBlockDevice": {
            "deviceName": ROOT_DEVICE,
            **root,
            **({"volumeId": volumes[0]["VolumeId"]} if volumes else {}),
        },
        **tagged(ask, mapped(seen.get("Tags"))),
    }
    if coded and "userDataBase64" in given:
        outputs["userDataBase64"] = coded
    elif coded:
        outputs["userData"] = base64.b64decode(coded).decode("utf-8", "replace")
    return Made(ask.id, outputs)


# Instance: what changes in place

_STOPPED = ("instanceType", "userData", "userDataBase64", "ebsOptimized", "cpuOptions")


def _instance_update(ask: Ask) -> Mapping[str, Any]:
    ec2 = client(ask, "ec2")
    if tags(ask) != (ask.state.get("tagsAll") or {}):
        _retag(ask, ec2)
    if ask.changed("vpcSecurityGroupIds"):
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=ask.state["primaryNetworkInterfaceId"],
            Groups=ask.inputs["vpcSecurityGroupIds"],
        )
    if ask.changed("metadataOptions"):
        options = _renamed(ask.inputs.get("metadataOptions") or {}, _METADATA)
        ec2.modify_instance_metadata_options(InstanceId=ask.id, **options)
    if ask.changed("instanceInitiatedShutdownBehavior"):
        behaviour = {"Value": ask.inputs.get("instanceInitiatedShutdownBehavior", "stop")}
        ec2.modify_instance_attribute(InstanceId=ask.id, InstanceInitiatedShutdownBehavior=behaviour)
    if ask.changed("disableApiTermination"):
        value = {"Value": bool(ask.inputs.get("disableApiTermination"))}
        ec2.modify_instance_attribute(InstanceId=ask.id, DisableApiTermination=value)
    if ask.changed("iamInstanceProfile"):
        _change_profile(ask, ec2)
    more = ask.store.get("aws", MORE, ask.id) or {}
    if ask.changed("rootBlockDevice"):
        more["rootBlockDevice"] = ask.inputs.get("rootBlockDevice")
        ask.store.put("aws", MORE, ask.id, more)
    if ask.changed("volumeTags"):
        _volume_tags(ask, ec2, {"InstanceId": ask.id})
    if ask.changed(*_STOPPED):
        _stop_and_start(ask, ec2, more)
    made = _instance_read(ask)
    if made is None:
        raise Refusal(f"reading EC2 Instance ({ask.id}): couldn't find resource")
    return made.outputs


def _retag(ask: Ask, ec2: Any) -> None:
    from tests.standins.aws_session import retag

    retag(ask)


def _change_profile(ask: Ask, ec2: Any) -> None:
    of = [{"Name": "instance-id", "Values": [ask.id]}]
    now = ec2.describe_iam_instance_profile_associations(Filters=of)["IamInstanceProfileAssociations"]
    wanted = ask.inputs.get("iamInstanceProfile")
    if now and wanted:
        ec2.replace_iam_instance_profile_association(
            AssociationId=now[0]["AssociationId"], IamInstanceProfile={"Name": wanted}
        )
    elif now:
        ec2.disassociate_iam_instance_profile(AssociationId=now[0]["AssociationId"])
    elif wanted:
        ec2.associate_iam_instance_profile(InstanceId=ask.id, IamInstanceProfile={"Name": wanted})


def _stop_and_start(ask: Ask, ec2: Any, more: dict[str, Any]) -> None:
    """Changes that a running instance does not take; one-time spot instances cannot be stopped at all."""
    spot = ((more.get("market") or {}).get("SpotOptions") or {}).get("SpotInstanceType", "one-time")
    if more.get("spotInstanceRequestId") and spot == "one-time":
        raise Refusal(
            f"stopping EC2 Instance ({ask.id}): api error UnsupportedOperation: You can't stop the Spot Instance "
            f"'{ask.id}' because it is associated with a one-time Spot Instance request. You can only stop Spot "
            "Instances associated with persistent Spot Instance requests."
        )
    ec2.stop_instances(InstanceIds=[ask.id])
    if ask.changed("instanceType"):
        ec2.modify_instance_attribute(InstanceId=ask.id, InstanceType={"Value": ask.inputs["instanceType"]})
    if ask.changed("userData", "userDataBase64"):
        # boto encodes it once more; moto, here only, decodes what it gets once and wants base64 then.
        coded = (_user_data(ask.inputs) or "").encode()
        ec2.modify_instance_attribute(InstanceId=ask.id, UserData={"Value": coded})
    ec2.start_instances(InstanceIds=[ask.id])
    ask.store.put("aws", MORE, ask.id, {**more, "starts": more.get("starts", 1) + 1})


def _instance_delete(ask: Ask) -> None:
    if ask.state.get("disableApiTermination") and not ask.state.get("forceDestroy"):
        raise Refusal(
            f"terminating EC2 Instance ({ask.id}): api error OperationNotPermitted: The instance '{ask.id}' may "
            "not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
        )
    gone(lambda: client(ask, "ec2").terminate_instances(InstanceIds=[ask.id]))
    ask.store.drop("aws", MORE, ask.id)


_CHOICES = {
    "instanceInitiatedShutdownBehavior": ("stop", "terminate"),
    "tenancy": ("default", "dedicated", "host"),
    "metadataOptions.httpTokens": ("optional", "required"),
    "metadataOptions.httpEndpoint": ("enabled", "disabled"),
    "metadataOptions.instanceMetadataTags": ("enabled", "disabled"),
    "instanceMarketOptions.marketType": ("spot", "capacity-block"),
    "instanceMarketOptions.spotOptions.spotInstanceType": ("one-time", "persistent"),
    "instanceMarketOptions.spotOptions.instanceInterruptionBehavior": ("hibernate", "stop", "terminate"),
    "rootBlockDevice.volumeType": ("standard", "gp2", "gp3", "io1", "io2", "sc1", "st1"),
}
_CONFLICTS = (
    ("userData", "userDataBase64"),
    ("vpcSecurityGroupIds", "networkInterfaces"),
    ("subnetId", "networkInterfaces"),
    ("securityGroups", "vpcSecurityGroupIds"),
    ("placementGroup", "placementGroupId"),
)


def choices(inputs: Mapping[str, Any], allowed: Mapping[str, Iterable[str]]) -> Iterator[Wrong]:
    """Texts that are none of the values they have to be, by path."""
    for path, values in allowed.items():
        value: Any = inputs
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None and not unknown(value) and value not in values:
            yield path, f"expected {path} to be one of {list(values)}, got {value}"


def _instance_rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    yield from choices(inputs, _CHOICES)
    for one, other in _CONFLICTS:
        if one in inputs and other in inputs:
            yield one, f'"{one}": conflicts with {other}'
    if "launchTemplate" not in inputs:
        for name in ("ami", "instanceType"):
            if name not in inputs:
                yield name, f'"{name}": one of `{name},launch_template` must be specified'
    if not unknown(inputs.get("ami")) and not re.fullmatch(
        r"ami-[0-9a-f]{8,17}", inputs.get("ami", "ami-00000000")
    ):
        yield "ami", f'Invalid id: "{inputs["ami"]}" (expecting "ami-...")'
    spot = (inputs.get("instanceMarketOptions") or {}).get("spotOptions") or {}
    if spot.get("instanceInterruptionBehavior") == "stop" and spot.get("spotInstanceType") != "persistent":
        yield "instanceMarketOptions", "interruption behavior stop needs a persistent request"
    text = inputs.get("userData")
    if text is not None and not unknown(text) and len(str(text).encode()) > USER_DATA_BYTES:
        yield "userData", f"expected length of user_data to be in the range (0 - {USER_DATA_BYTES})"
    if inputs.get("userDataBase64") is not None and not unknown(inputs["userDataBase64"]):
        try:
            base64.b64decode(inputs["userDataBase64"], validate=True)
        except ValueError:
            yield "userDataBase64", 'expected "user_data_base64" to be a base64-encoded value'


INSTANCE = Kind(
    create=_instance_create,
    read=_instance_read,
    update=_instance_update,
    delete=_instance_delete,
    replaces=(
        "region", "ami", "associatePublicIpAddress", "availabilityZone", "ebsBlockDevices", "ephemeralBlockDevices",
        "enclaveOptions", "hibernation", "hostResourceGroupArn", "instanceMarketOptions", "keyName",
        "launchTemplate", "networkInterfaces", "placementGroup", "placementGroupId", "placementPartitionNumber",
        "primaryNetworkInterface", "privateIp", "rootBlockDevice.encrypted", "rootBlockDevice.kmsKeyId",
        "secondaryNetworkInterfaces", "securityGroups", "subnetId", "tenancy",
    ),
    replaces_when=lambda ask: ("userData", "userDataBase64") if ask.inputs.get("userDataReplaceOnChange") else (),
    rules=_instance_rules,
    sets=frozenset({"vpcSecurityGroupIds", "securityGroups"}),
    kept=frozenset(
        {"availabilityZone", "subnetId", "vpcSecurityGroupIds", "tenancy", "privateIp", "monitoring",
         "metadataOptions", "rootBlockDevice", "placementGroup", "iamInstanceProfile"}
    ) - {"iamInstanceProfile"},
)  # fmt: skip


# PlacementGroup: not in moto


def _group_create(ask: Ask) -> Made:
    refuse_if_told(ask, "PlacementGroup")
    name = ask.inputs["name"]
    made = {
        "name": name,
        "strategy": ask.inputs["strategy"],
        "spreadLevel": ask.inputs.get("spreadLevel"),
        "partitionCount": ask.inputs.get("partitionCount"),
        "placementGroupId": f"pg-{uuid.uuid4().hex[:17]}",
        "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:placement-group/{name}",
        "region": region(ask),
        **tagged(ask, tags(ask)),
    }
    ask.store.called("aws", "ec2", "CreatePlacementGroup", {"GroupName": name, "region": region(ask)})
    if not ask.store.add("aws", "placement-group", f"{region(ask)}/{name}", made):
        raise Refusal(
            f"api error InvalidPlacementGroup.Duplicate: The Placement Group '{name}' already exists."
        )
    return Made(name, made)


def _group_read(ask: Ask) -> Made | None:
    ask.store.called("aws", "ec2", "DescribePlacementGroups", {"GroupNames": [ask.id], "region": region(ask)})
    found = ask.store.get("aws", "placement-group", f"{region(ask)}/{ask.id}")
    return None if found is None else Made(ask.id, found)


def _group_update(ask: Ask) -> Mapping[str, Any]:
    ask.store.called("aws", "ec2", "CreateTags", {"Resources": [ask.id], "region": region(ask)})
    found = _group_read(ask)
    assert found is not None
    made = {**found.outputs, **tagged(ask, tags(ask))}
    ask.store.put("aws", "placement-group", f"{region(ask)}/{ask.id}", made)
    return made


def _group_delete(ask: Ask) -> None:
    ask.store.called("aws", "ec2", "DeletePlacementGroup", {"GroupName": ask.id, "region": region(ask)})
    for name, more in ask.store.all("aws", MORE).items():
        if more.get("placementGroup") == ask.id and _seen(with_id(ask, name)):
            raise Refusal(
                f"deleting EC2 Placement Group ({ask.id}): api error InvalidPlacementGroup.InUse: The placement "
                f"group '{ask.id}' is in use and may not be deleted."
            )
    ask.store.drop("aws", "placement-group", f"{region(ask)}/{ask.id}")


PLACEMENT_GROUP = Kind(
    create=_group_create,
    read=_group_read,
    update=_group_update,
    delete=_group_delete,
    replaces=("region", "name", "strategy", "spreadLevel", "partitionCount"),
    name="name",
    kept=frozenset({"spreadLevel", "partitionCount"}),
    rules=lambda inputs: choices(
        inputs, {"strategy": ("cluster", "partition", "spread"), "spreadLevel": ("host", "rack")}
    ),
)


# KeyPair


def _key_create(ask: Ask) -> Made:
    client(ask, "ec2").import_key_pair(
        KeyName=ask.inputs["keyName"],
        PublicKeyMaterial=ask.inputs["publicKey"].encode(),
        TagSpecifications=specification(ask, "key-pair"),
    )
    found = _key_read(with_id(ask, ask.inputs["keyName"]))
    assert found is not None
    return found


def _key_read(ask: Ask) -> Made | None:
    seen = there(lambda: client(ask, "ec2").describe_key_pairs(KeyNames=[ask.id]))
    if not seen or not seen["KeyPairs"]:
        return None
    one = seen["KeyPairs"][0]
    outputs = {
        "keyName": ask.id,
        "keyPairId": one["KeyPairId"],
        "fingerprint": one["KeyFingerprint"],
        "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:key-pair/{ask.id}",
        "region": region(ask),
    }
    return Made(ask.id, {**outputs, **tagged(ask, mapped(one.get("Tags")))})


def _key_update(ask: Ask) -> Mapping[str, Any]:
    from tests.standins.aws_session import retag

    retag(with_id(ask, ask.state["keyPairId"]))
    found = _key_read(ask)
    assert found is not None
    return found.outputs


KEY_PAIR = Kind(
    create=_key_create,
    read=_key_read,
    update=_key_update,
    delete=lambda ask: gone(lambda: client(ask, "ec2").delete_key_pair(KeyName=ask.id)),
    replaces=("region", "keyName", "keyNamePrefix", "publicKey"),
    name="keyName",
)


# LaunchTemplate


def _template_data(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "imageId": "ImageId",
        "instanceType": "InstanceType",
        "keyName": "KeyName",
        "userData": "UserData",
        "vpcSecurityGroupIds": "SecurityGroupIds",
        "instanceInitiatedShutdownBehavior": "InstanceInitiatedShutdownBehavior",
    }
    found = _renamed(given, names)
    if given.get("ebsOptimized") is not None:
        found["EbsOptimized"] = str(given["ebsOptimized"]).lower() == "true"
    if given.get("iamInstanceProfile"):
        found["IamInstanceProfile"] = _renamed(given["iamInstanceProfile"], {"name": "Name", "arn": "Arn"})
    if given.get("metadataOptions"):
        found["MetadataOptions"] = _renamed(given["metadataOptions"], _METADATA)
    if given.get("placement"):
        found["Placement"] = _renamed(
            given["placement"], {"groupName": "GroupName", "availabilityZone": "AvailabilityZone"}
        )
    if _market(given):
        found["InstanceMarketOptions"] = _market(given)
    if given.get("blockDeviceMappings"):
        found["BlockDeviceMappings"] = [
            {
                "DeviceName": one.get("deviceName", ROOT_DEVICE),
                "Ebs": {
                    name: str(value).lower() == "true"
                    if name in ("Encrypted", "DeleteOnTermination")
                    else value
                    for name, value in _renamed(one.get("ebs") or {}, _VOLUME).items()
                },
            }
            for one in given["blockDeviceMappings"]
        ]
    if given.get("networkInterfaces"):
        found["NetworkInterfaces"] = [
            _renamed(
                one,
                {
                    "deviceIndex": "DeviceIndex",
                    "networkCardIndex": "NetworkCardIndex",
                    "interfaceType": "InterfaceType",
                    "subnetId": "SubnetId",
                    "securityGroups": "Groups",
                },
            )
            for one in given["networkInterfaces"]
        ]
    if given.get("tagSpecifications"):
        found["TagSpecifications"] = [
            {"ResourceType": one.get("resourceType"), "Tags": listed(one.get("tags") or {})}
            for one in given["tagSpecifications"]
        ]
    return found


def _template_create(ask: Ask, ec2: Any) -> str:
    made = ec2.create_launch_template(
        LaunchTemplateName=ask.inputs["name"],
        LaunchTemplateData=_template_data(ask.inputs),
        TagSpecifications=specification(ask, "launch-template"),
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def _template_describe(ask: Ask, ec2: Any) -> Any:
    found = ec2.describe_launch_templates(LaunchTemplateIds=[ask.id])["LaunchTemplates"]
    return found[0] if found else None


def _template_change(ask: Ask, ec2: Any) -> None:
    if _template_data(ask.old) != _template_data(ask.inputs):
        made = ec2.create_launch_template_version(
            LaunchTemplateId=ask.id, LaunchTemplateData=_template_data(ask.inputs)
        )
        if ask.inputs.get("updateDefaultVersion"):
            number = str(made["LaunchTemplateVersion"]["VersionNumber"])
            ec2.modify_launch_template(LaunchTemplateId=ask.id, DefaultVersion=number)


LAUNCH_TEMPLATE = ec2_kind(
    "launch-template",
    _template_create,
    _template_describe,
    lambda ask, ec2: ec2.delete_launch_template(LaunchTemplateId=ask.id),
    lambda ask, seen: {
        "name": seen["LaunchTemplateName"],
        "latestVersion": seen["LatestVersionNumber"],
        "defaultVersion": seen["DefaultVersionNumber"],
    },
    _template_change,
    replaces=("name", "namePrefix"),
    name="name",
    kept=frozenset({"defaultVersion"}),
)


KINDS: dict[str, Kind] = {
    "aws:ec2/instance:Instance": INSTANCE,
    "aws:ec2/placementGroup:PlacementGroup": PLACEMENT_GROUP,
    "aws:ec2/keyPair:KeyPair": KEY_PAIR,
    "aws:ec2/launchTemplate:LaunchTemplate": LAUNCH_TEMPLATE,
}
