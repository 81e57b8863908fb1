"""The stand-in `aws` behind the unmodified SDK: one life of a small stack, and what it refuses."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.standins import actions, refusals
from tests.standins.fixtures import Bench, Moto, touch
from tests.standins.store import Store

pytestmark = pytest.mark.engine
PROVIDERS = ("aws",)

AMI = "ami-12c6146b"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYvLnGkHZHLcWbBVT/rcbSGzDkDO6IGSGqgBGBNzvGb"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
        ],
    }
)


@pytest.fixture(autouse=True)
def sdk() -> None:
    touch("pulumi_aws.ec2.Instance", "pulumi_aws.vpc.SecurityGroupIngressRule", "pulumi_aws.iam.Role")
    touch("pulumi_aws.s3.Bucket", "pulumi_aws.secretsmanager.Secret", "pulumi_aws.Provider")
    touch("pulumi_aws.kms.Key", "pulumi_aws.ssm.Parameter")


def others(there: Any, bucket: Any, profile: Any, subnet: Any) -> None:
    """The kinds that the rest of the program does not have."""
    import pulumi
    import pulumi_aws as aws

    aws.s3.BucketVersioning(
        "versioning",
        opts=there,
        bucket=bucket.bucket,
        versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
    )
    aws.s3.BucketOwnershipControls(
        "owned",
        opts=there,
        bucket=bucket.bucket,
        rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
    )
    aws.s3.BucketLifecycleConfiguration(
        "lifecycle",
        opts=there,
        bucket=bucket.bucket,
        rules=[
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id="logs",
                status="Enabled",
                filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="logs/"),
                expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=30),
            )
        ],
    )
    aws.s3.BucketPolicy(
        "guarded",
        opts=there,
        bucket=bucket.bucket,
        policy=bucket.arn.apply(
            lambda arn: json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": arn}
                    ],
                }
            )
        ),
    )
    aws.s3.BucketObject("object", opts=there, bucket=bucket.bucket, key="text", content="hello")
    aws.ec2.KeyPair("key", opts=there, args=aws.ec2.KeyPairArgs(public_key=PUBLIC_KEY, tags={"team": "nlp"}))
    aws.kms.Key(
        "secrets", opts=there, args=aws.kms.KeyArgs(description="for tests", deletion_window_in_days=7)
    )
    aws.ssm.Parameter(
        "parameter",
        opts=there,
        args=aws.ssm.ParameterArgs(type="SecureString", value=pulumi.Output.secret("hunter2")),
    )
    template = aws.ec2.LaunchTemplate(
        "template",
        opts=there,
        args=aws.ec2.LaunchTemplateArgs(
            image_id="ami-12c6146b",
            instance_type="t3.large",
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(name=profile.name),
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(http_tokens="required"),
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/sda1",
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(encrypted="true", volume_size=50),
                )
            ],
        ),
    )
    builder = aws.ec2.Instance(
        "from-template",
        opts=there,
        args=aws.ec2.InstanceArgs(
            launch_template=aws.ec2.InstanceLaunchTemplateArgs(id=template.id, version="$Latest")
        ),
    )
    aws.ec2.AmiFromInstance(
        "baked", opts=there, args=aws.ec2.AmiFromInstanceArgs(source_instance_id=builder.id)
    )
    aws.ec2.Eip("address", opts=there, args=aws.ec2.EipArgs(domain="vpc"))
    aws.ec2.NetworkInterface(
        "card", opts=there, args=aws.ec2.NetworkInterfaceArgs(subnet_id=subnet.id, interface_type="efa")
    )


def program(
    nodes: int = 2, tags: dict[str, str] | None = None, user_data: str = "#!/bin/sh\n", **more: Any
) -> Callable[[], None]:
    """A network, an identity, a placement group, a bucket, a secret, and spot nodes."""

    def build() -> None:
        import pulumi
        import pulumi_aws as aws

        there = pulumi.ResourceOptions(
            provider=aws.Provider("aws", region="us-east-1", default_tags={"tags": {"owner": "ann"}})
        )
        vpc = aws.ec2.Vpc("vpc", aws.ec2.VpcArgs(cidr_block="10.0.0.0/16", enable_dns_hostnames=True), there)
        subnet = aws.ec2.Subnet(
            "subnet",
            aws.ec2.SubnetArgs(vpc_id=vpc.id, cidr_block="10.0.0.0/20", availability_zone="us-east-1b"),
            there,
        )
        gateway = aws.ec2.InternetGateway("gateway", aws.ec2.InternetGatewayArgs(vpc_id=vpc.id), there)
        table = aws.ec2.RouteTable("table", aws.ec2.RouteTableArgs(vpc_id=vpc.id), there)
        aws.ec2.Route(
            "route",
            aws.ec2.RouteArgs(
                route_table_id=table.id, destination_cidr_block="0.0.0.0/0", gateway_id=gateway.id
            ),
            there,
        )
        aws.ec2.RouteTableAssociation(
            "association",
            aws.ec2.RouteTableAssociationArgs(route_table_id=table.id, subnet_id=subnet.id),
            there,
        )
        aws.ec2.VpcEndpoint(
            "objects",
            aws.ec2.VpcEndpointArgs(
                vpc_id=vpc.id, service_name="com.amazonaws.us-east-1.s3", route_table_ids=[table.id]
            ),
            there,
        )
        group = aws.ec2.SecurityGroup("nodes", aws.ec2.SecurityGroupArgs(vpc_id=vpc.id), there)
        aws.vpc.SecurityGroupIngressRule(
            "gang",
            aws.vpc.SecurityGroupIngressRuleArgs(
                security_group_id=group.id, referenced_security_group_id=group.id, ip_protocol="-1"
            ),
            there,
        )
        aws.vpc.SecurityGroupEgressRule(
            "out",
            aws.vpc.SecurityGroupEgressRuleArgs(
                security_group_id=group.id, cidr_ipv4="0.0.0.0/0", ip_protocol="-1"
            ),
            there,
        )
        role = aws.iam.Role("role", aws.iam.RoleArgs(assume_role_policy=TRUST), there)
        aws.iam.RolePolicy(
            "policy",
            aws.iam.RolePolicyArgs(
                role=role.name,
                policy=json.dumps(
                    {
                        "Version": "2012-10-17",
                        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
                    }
                ),
            ),
            there,
        )
        profile = aws.iam.InstanceProfile("profile", aws.iam.InstanceProfileArgs(role=role.name), there)
        bucket = aws.s3.Bucket("bucket", aws.s3.BucketArgs(force_destroy=True), there)
        aws.s3.BucketPublicAccessBlock(
            "private",
            aws.s3.BucketPublicAccessBlockArgs(
                bucket=bucket.bucket,
                block_public_acls=True,
                block_public_policy=True,
                ignore_public_acls=True,
                restrict_public_buckets=True,
            ),
            there,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            "encrypted",
            bucket=bucket.bucket,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    )
                )
            ],
            opts=there,
        )
        aws.s3.BucketObjectv2(
            "agent",
            aws.s3.BucketObjectv2Args(
                bucket=bucket.bucket, key="agent", source=pulumi.StringAsset("print('agent')")
            ),
            there,
        )
        aws.secretsmanager.Secret("secret", aws.secretsmanager.SecretArgs(recovery_window_in_days=0), there)
        together = aws.ec2.PlacementGroup(
            "together", aws.ec2.PlacementGroupArgs(strategy=aws.ec2.PlacementStrategy.CLUSTER), there
        )
        others(there, bucket, profile, subnet)
        made = [
            aws.ec2.Instance(
                f"node-{rank}",
                aws.ec2.InstanceArgs(
                    ami=AMI,
                    instance_type="g5.xlarge",
                    subnet_id=subnet.id,
                    associate_public_ip_address=True,
                    vpc_security_group_ids=[group.id],
                    iam_instance_profile=profile.name,
                    placement_group=together.name,
                    user_data=user_data,
                    instance_initiated_shutdown_behavior="terminate",
                    instance_market_options=aws.ec2.InstanceInstanceMarketOptionsArgs(
                        market_type="spot",
                        spot_options=aws.ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
                            spot_instance_type="one-time", instance_interruption_behavior="terminate"
                        ),
                    ),
                    metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                        http_tokens="required", http_put_response_hop_limit=1
                    ),
                    root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                        encrypted=True, volume_size=100, volume_type="gp3", throughput=250
                    ),
                    tags={"rank": str(rank), **(tags or {})},
                    **more,
                ),
                there,
            )
            for rank in range(nodes)
        ]
        pulumi.export("nodes", [{"id": one.id, "address": one.private_ip} for one in made])

    return build


def nodes_of(moto: Moto) -> list[dict[str, Any]]:
    """Instances with a rank."""
    found = [
        {**one, "tags": {each["Key"]: each["Value"] for each in one["Tags"]}} for one in moto.instances()
    ]
    return [one for one in found if "rank" in one["tags"]]


@pytest.mark.soak  # lives on this stand-in show the same of it
def test_one_life(bench: Bench, moto: Moto, store: Store) -> None:
    first = bench.preview(program())
    assert set(first.changes) == {"create"}
    assert nodes_of(moto) == []

    bench.up(program())
    nodes = nodes_of(moto)
    assert [one["InstanceLifecycle"] for one in nodes] == ["spot", "spot"]
    assert {one["Placement"]["AvailabilityZone"] for one in nodes} == {"us-east-1b"}
    assert {one["tags"]["owner"] for one in nodes} == {"ann"}
    assert bench.preview(program()).changes == {}

    tagged = bench.up(program(tags={"team": "nlp"}))
    assert tagged.changes == {"update": 2}
    again = nodes_of(moto)
    assert {one["InstanceId"] for one in again} == {one["InstanceId"] for one in nodes}
    assert again[0]["tags"]["team"] == "nlp"

    held = bench.resources()
    replaced = bench.up(program(tags={"team": "nlp"}), replace=[held["node-1"]["urn"]])
    assert replaced.of("replace") == ["node-1"]
    assert bench.resources()["node-0"]["id"] == held["node-0"]["id"]
    assert bench.resources()["node-1"]["id"] != held["node-1"]["id"]
    assert len(nodes_of(moto)) == 2

    moto.lose(bench.resources()["node-0"]["id"])
    bench.refresh(program(tags={"team": "nlp"}))
    assert "node-0" not in bench.resources()
    assert "hunter2" not in json.dumps(bench.resources()), "what is secret in the program stays secret"
    again_up = bench.up(program(tags={"team": "nlp"}))
    assert (again_up.changes, again_up.differ) == ({"create": 1}, ())

    bench.destroy(program())
    assert moto.instances() == []
    assert bench.resources() == {}
    assert store.kinds("aws") == []
    ec2 = moto.client("ec2")
    assert [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"] if not one["IsDefault"]] == []
    assert moto.client("s3").list_buckets()["Buckets"] == []
    assert moto.client("iam").list_roles()["Roles"] == []
    needed = actions.needed(store)
    assert {"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole", "s3:PutLifecycleConfiguration"} <= set(
        needed
    )


def test_refusals_are_the_clouds_own_words_and_leave_the_rest(bench: Bench, moto: Moto, store: Store) -> None:
    bench.up(program(nodes=1))
    text = refusals.aws_no_capacity("g5.xlarge", "us-east-1b")
    store.refuse("aws", "Instance", text, zone="us-east-1a")
    store.refuse("aws", "Instance", text, zone="us-east-1b", machine="g5.xlarge")
    assert "InsufficientInstanceCapacity" in bench.refused(program())
    assert len(nodes_of(moto)) == 1
    assert bench.up(program()).changes == {"create": 1}
    assert len(nodes_of(moto)) == 2

    stopping = bench.refused(program(user_data="#!/bin/sh\necho changed\n"))
    assert "one-time Spot Instance request" in stopping, (
        "new user data stops and starts, and so meets survivors"
    )


def test_a_wrong_input_is_refused_before_anything_is_made(bench: Bench, moto: Moto) -> None:
    def build() -> None:
        import pulumi_aws as aws

        aws.ec2.Instance("nested", ami=AMI, instance_type="g5.xlarge", root_block_device={"encryptd": True})

    assert 'Unexpected property "encryptd"' in bench.refused(build)
    assert nodes_of(moto) == []


def test_an_unknown_machine_type_is_refused_by_the_api(bench: Bench, moto: Moto) -> None:
    def build() -> None:
        import pulumi_aws as aws

        aws.ec2.Instance("node-0", ami=AMI, instance_type="p99.titanic")

    assert "instance types do not exist: [p99.titanic]" in bench.refused(build)


def test_lookups_find_what_others_made(bench: Bench, moto: Moto) -> None:
    ec2 = moto.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "theirs"}])
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    found: dict[str, Any] = {}

    def build(name: str = "theirs") -> None:
        import pulumi_aws as aws

        theirs = aws.ec2.get_vpc(filters=[aws.ec2.GetVpcFilterArgs(name="tag:Name", values=[name])])
        found["vpc"] = theirs.id
        found["subnets"] = aws.ec2.get_subnets(
            filters=[aws.ec2.GetSubnetsFilterArgs(name="vpc-id", values=[theirs.id])]
        ).ids
        found["account"] = aws.get_caller_identity().account_id
        found["zones"] = aws.get_availability_zones(state="available").names

    bench.preview(build)
    assert (found["vpc"], found["subnets"], found["account"]) == (vpc, [subnet], "123456789012")
    assert "us-east-1a" in found["zones"]
    assert "no matching EC2 VPC found" in bench.refused(lambda: build("nobody's"))


def machine(**inputs: Any) -> Callable[[], None]:
    """One on-demand instance and what it may change to."""

    def build() -> None:
        import pulumi_aws as aws

        group = aws.ec2.SecurityGroup("other")
        role = aws.iam.Role("role", aws.iam.RoleArgs(assume_role_policy=TRUST))
        profile = aws.iam.InstanceProfile("profile", aws.iam.InstanceProfileArgs(role=role.name))
        given = {name: value for name, value in inputs.items() if name != "changed"}
        if inputs.get("changed"):
            given |= {"vpc_security_group_ids": [group.id], "iam_instance_profile": profile.name}
        aws.ec2.Instance("node-0", aws.ec2.InstanceArgs(ami=AMI, **{"instance_type": "t3.large", **given}))

    return build


def test_most_changes_of_a_machine_are_made_in_place(bench: Bench, moto: Moto, store: Store) -> None:
    """Some stop and start it, which a design that must not touch survivors has to keep away from."""
    import pulumi_aws as aws

    bench.up(machine(user_data="one"))
    (before,) = moto.instances()
    later = machine(
        changed=True,
        user_data="two",
        instance_type="t3.xlarge",
        instance_initiated_shutdown_behavior="terminate",
        metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
            http_tokens="required", http_put_response_hop_limit=2
        ),
    )
    assert bench.up(later).changes == {"update": 1}
    (after,) = moto.instances()
    assert after["InstanceId"] == before["InstanceId"]
    assert (after["InstanceType"], after["MetadataOptions"]["HttpTokens"]) == ("t3.xlarge", "required")
    assert after["IamInstanceProfile"]["Arn"].rpartition("/")[2].startswith("profile-")
    ec2 = moto.client("ec2")
    coded = ec2.describe_instance_attribute(InstanceId=after["InstanceId"], Attribute="userData")
    assert base64.b64decode(coded["UserData"]["Value"]) == b"two"
    kept = store.get("aws", "instance", after["InstanceId"])
    assert kept is not None
    assert kept["starts"] == 2
    bench.refresh(later)
    again = bench.preview(later)
    assert (again.changes, again.differ) == ({}, ())

    # Drift: what another hand changed is changed back.
    ec2.create_tags(Resources=[after["InstanceId"]], Tags=[{"Key": "theirs", "Value": "yes"}])
    bench.refresh(later)
    assert bench.preview(later).changes == {"update": 1}


@pytest.mark.parametrize(("step", "made"), [(1, 0), (2, 1)])
def test_a_test_can_hold_the_plugin_before_and_after_any_call(
    bench: Bench, moto: Moto, store: Store, step: int, made: int
) -> None:
    def build() -> None:
        import pulumi_aws as aws

        aws.ec2.Vpc("vpc", aws.ec2.VpcArgs(cidr_block="10.77.0.0/16"))

    def there() -> int:
        found = moto.client("ec2").describe_vpcs()["Vpcs"]
        return len([one for one in found if one["CidrBlock"] == "10.77.0.0/16"])

    store.halt_at(step)
    running = threading.Thread(target=bench.up, args=(build,))
    running.start()
    deadline = time.monotonic() + 60
    while store.halted() != step:
        assert time.monotonic() < deadline, "the plugin never came to that call"
        time.sleep(0.01)
    assert there() == made
    store.go_on()
    running.join()
    assert there() == 1
    assert [(one.method, one.moment) for one in store.steps()] == [("Create", "before"), ("Create", "after")]
