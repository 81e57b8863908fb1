"""What one resource costs by its type and inputs: `TYPES` is the table, a line for each type that is paid for.

Now and then are priced by the same table, so a difference is one of the resource and never of the way of reckoning.
Machines are priced by the plan's own offer where it is theirs (it knows negotiated and reserved prices), else by the
catalog; disks, addresses, secrets and objects by the list prices of compiler/catalog/tariffs.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from compiler.catalog import tariffs
from compiler.offer import Market, Offer
from skywright.review.report import Kind, Part, Price

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog
    from compiler.spec import Foundation, StackSpec

Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as a resource names it. `card` is its accelerator where the resource says so by itself."""

    instance_type: str
    market: Market
    zone: str | None = None
    card: str = ""
    count: float = 1


@dataclass(frozen=True, slots=True)
class Around:
    """What a resource's inputs do not say: its cloud and region, the zone when it names none, what may be bought, and
    how many of the machines are paid for already."""

    cloud: str
    region: str | None
    zone: str | None = None
    offers: Sequence[Offer] = ()
    instance_type: str = ""
    market: Market = Market.ON_DEMAND
    nodes: int = 1
    kept: bool = False
    """Whether the bucket of the stack stays when the stack goes."""
    is_foundation: bool = False
    catalog: Catalog | None = None

    @classmethod
    def of(
        cls, spec: StackSpec | Foundation, offers: Sequence[Offer] = (), catalog: Catalog | None = None
    ) -> Around:
        from compiler.spec import Foundation

        if isinstance(spec, Foundation):
            return cls(spec.cloud, spec.region, is_foundation=True, catalog=catalog)
        kept = spec.checkpoint is not None
        machine = (spec.instance_type, spec.market, spec.nodes)
        return cls(spec.cloud, spec.region, spec.zone, tuple(offers), *machine, kept, catalog=catalog)


Reckon = Callable[[Inputs, Around, int], Sequence[Part]]
"""Parts of what a resource costs, from its inputs and (of machines) which one of the stack it is, from 0. Raises
NoPrice."""


class NoPrice(Exception):
    """Nothing here knows what that costs; says what is missing."""


def price(kind: str, inputs: Inputs, around: Around, number: int = 0) -> Price:
    """Of one resource. What has no line in the tables is not priced, and named as such."""
    name = plain(kind)
    stays = around.is_foundation or (around.kept and name in BUCKETS)
    reckon = TYPES.get(name)
    if reckon is None:
        return Price(Kind.FREE if is_free(name) else Kind.UNPRICED, stays=stays)
    try:
        parts = tuple(reckon(inputs, around, number))
    except NoPrice as error:
        return Price(Kind.UNPRICED, stays=stays, why=str(error))
    if any(part.hourly for part in parts):
        return Price(Kind.PRICED, parts, stays)
    return Price(Kind.USE if any(part.rate for part in parts) else Kind.FREE, parts, stays)


def plain(kind: str) -> str:
    """A type without the version that some providers write into it."""
    return re.sub(r"/v\d{8}(preview)?(?=:)", "", kind)


def is_free(kind: str) -> bool:
    """Roles, rules, networks and what else no cloud takes money for."""
    return kind in FREE or kind.startswith(FREE_OF)


# Machines.


def _machine(found: Machine, around: Around, number: int) -> Part:
    offer = next((one for one in around.offers if _is(one, found, around)), None)
    if offer is not None:
        paid = number >= offer.reserved
        what = f"{found.instance_type} {found.market.value}" + ("" if paid else ", reserved")
        return Part(what, offer.price if paid else 0.0, offer.source or "")
    listed = _listed(found, around)
    if listed is None:
        where = found.zone or around.region or around.cloud
        raise NoPrice(f"{found.instance_type or 'its machine'} {found.market.value} in {where}")
    return Part(f"{found.instance_type} {found.market.value}", *listed)


def _is(offer: Offer, found: Machine, around: Around) -> bool:
    zone = found.zone or around.zone
    return (
        (offer.instance_type, offer.market) == (found.instance_type, found.market)
        and offer.region == around.region
        and (offer.zone is None or zone is None or offer.zone == zone)
        and (not found.card or (offer.accelerator is not None and offer.accelerator.count == found.count))
    )


