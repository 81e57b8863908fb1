"""The stand-in for the provider `gcp`: resources in the stand-ins' file, refused and replaced as Google's are."""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.standins import gcp_instance, rest_gcp
from tests.standins.gcp_names import (
    LINK,
    find,
    labelled,
    labels_wrong,
    must_find,
    named_wrong,
    number,
    project,
    region,
)
from tests.standins.kind import Ask, Cloud, Kind, Refusal
from tests.standins.shape import Wrong, unknown
from tests.standins.stored import at, choices, no_check, stored

Arguments = Mapping[str, Any]


def _exists(what: str) -> str:
    return f"googleapi: Error 409: The resource '{{}}' already exists, alreadyExists ({what})"


_IN_USE = (
    "googleapi: Error 400: The resource '{}' is already being used by '{}', resourceInUseByAnotherResource"
)


def _global(part: str) -> Callable[[Ask], str]:
    return lambda ask: f"projects/{project(ask)}/global/{part}/{ask.inputs['name']}"


def _regional(part: str) -> Callable[[Ask], str]:
    return lambda ask: f"projects/{project(ask)}/regions/{region(ask)}/{part}/{ask.inputs['name']}"


def compute(
    kind: str,
    identify: Callable[[Ask], str],
    replaces: tuple[str, ...],
    outputs: Callable[[Ask], Mapping[str, Any]] = lambda ask: {},
    rules: Callable[[Arguments], Iterable[Wrong]] = lambda inputs: (),
    refers: Mapping[str, str] | None = None,
    **more: Any,
) -> Kind:
    """A kind of Compute Engine. `refers`: path of an input -> kind that it has to name."""

    def all_outputs(ask: Ask, name: str) -> dict[str, Any]:
        common = {"selfLink": LINK + name, "project": project(ask), "creationTimestamp": _created(ask)}
        if "/regions/" in name:
            common["region"] = region(ask)
        return {**common, **labelled(ask), **outputs(ask)}

    def check(ask: Ask) -> None:
        for path, other in (refers or {}).items():
            for value in at(ask.inputs, path):
                must_find(ask, other, value)
        more_check(ask)

    def all_rules(inputs: Arguments) -> Iterator[Wrong]:
        yield from named_wrong(inputs)
        yield from labels_wrong(inputs)
        yield from rules(inputs)

    more_check = more.pop("check", no_check)
    return stored(
        "gcp",
        kind,
        identify,
        all_outputs,
        replaces=("name", "project", *replaces),
        check=check,
        rules=all_rules,
        exists=_exists(kind),
        used=_IN_USE,
        name="name",
        **more,
    )


def _created(ask: Ask) -> str:
    from tests.standins.stored import now

    return str(ask.state.get("creationTimestamp") or now())


# Networks

NETWORK = compute(
    "Network",
    _global("networks"),
    ("description", "autoCreateSubnetworks", "internalIpv6Range", "enableUlaInternalIpv6"),
    lambda ask: {
        "autoCreateSubnetworks": ask.inputs.get("autoCreateSubnetworks", True),
        "mtu": ask.inputs.get("mtu", 1460),
        "routingMode": ask.inputs.get("routingMode", "REGIONAL"),
        "numericId": str(number(ask.inputs["name"])),
    },
    lambda inputs: choices(inputs, {"routingMode": ("REGIONAL", "GLOBAL")}),
    kept=frozenset({"mtu", "routingMode"}),
)

SUBNETWORK = compute(
    "Subnetwork",
    _regional("subnetworks"),
    ("network", "region", "description", "purpose"),
    lambda ask: {
        "gatewayAddress": re.sub(r"\d+/\d+$", "1", ask.inputs.get("ipCidrRange", "10.0.0.0/20")),
        "fingerprint": _mark(ask),
        "subnetworkId": number(ask.inputs["name"]),
    },
    refers={"network": "Network"},
    kept=frozenset({"region", "purpose"}),
)


def _mark(ask: Ask) -> str:
    return f"{zlib.crc32(repr(sorted(ask.inputs.items(), key=repr)).encode()):08x}="


_PROTOCOLS = ("tcp", "udp", "icmp", "esp", "ah", "sctp", "ipip", "all")


