"""What resource types of AWS mean for rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.rules.facts import EVERY, UNKNOWN, Address, Disk, Fact, Machine, MadeRole, Opening, Tags
from stacks.rules.reading import Read, acting, listed, mapped, nothing, text, texts

Inputs = Mapping[str, Any]


def _tagged(inputs: Inputs) -> Iterable[Fact]:
    yield Tags(texts(inputs.get("tags")))


def _instance(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    market = mapped(inputs.get("instanceMarketOptions"))
    yield Machine(market.get("marketType") == "spot")
    yield from acting(inputs.get("iamInstanceProfile"))
    if inputs.get("associatePublicIpAddress"):
        yield Address("a public address")
    yield _disk("its root disk", mapped(inputs.get("rootBlockDevice")))
    for device in listed(inputs.get("ebsBlockDevices")):
        yield _disk(f"its disk {device.get('deviceName', '')}".rstrip(), mapped(device))


def _disk(what: str, device: Inputs) -> Disk:
    encrypted = device.get("encrypted", False)
    key = device.get("kmsKeyId")
    return Disk(what, None if encrypted == UNKNOWN else bool(encrypted), key and text(key))


def _volume(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    yield _disk("the volume", inputs)


def _template(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    for mapping in listed(inputs.get("blockDeviceMappings")):
        ebs = mapped(mapping.get("ebs"))
        encrypted = {"true": True, UNKNOWN: UNKNOWN}.get(str(ebs.get("encrypted")).lower(), False)
        yield _disk(f"its disk {mapping.get('deviceName', '')}".rstrip(), {**ebs, "encrypted": encrypted})
    for interface in listed(inputs.get("networkInterfaces")):
        if str(interface.get("associatePublicIpAddress", "")).lower() == "true":
            yield Address("a public address")
            return


def _address(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    yield Address("an elastic address")


def _group(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    for rule in listed(inputs.get("ingress")):
        sources = (*listed(rule.get("cidrBlocks")), *listed(rule.get("ipv6CidrBlocks")))
        yield from _opening(rule.get("protocol"), rule.get("fromPort"), rule.get("toPort"), sources)


def _ingress(inputs: Inputs) -> Iterable[Fact]:
    sources = tuple(one for one in (inputs.get("cidrIpv4"), inputs.get("cidrIpv6")) if one)
    yield from _opening(inputs.get("ipProtocol"), inputs.get("fromPort"), inputs.get("toPort"), sources)


def _rule(inputs: Inputs) -> Iterable[Fact]:
    if inputs.get("type") == "ingress":
        sources = (*listed(inputs.get("cidrBlocks")), *listed(inputs.get("ipv6CidrBlocks")))
        yield from _opening(inputs.get("protocol"), inputs.get("fromPort"), inputs.get("toPort"), sources)


def _opening(protocol: Any, first: Any, last: Any, sources: Iterable[Any]) -> Iterable[Fact]:
    """From networks only: a rule that names a group opens to machines that are named, not to places."""
    if networks := tuple(str(one) for one in sources):
        name = {"-1": "all", "6": "tcp", "17": "udp"}.get(str(protocol), str(protocol).lower())
        ports = EVERY if name == "all" or UNKNOWN in (first, last) else (int(first or 0), int(last or 0))
        yield Opening(*ports, name, networks)


def _bucket(inputs: Inputs) -> Iterable[Fact]:
    # S3 encrypts every object by itself; by which key says a resource of its own.
    yield from _tagged(inputs)


def _bucket_encryption(inputs: Inputs) -> Iterable[Fact]:
    for rule in listed(inputs.get("rules")):
        by = mapped(rule.get("applyServerSideEncryptionByDefault"))
        key = by.get("kmsMasterKeyId")
        yield Disk("the bucket", bool(by.get("sseAlgorithm")), key and text(key))


def _role(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    boundary = inputs.get("permissionsBoundary")
    yield MadeRole(text(inputs.get("name", "")), boundary and text(boundary))


def _profile(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    yield from acting(inputs.get("name"))


def _secret(inputs: Inputs) -> Iterable[Fact]:
    yield from _tagged(inputs)
    key = inputs.get("kmsKeyId")
    yield Disk("the secret", True, key and text(key))


TYPES: dict[str, Read] = {
    "aws:ebs/volume:Volume": _volume,
    "aws:ec2/ami:Ami": _tagged,
    "aws:ec2/amiFromInstance:AmiFromInstance": _tagged,
    "aws:ec2/eip:Eip": _address,
    "aws:ec2/eipAssociation:EipAssociation": nothing,
    "aws:ec2/instance:Instance": _instance,
    "aws:ec2/internetGateway:InternetGateway": _tagged,
    "aws:ec2/launchTemplate:LaunchTemplate": _template,
    "aws:ec2/placementGroup:PlacementGroup": _tagged,
    "aws:ec2/routeTable:RouteTable": _tagged,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": nothing,
    "aws:ec2/securityGroup:SecurityGroup": _group,
    "aws:ec2/securityGroupRule:SecurityGroupRule": _rule,
    "aws:ec2/subnet:Subnet": _tagged,
    "aws:ec2/vpc:Vpc": _tagged,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _tagged,
    "aws:iam/instanceProfile:InstanceProfile": _profile,
    "aws:iam/role:Role": _role,
    "aws:iam/rolePolicy:RolePolicy": nothing,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": nothing,
    "aws:s3/bucketObjectv2:BucketObjectv2": _tagged,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": nothing,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _bucket_encryption,
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _ingress,
}
