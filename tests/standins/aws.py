"""The stand-in for the provider `aws`: creates through boto3 what moto then has; look-ups ask moto too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.standins import aws_beside, aws_compute, aws_identity, aws_network, aws_objects
from tests.standins.aws_session import account, client, hash_of, mapped, region, there
from tests.standins.kind import Ask, Cloud, Refusal

Arguments = Mapping[str, Any]


def _asked(given: Arguments, ask: Ask) -> Ask:
    """The region that a look-up names counts as that of a resource."""
    import dataclasses

    return dataclasses.replace(ask, inputs={"region": given["region"]} if given.get("region") else {})


def _filters(given: Arguments, names: Mapping[str, str]) -> list[dict[str, Any]]:
    found = [
        {
            "Name": option,
            "Values": [str(given[name]).lower() if isinstance(given[name], bool) else given[name]],
        }
        for name, option in names.items()
        if given.get(name) is not None
    ]
    found += [{"Name": f"tag:{name}", "Values": [value]} for name, value in (given.get("tags") or {}).items()]
    found += [{"Name": one["name"], "Values": one["values"]} for one in given.get("filters") or ()]
    return found


def _only(found: list[Any], what: str) -> Any:
    if not found:
        raise Refusal(f"no matching {what} found")
    if len(found) > 1:
        raise Refusal(
            f"multiple {what}s matched; use additional constraints to reduce matches to a single {what}"
        )
    return found[0]


def get_vpc(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    names = {"id": "vpc-id", "cidrBlock": "cidr", "default": "is-default", "state": "state"}
    found = client(ask, "ec2").describe_vpcs(Filters=_filters(given, names))["Vpcs"]
    one = _only(found, "EC2 VPC")
    return {
        "id": one["VpcId"],
        "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:vpc/{one['VpcId']}",
        "cidrBlock": one["CidrBlock"],
        "cidrBlockAssociations": [],
        "default": one["IsDefault"],
        "dhcpOptionsId": one.get("DhcpOptionsId", ""),
        "enableDnsHostnames": True,
        "enableDnsSupport": True,
        "instanceTenancy": one["InstanceTenancy"],
        "ownerId": account(ask),
        "state": one["State"],
        "tags": mapped(one.get("Tags")),
        "region": region(ask),
    }


_SUBNET = {
    "id": "subnet-id",
    "vpcId": "vpc-id",
    "availabilityZone": "availability-zone",
    "cidrBlock": "cidr-block",
    "defaultForAz": "default-for-az",
    "state": "state",
}


def get_subnet(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    found = client(ask, "ec2").describe_subnets(Filters=_filters(given, _SUBNET))["Subnets"]
    one = _only(found, "EC2 Subnet")
    return {
        "id": one["SubnetId"],
        "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:subnet/{one['SubnetId']}",
        "vpcId": one["VpcId"],
        "cidrBlock": one["CidrBlock"],
        "availabilityZone": one["AvailabilityZone"],
        "availabilityZoneId": one.get("AvailabilityZoneId", ""),
        "availableIpAddressCount": one["AvailableIpAddressCount"],
        "mapPublicIpOnLaunch": one["MapPublicIpOnLaunch"],
        "defaultForAz": one["DefaultForAz"],
        "ownerId": account(ask),
        "state": one["State"],
        "tags": mapped(one.get("Tags")),
        "region": region(ask),
    }


def get_subnets(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    found = client(ask, "ec2").describe_subnets(Filters=_filters(given, {}))["Subnets"]
    return {"id": region(ask), "ids": sorted(one["SubnetId"] for one in found), "region": region(ask)}


def get_security_group(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    names = {"id": "group-id", "name": "group-name", "vpcId": "vpc-id"}
    found = client(ask, "ec2").describe_security_groups(Filters=_filters(given, names))["SecurityGroups"]
    one = _only(found, "EC2 Security Group")
    return {
        "id": one["GroupId"],
        "name": one["GroupName"],
        "vpcId": one["VpcId"],
        "description": one["Description"],
        "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:security-group/{one['GroupId']}",
        "tags": mapped(one.get("Tags")),
        "region": region(ask),
    }


def get_security_groups(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    found = client(ask, "ec2").describe_security_groups(Filters=_filters(given, {}))["SecurityGroups"]
    found.sort(key=lambda one: one["GroupId"])
    return {
        "id": region(ask),
        "ids": [one["GroupId"] for one in found],
        "vpcIds": [one["VpcId"] for one in found],
        "arns": [
            f"arn:aws:ec2:{region(ask)}:{account(ask)}:security-group/{one['GroupId']}" for one in found
        ],
        "region": region(ask),
    }


def get_ami(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    more = {"Owners": given["owners"]} if given.get("owners") else {}
    found = client(ask, "ec2").describe_images(Filters=_filters(given, {}), **more)["Images"]
    if not found:
        raise Refusal("Your query returned no results. Please change your search criteria and try again.")
    if len(found) > 1 and not given.get("mostRecent"):
        raise Refusal(
            "Your query returned more than one result. Please try a more specific search criteria, or set "
            "`most_recent` attribute to true."
        )
    one = max(found, key=lambda each: each["CreationDate"])
    return {
        "id": one["ImageId"],
        "imageId": one["ImageId"],
        "name": one.get("Name", ""),
        "architecture": one.get("Architecture", ""),
        "ownerId": one.get("OwnerId", ""),
        "creationDate": one["CreationDate"],
        "rootDeviceName": one.get("RootDeviceName", ""),
        "rootDeviceType": one.get("RootDeviceType", ""),
        "state": one.get("State", ""),
        "description": one.get("Description", ""),
        "tags": mapped(one.get("Tags")),
        "region": region(ask),
    }


def get_caller_identity(given: Arguments, ask: Ask) -> dict[str, Any]:
    found = client(ask, "sts").get_caller_identity()
    return {
        "accountId": found["Account"],
        "arn": found["Arn"],
        "userId": found["UserId"],
        "id": found["Account"],
    }


def get_region(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    name = region(ask)
    return {
        "id": name,
        "name": name,
        "region": name,
        "description": name,
        "endpoint": f"ec2.{name}.amazonaws.com",
    }


def get_partition(given: Arguments, ask: Ask) -> dict[str, Any]:
    return {
        "id": "aws",
        "partition": "aws",
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    }


def get_availability_zones(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    found = client(ask, "ec2").describe_availability_zones(Filters=_filters(given, {"state": "state"}))
    zones = [
        one
        for one in found["AvailabilityZones"]
        if one["ZoneName"] not in (given.get("excludeNames") or ())
        and one["ZoneId"] not in (given.get("excludeZoneIds") or ())
    ]
    return {
        "id": region(ask),
        "names": [one["ZoneName"] for one in zones],
        "zoneIds": [one["ZoneId"] for one in zones],
        "groupNames": sorted({one.get("GroupName", region(ask)) for one in zones}),
        "region": region(ask),
    }


def get_key_pair(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    names = {"keyName": "key-name", "keyPairId": "key-pair-id"}
    found = client(ask, "ec2").describe_key_pairs(Filters=_filters(given, names))["KeyPairs"]
    one = _only(found, "EC2 Key Pair")
    return {
        "id": one["KeyPairId"],
        "keyPairId": one["KeyPairId"],
        "keyName": one["KeyName"],
        "fingerprint": one["KeyFingerprint"],
        "keyType": one.get("KeyType", "rsa"),
        "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:key-pair/{one['KeyName']}",
        "tags": mapped(one.get("Tags")),
        "region": region(ask),
    }


def get_role(given: Arguments, ask: Ask) -> dict[str, Any]:
    seen = there(lambda: client(ask, "iam").get_role(RoleName=given["name"]))
    if seen is None:
        raise Refusal(f"reading IAM Role ({given['name']}): couldn't find resource")
    role = seen["Role"]
    return {
        "id": role["RoleName"],
        "name": role["RoleName"],
        "arn": role["Arn"],
        "uniqueId": role["RoleId"],
        "path": role["Path"],
        "assumeRolePolicy": str(role["AssumeRolePolicyDocument"]),
        "createDate": role["CreateDate"].isoformat(),
        "description": role.get("Description", ""),
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
        "permissionsBoundary": "",
        "tags": mapped(role.get("Tags")),
    }


def get_instance_profile(given: Arguments, ask: Ask) -> dict[str, Any]:
    seen = there(lambda: client(ask, "iam").get_instance_profile(InstanceProfileName=given["name"]))
    if seen is None:
        raise Refusal(f"reading IAM Instance Profile ({given['name']}): couldn't find resource")
    one = seen["InstanceProfile"]
    role = one["Roles"][0] if one["Roles"] else {}
    return {
        "id": one["InstanceProfileId"],
        "name": one["InstanceProfileName"],
        "arn": one["Arn"],
        "path": one["Path"],
        "createDate": one["CreateDate"].isoformat(),
        "roleArn": role.get("Arn", ""),
        "roleId": role.get("RoleId", ""),
        "roleName": role.get("RoleName", ""),
    }


def get_kms_key(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    seen = there(lambda: client(ask, "kms").describe_key(KeyId=given["keyId"]))
    if seen is None:
        raise Refusal(f"reading KMS Key ({given['keyId']}): couldn't find resource")
    one = seen["KeyMetadata"]
    return {
        "id": one["KeyId"],
        "arn": one["Arn"],
        "awsAccountId": account(ask),
        "description": one["Description"],
        "enabled": one["Enabled"],
        "keyState": one["KeyState"],
        "keyUsage": one.get("KeyUsage", "ENCRYPT_DECRYPT"),
        "region": region(ask),
    }


_IMAGES, _IMAGE = "/aws/service/deeplearning/ami/", "ami-12c6146b"


def get_parameter(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    seen = there(lambda: client(ask, "ssm").get_parameter(Name=given["name"], WithDecryption=True))
    if seen is None and given["name"].startswith(_IMAGES):
        # Of the images that AWS publishes, moto knows few: a machine starts from one of those that it has.
        seen = {"Parameter": {"Name": given["name"], "Type": "String", "Value": _IMAGE, "Version": 1}}
    if seen is None:
        raise Refusal(f"reading SSM Parameter ({given['name']}): couldn't find resource")
    one = seen["Parameter"]
    return {
        "id": one["Name"],
        "name": one["Name"],
        "arn": one.get("ARN", ""),
        "type": one["Type"],
        "value": one["Value"],
        "insecureValue": one["Value"],
        "version": one["Version"],
        "region": region(ask),
    }


def get_prefix_list(given: Arguments, ask: Ask) -> dict[str, Any]:
    ask = _asked(given, ask)
    name = given.get("name") or next(
        (one["values"][0] for one in given.get("filters") or () if one["name"] == "prefix-list-name"), ""
    )
    listed = f"pl-{hash_of(name):08x}"
    return {"id": listed, "name": name, "cidrBlocks": ["198.18.0.0/15"], "region": region(ask)}


def configure(config: dict[str, Any]) -> dict[str, Any]:
    """As the real one: credentials are asked who they are, and a wrong account is refused."""
    config = dict(config)
    allowed = config.get("allowedAccountIds") or ()
    if allowed:
        import boto3

        found = boto3.client("sts", region_name=config.get("region")).get_caller_identity()["Account"]
        if found not in allowed:
            raise Refusal(f"AWS account ID not allowed: {found}")
    return config


CLOUD = Cloud(
    package="aws",
    kinds={
        **aws_network.KINDS,
        **aws_compute.KINDS,
        **aws_beside.KINDS,
        **aws_identity.KINDS,
        **aws_objects.KINDS,
    },
    functions={
        "aws:ec2/getVpc:getVpc": get_vpc,
        "aws:ec2/getSubnet:getSubnet": get_subnet,
        "aws:ec2/getSubnets:getSubnets": get_subnets,
        "aws:ec2/getSecurityGroup:getSecurityGroup": get_security_group,
        "aws:ec2/getSecurityGroups:getSecurityGroups": get_security_groups,
        "aws:ec2/getAmi:getAmi": get_ami,
        "aws:ec2/getKeyPair:getKeyPair": get_key_pair,
        "aws:ec2/getPrefixList:getPrefixList": get_prefix_list,
        "aws:index/getCallerIdentity:getCallerIdentity": get_caller_identity,
        "aws:index/getAvailabilityZones:getAvailabilityZones": get_availability_zones,
        "aws:index/getRegion:getRegion": get_region,
        "aws:index/getPartition:getPartition": get_partition,
        "aws:iam/getRole:getRole": get_role,
        "aws:iam/getInstanceProfile:getInstanceProfile": get_instance_profile,
        "aws:kms/getKey:getKey": get_kms_key,
        "aws:ssm/getParameter:getParameter": get_parameter,
    },
    configure=configure,
)
