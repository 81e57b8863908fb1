"""The stand-in of each cloud as a place where stacks come up: credentials, what a team owns, losses, what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.problem import Problems
from compiler.spec import StackSpec
from tests.standins import inventory, moto_server
from tests.standins.rest import serving
from tests.standins.store import Store

PROJECT = "proj"
"""Skywright's project of whatever is made at a site."""

STORE = "standins.sqlite"
"""The stand-ins' file in the folder of a site; `VARIABLE` has to name it to the engine."""

NAMESPACE = "readers"
GOOGLE = {"COMPUTE": "/compute/v1/", "SECRETMANAGER": "/v1/", "STORAGE": "/storage/v1/"}
AZURE_SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"


@dataclass
class Site:
    """One cloud. `env` has what reaches it (beside `STORE` in its folder), `given` what the configuration of a team
    says that owns a network there.

    `own(spec)` makes the network that a task names, `lose(node, spec)` takes a node away without a notice,
    `alive(spec)` lists ids of nodes, `left(spec)` whatever is there beside the team's own, `empty(spec)` takes away
    what was left on purpose.
    """

    cloud: str
    provider: str
    env: Mapping[str, str]
    own: Callable[[StackSpec], None]
    lose: Callable[[str, StackSpec], None]
    alive: Callable[[StackSpec], Sequence[str]]
    left: Callable[[StackSpec], list[str]]
    empty: Callable[[StackSpec], None]
    given: Mapping[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def site(cloud: str, folder: Path) -> Iterator[Site]:
    """The stand-in of a cloud with nothing in it, for as long as it is needed. `folder` is empty."""
    with SITES[cloud](folder, Store(folder / STORE)) as made:
        yield made


# AWS


class _Aws:
    """An account at moto. What the team made is known by id, everything else is ours."""

    TAGGED = (
        ("vpcs", "Vpcs", "VpcId"),
        ("subnets", "Subnets", "SubnetId"),
        ("route_tables", "RouteTables", "RouteTableId"),
        ("internet_gateways", "InternetGateways", "InternetGatewayId"),
        ("security_groups", "SecurityGroups", "GroupId"),
        ("vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
        ("volumes", "Volumes", "VolumeId"),
        ("launch_templates", "LaunchTemplates", "LaunchTemplateId"),
        ("addresses", "Addresses", "AllocationId"),
    )

    def __init__(self, url: str, store: Store) -> None:
        self.url, self.store = url, store

    def client(self, service: str, spec: StackSpec) -> Any:
        import boto3

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, region_name=spec.region, endpoint_url=self.url, **keys)

    def own(self, spec: StackSpec) -> None:
        ec2, given = self.client("ec2", spec), spec.given
        if given.network is None:
            return

        def named(kind: str, name: str) -> list[dict[str, Any]]:
            return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]

        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=named("vpc", given.network))
        place = {"VpcId": vpc["Vpc"]["VpcId"]}
        ec2.create_subnet(
            **place,
            CidrBlock="10.1.0.0/20",
            AvailabilityZone=spec.zone or f"{spec.region}a",
            TagSpecifications=named("subnet", given.subnet or "private"),
        )
        for number, name in enumerate(given.security_groups):
            # No group can be called `sg-...`: such a name is that of its tag.
            ec2.create_security_group(
                **place,
                GroupName=f"nodes-{number}" if name.startswith("sg-") else name,
                Description="nodes",
                TagSpecifications=named("security-group", name),
            )

    def instances(self, spec: StackSpec) -> list[str]:
        pages = self.client("ec2", spec).get_paginator("describe_instances").paginate()
        found = [one for page in pages for each in page["Reservations"] for one in each["Instances"]]
        gone = ("terminated", "shutting-down")
        return [one["InstanceId"] for one in found if one["State"]["Name"] not in gone]

    def lose(self, node: str, spec: StackSpec) -> None:
        self.client("ec2", spec).terminate_instances(InstanceIds=[node])

    def left(self, spec: StackSpec) -> list[str]:
        found = [*self.instances(spec), *(" ".join(one) for one in self.store.kinds("aws"))]
        ec2, iam = self.client("ec2", spec), self.client("iam", spec)
        for kind, member, name in self.TAGGED:
            for one in getattr(ec2, f"describe_{kind}")()[member]:
                if any(tag["Key"] == "skywright:project" for tag in one.get("Tags") or ()):
                    found += [one[name]] if one.get("State") != "deleted" else []
        found += [one["RoleName"] for one in iam.list_roles()["Roles"]]
        found += [one["InstanceProfileName"] for one in iam.list_instance_profiles()["InstanceProfiles"]]
        found += [one["Name"] for one in self.client("s3", spec).list_buckets()["Buckets"]]
        found += [one["Name"] for one in self.client("secretsmanager", spec).list_secrets()["SecretList"]]
        return found

    def empty(self, spec: StackSpec) -> None:
        s3 = self.client("s3", spec)
        for bucket in s3.list_buckets()["Buckets"]:
            for one in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents") or ():
                s3.delete_object(Bucket=bucket["Name"], Key=one["Key"])
            s3.delete_bucket(Bucket=bucket["Name"])