def _listed(found: Machine, around: Around) -> tuple[float, str] | None:
    """USD per hour and source by the catalog: in its zone, else the least in its region."""
    if around.catalog is None:
        return None
    column = "spot" if found.market is Market.SPOT else "offer.price"
    rows = around.catalog.find(
        f"select {column}, zone, accelerator, count, says from offer join shape on shape.id = shape"  # noqa: S608
        " join place on place.id = place join cell on cell.id = offer.cell join source on source.id = source"
        f" where place.cloud = ? and region = ? and shape.name = ? and {column} is not null"
        f" order by accelerator is not null, {column}",
        (around.cloud, around.region, found.instance_type),
    )
    if found.card:
        rows = [row for row in rows if row[3] == found.count and found.card.startswith(str(row[2]).upper())]
    zone = found.zone or around.zone
    best = next((row for row in rows if row[1] == zone), rows[0] if rows else None)
    return (best[0], best[4]) if best else None


def _own(inputs: Inputs, around: Around, number: int) -> list[Part]:
    """A node of this machine: what its stack says."""
    market = Market(inputs["market"]) if inputs.get("market") else around.market
    try:
        return [_machine(Machine(around.instance_type, market), around, number)]
    except NoPrice:
        return []  # one's own


def _pods(inputs: Inputs, around: Around, number: int) -> list[Part]:
    """All pods of a Job; a cluster is one's own unless the settings say what its machines cost."""
    spec = inputs.get("spec")
    count = spec.get("parallelism") if isinstance(spec, Mapping) else None
    nodes = int(count) if isinstance(count, (int, float)) else around.nodes
    try:
        each = [_machine(Machine(around.instance_type, around.market), around, one) for one in range(nodes)]
    except NoPrice:
        return []
    hourly = sum(one.hourly for one in each)
    return [Part(f"{nodes} pods", hourly, each[0].source)] if each and hourly else []


def _ec2(inputs: Inputs, around: Around, number: int) -> list[Part]:
    market = _at(inputs, "instanceMarketOptions", "marketType")
    spot = Market.SPOT if market == "spot" else Market.ON_DEMAND
    zone = _text(inputs.get("availabilityZone"))
    parts = [_machine(Machine(_text(inputs.get("instanceType")) or "", spot, zone), around, number)]
    disk = inputs.get("rootBlockDevice")
    if isinstance(disk, Mapping):
        parts.append(_ebs(disk))
    if inputs.get("associatePublicIpAddress") is True:
        parts += _address(inputs, around, number)
    return parts


def _gce(inputs: Inputs, around: Around, number: int) -> list[Part]:
    spot = _at(inputs, "scheduling", "provisioningModel") == "SPOT"
    cards = inputs.get("guestAccelerators") or [{}]
    card, count = "", 1.0
    if isinstance(cards[0], Mapping) and cards[0].get("type"):
        card = str(cards[0]["type"]).rpartition("/")[2].replace("nvidia-", "").replace("tesla-", "").upper()
        count = float(cards[0].get("count") or 1)
    market = Market.SPOT if spot else Market.ON_DEMAND
    name = _text(inputs.get("machineType")) or ""
    parts = [_machine(Machine(name, market, _text(inputs.get("zone")), card, count), around, number)]
    disk = _at(inputs, "bootDisk", "initializeParams")
    if isinstance(disk, Mapping):
        parts.append(_disk("gcp", disk.get("size"), _text(disk.get("type")) or ""))
    for card_of_net in inputs.get("networkInterfaces") or ():
        if isinstance(card_of_net, Mapping) and card_of_net.get("accessConfigs"):
            parts += _address(inputs, around, number)
    return parts


def _vm(inputs: Inputs, around: Around, number: int) -> list[Part]:
    market = Market.SPOT if inputs.get("priority") == "Spot" else Market.ON_DEMAND
    name = _text(_at(inputs, "hardwareProfile", "vmSize")) or ""
    parts = [_machine(Machine(name, market), around, number)]
    disk = _at(inputs, "storageProfile", "osDisk")
    if isinstance(disk, Mapping):
        kind = _text(_at(disk, "managedDisk", "storageAccountType")) or ""
        parts.append(_disk("azure", disk.get("diskSizeGB"), kind))
    return parts


# What stands beside them.


DISK_KINDS: Mapping[str, str] = {
    "gp3": "medium",
    "pd-standard": "low",
    "pd-balanced": "medium",
    "hyperdisk-balanced": "medium",
    "pd-ssd": "high",
    "StandardSSD_LRS": "low",
    "Premium_LRS": "medium",
}
"""The clouds' kinds of disks -> the tier whose price per GB they have."""


def _ebs(disk: Inputs) -> Part:
    """gp3 with what is paid beyond 3,000 IOPS and 125 MB/s."""
    more = 0.0
    for name, included, each in (
        ("iops", 3000, tariffs.EBS_IOPS),
        ("throughput", 125, tariffs.EBS_MB_S),
    ):
        asked = disk.get(name)
        if isinstance(asked, (int, float)):
            more += max(0.0, asked - included) * each
    return _disk("aws", disk.get("volumeSize"), _text(disk.get("volumeType")) or "gp3", more)


