"""AWS networks: kinds of `ec2` and `vpc` that hold no machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.standins.aws_session import account, client, ec2_kind, hash_of, region, specification, with_id
from tests.standins.kind import Ask, Kind
from tests.standins.shape import Wrong


def _one(found: Any, name: str) -> Any:
    return found[name][0] if found[name] else None


# Vpc


def _vpc_create(ask: Ask, ec2: Any) -> str:
    made = ec2.create_vpc(
        CidrBlock=ask.inputs["cidrBlock"],
        InstanceTenancy=ask.inputs.get("instanceTenancy", "default"),
        TagSpecifications=specification(ask, "vpc"),
    )["Vpc"]["VpcId"]
    _vpc_dns(ask, ec2, made)
    return str(made)


def _vpc_dns(ask: Ask, ec2: Any, name: str) -> None:
    for option, attribute in (
        ("enableDnsSupport", "EnableDnsSupport"),
        ("enableDnsHostnames", "EnableDnsHostnames"),
    ):
        if ask.inputs.get(option) is not None:
            ec2.modify_vpc_attribute(VpcId=name, **{attribute: {"Value": ask.inputs[option]}})


def _vpc_outputs(ask: Ask, seen: Mapping[str, Any]) -> dict[str, Any]:
    ec2 = client(ask, "ec2")
    of = [{"Name": "vpc-id", "Values": [ask.id]}]
    main = [*of, {"Name": "association.main", "Values": ["true"]}]
    default = [*of, {"Name": "group-name", "Values": ["default"]}]
    table = ec2.describe_route_tables(Filters=main)["RouteTables"]
    group = ec2.describe_security_groups(Filters=default)["SecurityGroups"]

    def dns(what: str) -> bool:
        answer = ec2.describe_vpc_attribute(VpcId=ask.id, Attribute=what)
        return bool(answer[what[0].upper() + what[1:]]["Value"])

    return {
        "cidrBlock": seen["CidrBlock"],
        "instanceTenancy": seen["InstanceTenancy"],
        "enableDnsSupport": dns("enableDnsSupport"),
        "enableDnsHostnames": dns("enableDnsHostnames"),
        "mainRouteTableId": table[0]["RouteTableId"] if table else None,
        "defaultRouteTableId": table[0]["RouteTableId"] if table else None,
        "defaultSecurityGroupId": group[0]["GroupId"] if group else None,
        "dhcpOptionsId": seen.get("DhcpOptionsId"),
    }


VPC = ec2_kind(
    "vpc",
    _vpc_create,
    lambda ask, ec2: _one(ec2.describe_vpcs(VpcIds=[ask.id]), "Vpcs"),
    lambda ask, ec2: ec2.delete_vpc(VpcId=ask.id),
    _vpc_outputs,
    lambda ask, ec2: _vpc_dns(ask, ec2, ask.id),
    replaces=("cidrBlock", "ipv4IpamPoolId", "ipv4NetmaskLength"),
    kept=frozenset({"enableDnsSupport", "enableDnsHostnames", "instanceTenancy"}),
)


# Subnet


def _subnet_create(ask: Ask, ec2: Any) -> str:
    more = {
        option: ask.inputs[name]
        for name, option in (
            ("availabilityZone", "AvailabilityZone"),
            ("availabilityZoneId", "AvailabilityZoneId"),
        )
        if ask.inputs.get(name)
    }
    made = ec2.create_subnet(
        VpcId=ask.inputs["vpcId"],
        CidrBlock=ask.inputs["cidrBlock"],
        TagSpecifications=specification(ask, "subnet"),
        **more,
    )["Subnet"]["SubnetId"]
    _subnet_change(ask, ec2, made)
    return str(made)


def _subnet_change(ask: Ask, ec2: Any, name: str) -> None:
    public = ask.inputs.get("mapPublicIpOnLaunch")
    if public is not None:
        ec2.modify_subnet_attribute(SubnetId=name, MapPublicIpOnLaunch={"Value": public})


SUBNET = ec2_kind(
    "subnet",
    _subnet_create,
    lambda ask, ec2: _one(ec2.describe_subnets(SubnetIds=[ask.id]), "Subnets"),
    lambda ask, ec2: ec2.delete_subnet(SubnetId=ask.id),
    lambda ask, seen: {
        "vpcId": seen["VpcId"],
        "cidrBlock": seen["CidrBlock"],
        "availabilityZone": seen["AvailabilityZone"],
        "availabilityZoneId": seen.get("AvailabilityZoneId"),
        "mapPublicIpOnLaunch": seen["MapPublicIpOnLaunch"],
        "assignIpv6AddressOnCreation": seen.get("AssignIpv6AddressOnCreation", False),
    },
    lambda ask, ec2: _subnet_change(ask, ec2, ask.id),
    replaces=("vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId", "outpostArn", "ipv6Native"),
    kept=frozenset({"availabilityZone", "availabilityZoneId", "mapPublicIpOnLaunch"}),
)


# InternetGateway


def _gateway_create(ask: Ask, ec2: Any) -> str:
    made = ec2.create_internet_gateway(TagSpecifications=specification(ask, "internet-gateway"))
    name = made["InternetGateway"]["InternetGatewayId"]
    if ask.inputs.get("vpcId"):
        ec2.attach_internet_gateway(InternetGatewayId=name, VpcId=ask.inputs["vpcId"])
    return str(name)


def _gateway_delete(ask: Ask, ec2: Any) -> None:
    seen = _one(ec2.describe_internet_gateways(InternetGatewayIds=[ask.id]), "InternetGateways")
    for one in seen["Attachments"] if seen else ():
        ec2.detach_internet_gateway(InternetGatewayId=ask.id, VpcId=one["VpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=ask.id)


def _gateway_change(ask: Ask, ec2: Any) -> None:
    if ask.changed("vpcId"):
        if ask.old.get("vpcId"):
            ec2.detach_internet_gateway(InternetGatewayId=ask.id, VpcId=ask.old["vpcId"])
        if ask.inputs.get("vpcId"):
            ec2.attach_internet_gateway(InternetGatewayId=ask.id, VpcId=ask.inputs["vpcId"])


GATEWAY = ec2_kind(
    "internet-gateway",
    _gateway_create,
    lambda ask, ec2: _one(ec2.describe_internet_gateways(InternetGatewayIds=[ask.id]), "InternetGateways"),
    _gateway_delete,
    lambda ask, seen: {"vpcId": seen["Attachments"][0]["VpcId"] if seen["Attachments"] else None},
    _gateway_change,
)


# RouteTable, Route, RouteTableAssociation


def _table(ask: Ask, ec2: Any) -> Any:
    return _one(ec2.describe_route_tables(RouteTableIds=[ask.id]), "RouteTables")


_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
    "transitGatewayId": "TransitGatewayId",
    "vpcEndpointId": "VpcEndpointId",
}


def _route(given: Mapping[str, Any], cidr: str) -> dict[str, Any]:
    found = {option: given[name] for name, option in _TARGETS.items() if given.get(name)}
    return {"DestinationCidrBlock": given[cidr], **found}


def _table_create(ask: Ask, ec2: Any) -> str:
    made = ec2.create_route_table(
        VpcId=ask.inputs["vpcId"], TagSpecifications=specification(ask, "route-table")
    )["RouteTable"]["RouteTableId"]
    for one in ask.inputs.get("routes", ()):
        ec2.create_route(RouteTableId=made, **_route(one, "cidrBlock"))
    return str(made)


def _table_change(ask: Ask, ec2: Any) -> None:
    old = {one["cidrBlock"]: one for one in ask.old.get("routes", ())}
    new = {one["cidrBlock"]: one for one in ask.inputs.get("routes", ())}
    for cidr in old.keys() - new.keys():
        ec2.delete_route(RouteTableId=ask.id, DestinationCidrBlock=cidr)
    for cidr, one in new.items():
        if cidr not in old:
            ec2.create_route(RouteTableId=ask.id, **_route(one, "cidrBlock"))
        elif old[cidr] != one:
            ec2.replace_route(RouteTableId=ask.id, **_route(one, "cidrBlock"))


TABLE = ec2_kind(
    "route-table",
    _table_create,
    _table,
    lambda ask, ec2: ec2.delete_route_table(RouteTableId=ask.id),
    lambda ask, seen: {"vpcId": seen["VpcId"]},
    _table_change,
    replaces=("vpcId",),
    sets=frozenset({"routes"}),
)


def _route_create(ask: Ask, ec2: Any) -> str:
    ec2.create_route(RouteTableId=ask.inputs["routeTableId"], **_route(ask.inputs, "destinationCidrBlock"))
    return f"r-{ask.inputs['routeTableId']}{hash_of(ask.inputs['destinationCidrBlock'])}"


def _route_describe(ask: Ask, ec2: Any) -> Any:
    given = {**ask.state, **ask.inputs}
    table = _one(ec2.describe_route_tables(RouteTableIds=[given["routeTableId"]]), "RouteTables")
    wanted = given["destinationCidrBlock"]
    return next((one for one in table["Routes"] if one.get("DestinationCidrBlock") == wanted), None)


def _route_rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    targets = [
        name
        for name in (*_TARGETS, "egressOnlyGatewayId", "localGatewayId", "carrierGatewayId")
        if name in inputs
    ]
    if len(targets) != 1:
        yield "gatewayId", f"exactly one target of a route must be specified, got {targets}"
    if not any(
        name in inputs
        for name in ("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")
    ):
        yield "destinationCidrBlock", "one destination of a route must be specified"


ROUTE = ec2_kind(
    "route",
    _route_create,
    _route_describe,
    lambda ask, ec2: ec2.delete_route(
        RouteTableId=ask.state["routeTableId"], DestinationCidrBlock=ask.state["destinationCidrBlock"]
    ),
    lambda ask, seen: {"state": seen.get("State", "active"), "origin": seen.get("Origin", "CreateRoute")},
    lambda ask, ec2: ec2.replace_route(
        RouteTableId=ask.inputs["routeTableId"], **_route(ask.inputs, "destinationCidrBlock")
    ),
    replaces=("routeTableId", "destinationCidrBlock"),
    rules=_route_rules,
)


def _association_create(ask: Ask, ec2: Any) -> str:
    made = ec2.associate_route_table(RouteTableId=ask.inputs["routeTableId"], SubnetId=ask.inputs["subnetId"])
    return str(made["AssociationId"])


def _association_describe(ask: Ask, ec2: Any) -> Any:
    by = [{"Name": "association.route-table-association-id", "Values": [ask.id]}]
    for table in ec2.describe_route_tables(Filters=by)["RouteTables"]:
        for one in table["Associations"]:
            if one["RouteTableAssociationId"] == ask.id:
                return one
    return None


ASSOCIATION = ec2_kind(
    "route-table-association",
    _association_create,
    _association_describe,
    lambda ask, ec2: ec2.disassociate_route_table(AssociationId=ask.id),
    lambda ask, seen: {"routeTableId": seen["RouteTableId"], "subnetId": seen["SubnetId"]},
    replaces=("subnetId", "gatewayId", "routeTableId"),
)


# VpcEndpoint


def _endpoint_create(ask: Ask, ec2: Any) -> str:
    optional = {
        "RouteTableIds": ask.inputs.get("routeTableIds"),
        "SubnetIds": ask.inputs.get("subnetIds"),
        "SecurityGroupIds": ask.inputs.get("securityGroupIds"),
        "PolicyDocument": ask.inputs.get("policy"),
        "PrivateDnsEnabled": ask.inputs.get("privateDnsEnabled"),
    }
    made = ec2.create_vpc_endpoint(
        VpcEndpointType=ask.inputs.get("vpcEndpointType", "Gateway"),
        VpcId=ask.inputs["vpcId"],
        ServiceName=ask.inputs["serviceName"],
        TagSpecifications=specification(ask, "vpc-endpoint"),
        **{name: value for name, value in optional.items() if value is not None},
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def _endpoint_describe(ask: Ask, ec2: Any) -> Any:
    seen = _one(ec2.describe_vpc_endpoints(VpcEndpointIds=[ask.id]), "VpcEndpoints")
    return None if seen is None or seen["State"].lower() in ("deleted", "deleting") else seen


ENDPOINT = ec2_kind(
    "vpc-endpoint",
    _endpoint_create,
    _endpoint_describe,
    lambda ask, ec2: ec2.delete_vpc_endpoints(VpcEndpointIds=[ask.id]),
    lambda ask, seen: {
        "vpcId": seen["VpcId"],
        "serviceName": seen["ServiceName"],
        "state": seen["State"],
        "vpcEndpointType": seen["VpcEndpointType"],
        "prefixListId": f"pl-{hash_of(seen['ServiceName']):08x}",
    },
    replaces=("serviceName", "vpcId", "vpcEndpointType"),
    sets=frozenset({"routeTableIds", "subnetIds", "securityGroupIds"}),
    kept=frozenset({"vpcEndpointType", "policy"}),
)


# SecurityGroup and its rules


def _permission(one: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"IpProtocol": "-1" if one["protocol"] in ("-1", "all") else one["protocol"]}
    if found["IpProtocol"] != "-1":
        found |= {"FromPort": one["fromPort"], "ToPort": one["toPort"]}
    if one.get("cidrBlocks"):
        found["IpRanges"] = [{"CidrIp": cidr} for cidr in one["cidrBlocks"]]
    return found


def _group_create(ask: Ask, ec2: Any) -> str:
    where = {"VpcId": ask.inputs["vpcId"]} if ask.inputs.get("vpcId") else {}
    made = ec2.create_security_group(
        GroupName=ask.inputs["name"],
        Description=ask.inputs["description"],
        **where,
        TagSpecifications=specification(ask, "security-group"),
    )["GroupId"]
    # As the real one does it: what AWS allows by itself is taken away.
    ec2.revoke_security_group_egress(GroupId=made, IpPermissions=_OPEN)
    _group_rules(with_id(ask, made), ec2, {}, ask.inputs)
    return str(made)


_OPEN = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def _group_rules(ask: Ask, ec2: Any, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Rules inside the group's own inputs."""
    for way in ("ingress", "egress"):
        before, after = old.get(way) or [], new.get(way) or []
        for one in before:
            if one not in after:
                _group_rule(ec2, f"revoke_security_group_{way}", ask.id, one)
        for one in after:
            if one not in before:
                _group_rule(ec2, f"authorize_security_group_{way}", ask.id, one)