def _firewall_rules(inputs: Arguments) -> Iterator[Wrong]:
    yield from choices(inputs, {"direction": ("INGRESS", "EGRESS")})
    if "allows" in inputs and "denies" in inputs:
        yield "denies", '"deny": conflicts with allow'
    if "allows" not in inputs and "denies" not in inputs:
        yield "allows", '"allow": one of `allow,deny` must be specified'
    for each in (*at(inputs, "allows[].protocol"), *at(inputs, "denies[].protocol")):
        if each.lower() not in _PROTOCOLS and not each.isdigit():
            yield "allows", f"{each!r} is no protocol"
    for each in (*at(inputs, "allows[].ports[]"), *at(inputs, "denies[].ports[]")):
        if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", each):
            yield "allows", f"{each!r} is neither a port nor a range of ports"
    sources = ("sourceRanges", "sourceTags", "sourceServiceAccounts")
    if inputs.get("direction", "INGRESS") == "INGRESS" and not any(name in inputs for name in sources):
        yield "sourceRanges", "one of source_tags, source_ranges, or source_service_accounts must be defined"


FIREWALL = compute(
    "Firewall",
    _global("firewalls"),
    ("network", "direction"),
    lambda ask: {
        "direction": ask.inputs.get("direction", "INGRESS"),
        "priority": ask.inputs.get("priority", 1000),
    },
    _firewall_rules,
    {"network": "Network"},
    sets=frozenset({"sourceRanges", "sourceTags", "targetTags", "allows", "denies", "destinationRanges"}),
    kept=frozenset({"direction", "priority", "destinationRanges"}),
)

ROUTER = compute(
    "Router",
    _regional("routers"),
    ("network", "region"),
    refers={"network": "Network"},
    kept=frozenset({"region"}),
)


def _nat_id(ask: Ask) -> str:
    return f"{project(ask)}/{region(ask)}/{ask.inputs['router'].rpartition('/')[2]}/{ask.inputs['name']}"


NAT = compute(
    "RouterNat",
    _nat_id,
    ("router", "region"),
    lambda ask: {"region": region(ask)},
    lambda inputs: choices(
        inputs,
        {
            "natIpAllocateOption": ("MANUAL_ONLY", "AUTO_ONLY"),
            "sourceSubnetworkIpRangesToNat": (
                "ALL_SUBNETWORKS_ALL_IP_RANGES",
                "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES",
                "LIST_OF_SUBNETWORKS",
            ),
        },
    ),
    {"router": "Router"},
    kept=frozenset({"region", "natIpAllocateOption"}),
)

ADDRESS = compute(
    "Address",
    _regional("addresses"),
    ("region", "address", "addressType", "network", "subnetwork", "purpose", "networkTier", "description"),
    lambda ask: {"address": ask.inputs.get("address") or f"34.{number(ask.inputs['name']) % 200}.0.9"},
    lambda inputs: choices(
        inputs, {"addressType": ("INTERNAL", "EXTERNAL"), "networkTier": ("PREMIUM", "STANDARD")}
    ),
    kept=frozenset({"region", "address", "addressType", "networkTier"}),
)

POLICY = compute(
    "ResourcePolicy",
    _regional("resourcePolicies"),
    (
        "region",
        "description",
        "groupPlacementPolicy",
        "workloadPolicy",
        "snapshotSchedulePolicy",
        "instanceSchedulePolicy",
    ),
    rules=lambda inputs: choices(
        inputs,
        {
            "groupPlacementPolicy.collocation": ("COLLOCATED",),
            "workloadPolicy.type": ("HIGH_AVAILABILITY", "HIGH_THROUGHPUT"),
        },
    ),
    kept=frozenset({"region"}),
)

IMAGE = compute(
    "Image",
    _global("images"),
    (
        "sourceDisk",
        "sourceImage",
        "family",
        "description",
        "rawDisk",
        "diskSizeGb",
        "licenses",
        "storageLocations",
    ),
    lambda ask: {"diskSizeGb": ask.inputs.get("diskSizeGb", 10)},
    kept=frozenset({"diskSizeGb", "storageLocations", "licenses"}),
)


# Identities


def _account_rules(inputs: Arguments) -> Iterator[Wrong]:
    name = inputs.get("accountId", "")
    if not unknown(name) and not re.fullmatch(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])", name):
        yield (
            "accountId",
            f'"account_id" ("{name}") doesn\'t match regexp "^[a-z](?:[-a-z0-9]{{4,28}}[a-z0-9])$"',
        )


def email(ask: Ask) -> str:
    return f"{ask.inputs['accountId']}@{project(ask)}.iam.gserviceaccount.com"