def _disk(cloud: str, gb: object, kind: str, more: float = 0.0) -> Part:
    """`more` is USD per month beyond its size."""
    tier = DISK_KINDS.get(kind.rpartition("/")[2])
    if tier is None or not isinstance(gb, (int, float)):
        raise NoPrice(f"a disk {kind}".strip())
    monthly = gb * tariffs.TIERS[cloud][tier].gb + more
    return Part(f"disk {gb:g} GB", monthly / tariffs.HOURS_A_MONTH, _source("boot disk", cloud))


def _address(inputs: Inputs, around: Around, number: int) -> list[Part]:
    del inputs, number
    if around.cloud not in tariffs.ADDRESS:
        raise NoPrice("a public address")
    return [Part("public address", tariffs.ADDRESS[around.cloud], _source("IPv4", around.cloud))]


def _secret(inputs: Inputs, around: Around, number: int) -> list[Part]:
    del inputs, number
    if around.cloud not in tariffs.SECRET:
        raise NoPrice("a secret")
    monthly = tariffs.SECRET[around.cloud]
    return [Part("secret", monthly / tariffs.HOURS_A_MONTH, _source("secret", around.cloud))]


def _objects(inputs: Inputs, around: Around, number: int) -> list[Part]:
    del inputs, number
    rate = tariffs.OBJECTS[around.cloud].tiers[0][1]
    return [Part("objects", 0.0, _source("objects", around.cloud), rate=f"${rate:g} per GB and month")]


def _endpoint(inputs: Inputs, around: Around, number: int) -> list[Part]:
    """Of the kind `Gateway` (S3) it is free, as it is when nothing is said; others are paid by hour and GB."""
    del around, number
    if inputs.get("vpcEndpointType", "Gateway") != "Gateway":
        raise NoPrice("an interface endpoint")
    return []


@cache
def _source(what: str, cloud: str) -> str:
    return next((str(row.source) for row in tariffs.listed() if (row.what, row.cloud) == (what, cloud)), "")


TYPES: Mapping[str, Reckon] = {
    "skywright:local:Node": _own,
    "aws:ec2/instance:Instance": _ec2,
    "aws:ec2/eip:Eip": _address,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:s3/bucket:Bucket": _objects,
    "aws:secretsmanager/secret:Secret": _secret,
    "gcp:compute/instance:Instance": _gce,
    "gcp:compute/address:Address": _address,
    "gcp:storage/bucket:Bucket": _objects,
    "gcp:secretmanager/secret:Secret": _secret,
    "azure-native:compute:VirtualMachine": _vm,
    "azure-native:network:PublicIPAddress": _address,
    "azure-native:storage:StorageAccount": _objects,
    "kubernetes:batch/v1:Job": _pods,
}
"""Types that are paid for."""

BUCKETS = ("aws:s3/bucket:Bucket", "gcp:storage/bucket:Bucket", "azure-native:storage:StorageAccount")
"""What holds checkpoints."""

FREE = frozenset((
    "aws:ec2/internetGateway:InternetGateway", "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/placementGroup:PlacementGroup", "aws:ec2/routeTable:RouteTable",
    "aws:ec2/routeTableAssociation:RouteTableAssociation", "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/subnet:Subnet", "aws:ec2/vpc:Vpc", "aws:ec2/eipAssociation:EipAssociation", "aws:ec2/keyPair:KeyPair",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "aws:s3/bucketObjectv2:BucketObjectv2",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "gcp:compute/firewall:Firewall", "gcp:compute/network:Network", "gcp:compute/subnetwork:Subnetwork",
    "gcp:compute/resourcePolicy:ResourcePolicy", "gcp:secretmanager/secretIamMember:SecretIamMember",
    "gcp:storage/bucketIAMMember:BucketIAMMember", "gcp:storage/bucketObject:BucketObject",
    "azure-native:compute:ProximityPlacementGroup", "azure-native:network:NetworkInterface",
    "azure-native:network:NetworkSecurityGroup", "azure-native:network:Subnet",
    "azure-native:network:VirtualNetwork", "azure-native:resources:ResourceGroup", "azure-native:storage:Blob",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy",
))  # fmt: skip
"""Types that nobody takes money for; what is put into a bucket is the bucket's."""

FREE_OF = (
    "aws:iam/", "gcp:serviceaccount/", "gcp:projects/", "azure-native:authorization:", "azure-native:managedidentity:",
    "kubernetes:core/v1:",
)  # fmt: skip
"""How types begin of which the whole family is free: identities and rights, objects of a cluster."""


def _at(inputs: Inputs, *path: str) -> Any:
    found: Any = inputs
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