def _group_rule(ec2: Any, verb: str, name: str, one: Mapping[str, Any]) -> None:
    permission = _permission(one)
    groups = [*(one.get("securityGroups") or ()), *([name] if one.get("self") else ())]
    if groups:
        permission["UserIdGroupPairs"] = [{"GroupId": group} for group in groups]
    getattr(ec2, verb)(GroupId=name, IpPermissions=[permission])


GROUP = ec2_kind(
    "security-group",
    _group_create,
    lambda ask, ec2: _one(ec2.describe_security_groups(GroupIds=[ask.id]), "SecurityGroups"),
    lambda ask, ec2: ec2.delete_security_group(GroupId=ask.id),
    lambda ask, seen: {
        "vpcId": seen["VpcId"],
        "name": seen["GroupName"],
        "description": seen["Description"],
    },
    lambda ask, ec2: _group_rules(ask, ec2, ask.old, ask.inputs),
    replaces=("name", "namePrefix", "description", "vpcId"),
    name="name",
    sets=frozenset({"ingress", "egress"}),
    kept=frozenset({"ingress", "egress", "vpcId"}),
    defaults={"description": "Managed by Pulumi"},
)


def _rule_permission(inputs: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
    for name, option in (("fromPort", "FromPort"), ("toPort", "ToPort")):
        if inputs.get(name) is not None:
            found[option] = inputs[name]
    note = {"Description": inputs["description"]} if inputs.get("description") else {}
    if inputs.get("cidrIpv4"):
        found["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **note}]
    if inputs.get("cidrIpv6"):
        found["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **note}]
    if inputs.get("prefixListId"):
        found["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **note}]
    if inputs.get("referencedSecurityGroupId"):
        found["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **note}]
    return found


_SOURCES = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")


def _rule_rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    given = [name for name in _SOURCES if name in inputs]
    if len(given) != 1:
        yield "cidrIpv4", f"exactly one of {list(_SOURCES)} must be specified, got {given}"
    if inputs["ipProtocol"] == "-1" and ("fromPort" in inputs or "toPort" in inputs):
        yield "fromPort", "must not be specified when ipProtocol is -1"
    if inputs["ipProtocol"] in ("tcp", "udp") and not ("fromPort" in inputs and "toPort" in inputs):
        yield "fromPort", "both fromPort and toPort must be specified for tcp and udp"


def _rule(way: str) -> Kind:
    def create(ask: Ask, ec2: Any) -> str:
        more = {"TagSpecifications": specification(ask, "security-group-rule")}
        made = getattr(ec2, f"authorize_security_group_{way}")(
            GroupId=ask.inputs["securityGroupId"], IpPermissions=[_rule_permission(ask.inputs)], **more
        )
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def describe(ask: Ask, ec2: Any) -> Any:
        return _one(ec2.describe_security_group_rules(SecurityGroupRuleIds=[ask.id]), "SecurityGroupRules")

    def delete(ask: Ask, ec2: Any) -> None:
        getattr(ec2, f"revoke_security_group_{way}")(
            GroupId=ask.state["securityGroupId"], SecurityGroupRuleIds=[ask.id]
        )

    def change(ask: Ask, ec2: Any) -> None:
        if ask.changed("ipProtocol", "fromPort", "toPort", "description", *_SOURCES):
            wanted = {
                option: ask.inputs[name]
                for name, option in (
                    ("ipProtocol", "IpProtocol"),
                    ("fromPort", "FromPort"),
                    ("toPort", "ToPort"),
                    ("cidrIpv4", "CidrIpv4"),
                    ("cidrIpv6", "CidrIpv6"),
                    ("prefixListId", "PrefixListId"),
                    ("referencedSecurityGroupId", "ReferencedGroupId"),
                    ("description", "Description"),
                )
                if ask.inputs.get(name) is not None
            }
            rule = {"SecurityGroupRuleId": ask.id, "SecurityGroupRule": wanted}
            ec2.modify_security_group_rules(GroupId=ask.inputs["securityGroupId"], SecurityGroupRules=[rule])

    return ec2_kind(
        "security-group-rule",
        create,
        describe,
        delete,
        lambda ask, seen: {
            "securityGroupRuleId": ask.id,
            "securityGroupId": seen["GroupId"],
            "ipProtocol": seen["IpProtocol"],
            "arn": f"arn:aws:ec2:{region(ask)}:{account(ask)}:security-group-rule/{ask.id}",
        },
        change,
        replaces=("securityGroupId",),
        rules=_rule_rules,
    )


KINDS: dict[str, Kind] = {
    "aws:ec2/vpc:Vpc": VPC,
    "aws:ec2/subnet:Subnet": SUBNET,
    "aws:ec2/internetGateway:InternetGateway": GATEWAY,
    "aws:ec2/routeTable:RouteTable": TABLE,
    "aws:ec2/route:Route": ROUTE,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ASSOCIATION,
    "aws:ec2/vpcEndpoint:VpcEndpoint": ENDPOINT,
    "aws:ec2/securityGroup:SecurityGroup": GROUP,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rule("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rule("egress"),
}