ACCOUNT = stored(
    "gcp",
    "Account",
    lambda ask: f"projects/{project(ask)}/serviceAccounts/{email(ask)}",
    lambda ask, name: {
        "project": project(ask),
        "email": email(ask),
        "member": f"serviceAccount:{email(ask)}",
        "name": name,
        "uniqueId": ask.state.get("uniqueId") or str(uuid.uuid4().int)[:21],
    },
    replaces=("accountId", "project", "createIgnoreAlreadyExists"),
    rules=_account_rules,
    exists=_exists("Account"),
)

_MEMBER = re.compile(
    r"(user|serviceAccount|group|domain|principal|principalSet|projectOwner|projectEditor|projectViewer):.+|all\w*Users"
)


def _member_rules(inputs: Arguments) -> Iterator[Wrong]:
    member, role = inputs.get("member", ""), inputs.get("role", "")
    if not unknown(member) and not _MEMBER.fullmatch(member):
        yield (
            "member",
            f'invalid value for member "{member}" (IAM members must have one of the forms `TYPE:NAME`)',
        )
    if not unknown(role) and not re.fullmatch(r"((projects|organizations)/[^/]+/)?roles/[\w.]+", role):
        yield "role", f'"{role}" is no role'


def _member(kind: str, path: Callable[[Ask], str], of: Callable[[Ask], None] = no_check) -> Kind:
    def check(ask: Ask) -> None:
        of(ask)
        who = ask.inputs["member"]
        ours = f"@{project(ask)}.iam.gserviceaccount.com"
        if who.startswith("serviceAccount:") and who.endswith(ours):
            account = who.removeprefix("serviceAccount:")
            if find(ask, "Account", f"projects/{project(ask)}/serviceAccounts/{account}") is None:
                raise Refusal(f"googleapi: Error 400: Service account {account} does not exist., badRequest")

    def identify(ask: Ask) -> str:
        condition = ask.inputs.get("condition") or {}
        title = f"/{condition['title']}" if condition.get("title") else ""
        return f"{path(ask)}/{ask.inputs['role']}/{ask.inputs['member']}{title}"

    return stored(
        "gcp",
        kind,
        identify,
        lambda ask, name: {"etag": "BwYAAAAAAAA="},
        replaces=None,
        check=check,
        rules=_member_rules,
        shared=True,
    )


def _bucket_there(ask: Ask) -> None:
    if find(ask, "Bucket", ask.inputs["bucket"].removeprefix("b/")) is None:
        raise Refusal("googleapi: Error 404: The specified bucket does not exist., notFound")


# Objects


def _bucket_rules(inputs: Arguments) -> Iterator[Wrong]:
    name = inputs.get("name", "")
    if not unknown(name) and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", name):
        yield "name", f'"name" ("{name}") is no bucket name'
    yield from labels_wrong(inputs)
    yield from choices(inputs, {"publicAccessPrevention": ("enforced", "inherited")})


def _bucket_empty(ask: Ask) -> None:
    held = [name for name in ask.store.all("gcp", "Object") if name.startswith(f"{ask.id}/")]
    if held and not ask.state.get("forceDestroy"):
        raise Refusal(
            f"Error trying to delete bucket {ask.id} containing objects without `force_destroy` set to true"
        )
    for name in held:
        ask.store.drop("gcp", "Object", name)
    for name, one in ask.store.all("gcp", "BucketObject").items():
        if one["inputs"].get("bucket") == ask.id:
            ask.store.drop("gcp", "BucketObject", name)


BUCKET = stored(
    "gcp",
    "Bucket",
    lambda ask: str(ask.inputs["name"]),
    lambda ask, name: {
        "url": f"gs://{name}",
        "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
        "project": project(ask),
        "projectNumber": number(project(ask)),
        "location": ask.inputs["location"].upper(),
        "storageClass": ask.inputs.get("storageClass", "STANDARD"),
        **labelled(ask),
    },
    replaces=(
        "name",
        "project",
        "location",
        "customPlacementConfig",
        "enableObjectRetention",
        "hierarchicalNamespace",
    ),
    rules=_bucket_rules,
    remove=_bucket_empty,
    exists="googleapi: Error 409: Your previous request to create the bucket {} succeeded and you already own it.",
    name="name",
)


def _object_rules(inputs: Arguments) -> Iterator[Wrong]:
    if ("content" in inputs) == ("source" in inputs):
        yield "content", '"content": only one of `content,source` must be specified'