@contextlib.contextmanager
def _aws(folder: Path, store: Store) -> Iterator[Site]:
    with moto_server.serving() as url:
        at = _Aws(url, store)
        env = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield Site("aws", "aws", env, at.own, at.lose, at.instances, at.left, at.empty)


# Google and Azure


class _Kept:
    """A cloud whose things lie in the stand-ins' file."""

    def __init__(self, store: Store, cloud: str, kind: str) -> None:
        self.store, self.cloud, self.kind = store, cloud, kind
        self.team: set[str] = set()

    def make(self, config: Mapping[str, str], token: str, **inputs: Any) -> str:
        """What the team owns; its id."""
        import importlib

        from tests.standins import plugin
        from tests.standins.kind import Ask

        kind = importlib.import_module(plugin.MODULES[self.cloud]).CLOUD.kinds[f"{self.cloud}:{token}"]
        made = kind.create(Ask("urn:team", "", inputs, {}, {}, config, self.store))
        self.team.add(str(made.id))
        return str(made.id)

    def of(self, node: str) -> str:
        """The stand-in's name of the machine that calls itself `node`."""
        found = self.store.all(self.cloud, self.kind)
        return next(name for name, one in found.items() if node in map(str, one["outputs"].values()))

    def lose(self, node: str, spec: StackSpec) -> None:
        inventory.lose(self.store, self.of(node))

    def alive(self, spec: StackSpec) -> list[str]:
        return [one.id for one in getattr(inventory, self.cloud.partition("-")[0])(self.store) if one.alive]

    def left(self, spec: StackSpec) -> list[str]:
        return [f"{kind} {name}" for kind, name in self.store.kinds(self.cloud) if name not in self.team]

    def empty(self, spec: StackSpec) -> None:
        for kind, name in self.store.kinds(self.cloud):
            if name not in self.team:
                self.store.drop(self.cloud, kind, name)


@contextlib.contextmanager
def _gcp(folder: Path, store: Store) -> Iterator[Site]:
    at = _Kept(store, "gcp", "Instance")

    def own(spec: StackSpec) -> None:
        if spec.given.network:
            config = {"project": "our-project", "region": spec.region or "", "zone": spec.zone or ""}
            network = at.make(
                config, "compute/network:Network", name=spec.given.network, autoCreateSubnetworks=False
            )
            at.make(
                config,
                "compute/subnetwork:Subnetwork",
                name=spec.given.subnet or spec.given.network,
                network=network,
                ipCidrRange="10.1.0.0/20",
                region=spec.region,
            )

    with serving(store) as url:
        env = {"GOOGLE_CLOUD_PROJECT": "our-project", "GOOGLE_OAUTH_ACCESS_TOKEN": "testing"}
        for service, path in GOOGLE.items():
            env[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}"] = f"{url}{path}"
        yield Site("gcp", "gcp", env, own, at.lose, at.alive, at.left, at.empty)


