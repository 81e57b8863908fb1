"""What resource types of Google Cloud mean for rules. Everything that rests there is encrypted, if by Google's key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.rules.facts import EVERY, Address, Disk, Fact, Machine, Opening, Tags
from stacks.rules.reading import Read, acting, listed, mapped, nothing, text, texts

Inputs = Mapping[str, Any]


def _labelled(inputs: Inputs) -> Iterable[Fact]:
    yield Tags(texts(inputs.get("labels")))


def _instance(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    scheduling = mapped(inputs.get("scheduling"))
    yield Machine(scheduling.get("provisioningModel") == "SPOT" or bool(scheduling.get("preemptible")))
    yield from acting(mapped(inputs.get("serviceAccount")).get("email"))
    if any(listed(one.get("accessConfigs")) for one in listed(inputs.get("networkInterfaces"))):
        yield Address("a public address")
    yield _disk("its boot disk", mapped(inputs.get("bootDisk")).get("kmsKeySelfLink"))
    for disk in listed(inputs.get("attachedDisks")):
        yield _disk("an attached disk", disk.get("kmsKeySelfLink"))


def _disk(what: str, key: Any) -> Disk:
    return Disk(what, True, key and text(key))


def _volume(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    yield _disk("the disk", mapped(inputs.get("diskEncryptionKey")).get("kmsKeySelfLink"))


def _image(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    yield _disk("the image", mapped(inputs.get("imageEncryptionKey")).get("kmsKeySelfLink"))


def _bucket(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    yield _disk("the bucket", mapped(inputs.get("encryption")).get("defaultKmsKeyName"))


def _secret(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    replicas = listed(mapped(mapped(inputs.get("replication")).get("userManaged")).get("replicas"))
    keys = [mapped(one.get("customerManagedEncryption")).get("kmsKeyName") for one in replicas]
    yield _disk("the secret", keys[0] if keys and all(keys) else None)


def _firewall(inputs: Inputs) -> Iterable[Fact]:
    """Sources that are tags or accounts are machines that are named."""
    sources = tuple(str(one) for one in listed(inputs.get("sourceRanges")))
    if inputs.get("direction", "INGRESS") != "INGRESS" or not sources:
        return
    for allowed in listed(inputs.get("allows")):
        protocol = str(allowed.get("protocol", "all")).lower()
        for ports in listed(allowed.get("ports")) or ["0-65535"]:
            first, _, last = str(ports).partition("-")
            whole = EVERY if not first.isdigit() else (int(first), int(last or first))
            yield Opening(*whole, protocol, sources)


def _account(inputs: Inputs) -> Iterable[Fact]:
    yield from acting(inputs.get("accountId"))


def _address(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    if inputs.get("addressType", "EXTERNAL") == "EXTERNAL":
        yield Address("an external address")


TYPES: dict[str, Read] = {
    "gcp:compute/address:Address": _address,
    "gcp:compute/disk:Disk": _volume,
    "gcp:compute/firewall:Firewall": _firewall,
    "gcp:compute/image:Image": _image,
    "gcp:compute/instance:Instance": _instance,
    "gcp:compute/network:Network": nothing,
    "gcp:compute/resourcePolicy:ResourcePolicy": nothing,
    "gcp:compute/subnetwork:Subnetwork": nothing,
    "gcp:secretmanager/secret:Secret": _secret,
    "gcp:secretmanager/secretIamMember:SecretIamMember": nothing,
    "gcp:serviceaccount/account:Account": _account,
    "gcp:storage/bucket:Bucket": _bucket,
    "gcp:storage/bucketIAMMember:BucketIAMMember": nothing,
    "gcp:storage/bucketObject:BucketObject": nothing,
}