def _object_outputs(ask: Ask, name: str) -> dict[str, Any]:
    from tests.standins.aws_objects import content

    raw = content(ask.inputs)
    rest_gcp.keep_object(ask.store, ask.inputs["bucket"], ask.inputs["name"], raw)
    return {
        "outputName": ask.inputs["name"],
        "selfLink": f"https://www.googleapis.com/storage/v1/b/{ask.inputs['bucket']}/o/{ask.inputs['name']}",
        "crc32c": f"{zlib.crc32(raw):08x}",
        "md5hash": f"{zlib.adler32(raw):08x}",
        "generation": number(repr(raw)),
    }


OBJECT = stored(
    "gcp",
    "BucketObject",
    lambda ask: f"{ask.inputs['bucket']}-{ask.inputs['name']}",
    _object_outputs,
    replaces=(
        "bucket",
        "name",
        "content",
        "source",
        "contentType",
        "storageClass",
        "kmsKeyName",
        "cacheControl",
    ),
    check=_bucket_there,
    remove=lambda ask: ask.store.drop("gcp", "Object", f"{ask.state['bucket']}/{ask.state['name']}"),
    rules=_object_rules,
    shared=True,
    name="name",
    kept=frozenset({"contentType", "storageClass"}),
)


# Secrets


def _secret_rules(inputs: Arguments) -> Iterator[Wrong]:
    name = inputs.get("secretId", "")
    if not unknown(name) and not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
        yield "secretId", f'"{name}" is no name of a secret'
    yield from labels_wrong(inputs)
    replication = inputs.get("replication")
    if not unknown(replication) and len(replication or ()) != 1:
        yield "replication", '"replication.0.auto": only one of `auto,user_managed` must be specified'


SECRET = stored(
    "gcp",
    "Secret",
    lambda ask: f"projects/{project(ask)}/secrets/{ask.inputs['secretId']}",
    lambda ask, name: {
        "name": f"projects/{number(project(ask))}/secrets/{ask.inputs['secretId']}",
        "project": project(ask),
        "createTime": _created(ask),
        **labelled(ask),
    },
    replaces=("secretId", "project", "replication"),
    rules=_secret_rules,
    exists="googleapi: Error 409: Secret [{}] already exists., alreadyExists",
    remove=lambda ask: _secret_remove(ask),
)


def _secret_remove(ask: Ask) -> None:
    if ask.state.get("deletionProtection"):
        raise Refusal("cannot destroy secret without setting deletion_protection=false and running `apply`")
    ask.store.drop("gcp", "SecretValue", ask.id)


# Look-ups


def _shown(ask: Ask, kind: str, given: Arguments, what: str) -> tuple[str, dict[str, Any]]:
    given_project = given.get("project") or ask.config.get("project")
    wanted = given.get("selfLink") or given.get("name") or given.get("secretId") or given.get("accountId")
    for name, one in ask.store.all("gcp", kind).items():
        if f"projects/{given_project}/" not in name and given_project != one["outputs"].get("project"):
            continue
        where = given.get("region") or given.get("zone")
        if where and f"/{where}/" not in name:
            continue
        if name == str(wanted).removeprefix(LINK) or name.rpartition("/")[2] == wanted:
            return name, one
    raise Refusal(f"googleapi: Error 404: The resource '{what} {wanted}' was not found, notFound")


def get_network(given: Arguments, ask: Ask) -> dict[str, Any]:
    name, one = _shown(ask, "Network", given, "network")
    held = [
        other["outputs"]["selfLink"]
        for other in ask.store.all("gcp", "Subnetwork").values()
        if str(other["inputs"]["network"]).rpartition("/")[2] == name.rpartition("/")[2]
    ]
    outputs = one["outputs"]
    return {
        "id": name,
        "name": outputs["name"],
        "selfLink": outputs["selfLink"],
        "description": outputs.get("description") or "",
        "gatewayIpv4": "",
        "internalIpv6Range": "",
        "mtu": outputs.get("mtu", 1460),
        "networkId": number(name),
        "numericId": str(number(name)),
        "subnetworksSelfLinks": held,
    }


def get_subnetwork(given: Arguments, ask: Ask) -> dict[str, Any]:
    if not given.get("selfLink") and not (given.get("region") or ask.config.get("region")):
        raise Refusal("region: required field is not set")
    more = {} if given.get("selfLink") or given.get("region") else {"region": ask.config["region"]}
    name, one = _shown(ask, "Subnetwork", {**given, **more}, "subnetwork")
    outputs = one["outputs"]
    return {
        "id": name,
        "name": outputs["name"],
        "selfLink": outputs["selfLink"],
        "network": outputs["network"],
        "region": outputs["region"],
        "ipCidrRange": outputs.get("ipCidrRange"),
        "gatewayAddress": outputs.get("gatewayAddress"),
        "privateIpGoogleAccess": bool(outputs.get("privateIpGoogleAccess")),
        "description": "",
        "internalIpv6Prefix": "",
        "secondaryIpRanges": [],
        "subnetworkId": number(name),
    }