@contextlib.contextmanager
def _azure(folder: Path, store: Store) -> Iterator[Site]:
    at = _Kept(store, "azure-native", "VirtualMachine")

    def own(spec: StackSpec) -> None:
        if spec.given.network:
            config = {"subscriptionId": AZURE_SUBSCRIPTION, "location": spec.region or ""}
            group = {"resourceGroupName": spec.given.group}
            at.make(config, "resources:ResourceGroup", **group)
            at.make(
                config,
                "network:VirtualNetwork",
                **group,
                virtualNetworkName=spec.given.network,
                addressSpace={"addressPrefixes": ["10.1.0.0/16"]},
            )
            at.make(
                config,
                "network:Subnet",
                **group,
                virtualNetworkName=spec.given.network,
                subnetName=spec.given.subnet or "default",
                addressPrefix="10.1.0.0/20",
            )
            for name in spec.given.security_groups:
                at.make(config, "network:NetworkSecurityGroup", **group, networkSecurityGroupName=name)

    with serving(store) as url:
        env = {
            "ARM_SUBSCRIPTION_ID": AZURE_SUBSCRIPTION,
            "ARM_ACCESS_TOKEN": "testing",
            "ARM_RESOURCE_MANAGER_ENDPOINT": url,
        }
        yield Site(
            "azure", "azure-native", env, own, at.lose, at.alive, at.left, at.empty, {"group": "ai-team"}
        )


# Kubernetes


@contextlib.contextmanager
def _kubernetes(folder: Path, store: Store) -> Iterator[Site]:
    """A real API server with four nodes of eight A100 and one of four V100, on demand and spot."""
    from tests.components import cluster as real

    for cluster in real.running(folder):
        with of_cluster(cluster) as made:
            yield made


def _nothing(spec: StackSpec) -> None:
    """There is nothing to do."""


@contextlib.contextmanager
def of_cluster(cluster: Any) -> Iterator[Site]:
    """A site in a cluster that runs: a namespace, and nodes that go again."""
    from urllib.parse import quote

    from stacks import kubernetes

    cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    cluster.until(lambda: cluster.there(account), "its account is there")
    cards = [("NVIDIA-A100-SXM4-40GB", "8")] * 4 + [("Tesla-V100-SXM2-16GB", "4")]
    made = []
    cluster.add_volume("readers")
    for market, labels in (("spot", {"eks.amazonaws.com/capacityType": "SPOT"}), ("plain", {})):
        for number, (card, count) in enumerate(cards):
            sizes = {"cpu": "96", "memory": "1152Gi", "nvidia_dot_com__gpu": count}
            made.append(f"readers-{market}-{number}")
            cluster.add_node(made[-1], labels={**labels, "nvidia.com/gpu.product": card}, **sizes)

    def lose(node: str, spec: StackSpec) -> None:
        with contextlib.suppress(Problems):
            kubernetes.preempt(node, None, kubernetes.Scope.of(spec))

    def alive(spec: StackSpec) -> list[str]:
        facts = kubernetes.inventory(None, kubernetes.Scope.of(spec))
        return [one.node for one in facts if one.alive]

    def left(spec: StackSpec) -> list[str]:
        found = []
        for kind in (*kubernetes.KINDS, "pods", "persistentvolumeclaims"):
            root, _, plural = kind.rpartition(":")
            path = (
                f"/{root or 'api/v1'}/namespaces/{NAMESPACE}/{plural}?labelSelector={quote(kubernetes.OURS)}"
            )
            found += [f"{plural} {one['metadata']['name']}" for one in cluster.ask("GET", path)["items"]]
        return found

    def empty(spec: StackSpec) -> None:
        """With its claim goes a volume's use, so the next claim gets a new one."""
        if any(one.startswith("persistentvolumeclaims") for one in left(spec)):
            cluster.remove_volume("readers")
            cluster.add_volume("readers")

    env = {"KUBECONFIG": str(cluster.kubeconfig("admin", namespace=NAMESPACE))}
    try:
        yield Site("kubernetes", "kubernetes", env, _nothing, lose, alive, left, empty)
    finally:
        cluster.remove_volume("readers")
        for name in made:
            cluster.remove_node(name)


SITES: Mapping[str, Callable[[Path, Store], contextlib.AbstractContextManager[Site]]] = {
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "kubernetes": _kubernetes,
}