def get_image(given: Arguments, ask: Ask) -> dict[str, Any]:
    name = given.get("name") or f"{given.get('family', 'image')}-v20260101"
    owner = given.get("project") or ask.config.get("project")
    path = f"projects/{owner}/global/images/{name}"
    return {
        "id": path,
        "name": name,
        "family": given.get("family", ""),
        "project": owner,
        "selfLink": LINK + path,
        "diskSizeGb": 50,
        "status": "READY",
        "imageId": str(number(path)),
    }


def get_zones(given: Arguments, ask: Ask) -> dict[str, Any]:
    where = given.get("region") or ask.config.get("region")
    return {"id": f"projects/{ask.config.get('project')}", "names": [f"{where}-{letter}" for letter in "abc"]}


def get_project(given: Arguments, ask: Ask) -> dict[str, Any]:
    name = given.get("projectId") or ask.config.get("project") or ""
    return {"id": f"projects/{name}", "projectId": name, "name": name, "number": str(number(name))}


def get_client_config(given: Arguments, ask: Ask) -> dict[str, Any]:
    known = {name: ask.config.get(name, "") for name in ("project", "region", "zone")}
    return {"id": "client", "accessToken": "a-token", "defaultLabels": {}, **known}


def get_account(given: Arguments, ask: Ask) -> dict[str, Any]:
    wanted = given["accountId"]
    for name, one in ask.store.all("gcp", "Account").items():
        if one["outputs"]["email"] == wanted or one["outputs"]["email"].partition("@")[0] == wanted:
            outputs = one["outputs"]
            shown = ("email", "member", "name", "uniqueId")
            return {"id": name, "displayName": "", **{each: outputs[each] for each in shown}}
    raise Refusal(f"googleapi: Error 404: Unknown service account {wanted}, notFound")


CLOUD = Cloud(
    package="gcp",
    kinds={
        "gcp:compute/network:Network": NETWORK,
        "gcp:compute/subnetwork:Subnetwork": SUBNETWORK,
        "gcp:compute/firewall:Firewall": FIREWALL,
        "gcp:compute/router:Router": ROUTER,
        "gcp:compute/routerNat:RouterNat": NAT,
        "gcp:compute/address:Address": ADDRESS,
        "gcp:compute/resourcePolicy:ResourcePolicy": POLICY,
        "gcp:compute/image:Image": IMAGE,
        "gcp:compute/instance:Instance": gcp_instance.INSTANCE,
        "gcp:serviceaccount/account:Account": ACCOUNT,
        "gcp:serviceaccount/iAMMember:IAMMember": _member(
            "AccountMember", lambda ask: str(ask.inputs["serviceAccountId"])
        ),
        "gcp:projects/iAMMember:IAMMember": _member("ProjectMember", lambda ask: str(ask.inputs["project"])),
        "gcp:storage/bucket:Bucket": BUCKET,
        "gcp:storage/bucketIAMMember:BucketIAMMember": _member(
            "BucketMember", lambda ask: f"b/{ask.inputs['bucket']}", _bucket_there
        ),
        "gcp:storage/bucketObject:BucketObject": OBJECT,
        "gcp:secretmanager/secret:Secret": SECRET,
        "gcp:secretmanager/secretIamMember:SecretIamMember": _member(
            "SecretMember",
            lambda ask: f"projects/{project(ask)}/secrets/{ask.inputs['secretId'].rpartition('/')[2]}",
            lambda ask: must_find(ask, "Secret", ask.inputs["secretId"]),
        ),
        "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": _member(
            "KeyMember", lambda ask: str(ask.inputs["cryptoKeyId"])
        ),
    },
    functions={
        "gcp:compute/getNetwork:getNetwork": get_network,
        "gcp:compute/getSubnetwork:getSubnetwork": get_subnetwork,
        "gcp:compute/getImage:getImage": get_image,
        "gcp:compute/getZones:getZones": get_zones,
        "gcp:organizations/getProject:getProject": get_project,
        "gcp:organizations/getClientConfig:getClientConfig": get_client_config,
        "gcp:serviceaccount/getAccount:getAccount": get_account,
    },
)
