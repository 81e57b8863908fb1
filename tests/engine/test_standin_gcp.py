"""The stand-in `gcp` behind the unmodified SDK: one life of a small stack, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.standins import inventory, refusals
from tests.standins.fixtures import Bench, touch
from tests.standins.store import Store

pytestmark = pytest.mark.engine
PROVIDERS = ("gcp",)


@pytest.fixture(autouse=True)
def sdk() -> None:
    touch("pulumi_gcp.compute.Instance", "pulumi_gcp.serviceaccount.Account", "pulumi_gcp.storage.Bucket")
    touch("pulumi_gcp.secretmanager.Secret", "pulumi_gcp.Provider", "pulumi_gcp.projects.IAMMember")


def others(there: Any, network: Any, account: Any) -> None:
    """The kinds that the rest of the program does not have."""
    import pulumi_gcp as gcp

    router = gcp.compute.Router("router", gcp.compute.RouterArgs(network=network.id), there)
    gcp.compute.RouterNat(
        "nat",
        gcp.compute.RouterNatArgs(
            router=router.name,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
        ),
        there,
    )
    gcp.compute.Address("address", gcp.compute.AddressArgs(address_type="EXTERNAL"), there)
    gcp.compute.Image(
        "image", gcp.compute.ImageArgs(source_disk="projects/our-project/zones/us-central1-a/disks/x"), there
    )
    gcp.projects.IAMMember(
        "logs",
        gcp.projects.IAMMemberArgs(
            project="our-project", role="roles/logging.logWriter", member=account.member
        ),
        there,
    )
    gcp.serviceaccount.IAMMember(
        "acts-as",
        gcp.serviceaccount.IAMMemberArgs(
            service_account_id=account.name,
            role="roles/iam.serviceAccountUser",
            member="user:ann@example.com",
        ),
        there,
    )


def program(nodes: int = 2, labels: dict[str, str] | None = None, **more: Any) -> Callable[[], None]:
    """A network, an identity, a bucket, a secret, compact placement, and spot nodes with names of their own."""

    def build() -> None:
        import pulumi
        import pulumi_gcp as gcp

        there = pulumi.ResourceOptions(
            provider=gcp.Provider("gcp", project="our-project", region="us-central1", zone="us-central1-a")
        )
        network = gcp.compute.Network(
            "network", gcp.compute.NetworkArgs(auto_create_subnetworks=False, mtu=8896), there
        )
        subnet = gcp.compute.Subnetwork(
            "subnet",
            gcp.compute.SubnetworkArgs(
                network=network.id, ip_cidr_range="10.0.0.0/20", private_ip_google_access=True
            ),
            there,
        )
        gcp.compute.Firewall(
            "gang",
            gcp.compute.FirewallArgs(
                network=network.self_link,
                allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["0-65535"])],
                source_tags=["gang"],
                target_tags=["gang"],
            ),
            there,
        )
        account = gcp.serviceaccount.Account(
            "account", gcp.serviceaccount.AccountArgs(account_id="train-nodes"), there
        )
        bucket = gcp.storage.Bucket(
            "bucket",
            gcp.storage.BucketArgs(
                location="us-central1", uniform_bucket_level_access=True, force_destroy=True
            ),
            there,
        )
        gcp.storage.BucketObject(
            "agent",
            gcp.storage.BucketObjectArgs(
                bucket=bucket.name, name="agent", source=pulumi.StringAsset("print(1)")
            ),
            there,
        )
        gcp.storage.BucketIAMMember(
            "reads",
            gcp.storage.BucketIAMMemberArgs(
                bucket=bucket.name, role="roles/storage.objectViewer", member=account.member
            ),
            there,
        )
        secret = gcp.secretmanager.Secret(
            "secret",
            gcp.secretmanager.SecretArgs(
                secret_id="hf-token",
                replication=gcp.secretmanager.SecretReplicationArgs(
                    auto=gcp.secretmanager.SecretReplicationAutoArgs()
                ),
            ),
            there,
        )
        gcp.secretmanager.SecretIamMember(
            "may-read",
            gcp.secretmanager.SecretIamMemberArgs(
                secret_id=secret.id, role="roles/secretmanager.secretAccessor", member=account.member
            ),
            there,
        )
        together = gcp.compute.ResourcePolicy(
            "together",
            gcp.compute.ResourcePolicyArgs(
                group_placement_policy=gcp.compute.ResourcePolicyGroupPlacementPolicyArgs(
                    collocation="COLLOCATED"
                )
            ),
            there,
        )
        others(there, network, account)
        made = [
            gcp.compute.Instance(
                f"node-{rank}",
                gcp.compute.InstanceArgs(
                    name=f"train-{rank}",
                    machine_type="a3-highgpu-8g",
                    boot_disk=gcp.compute.InstanceBootDiskArgs(
                        initialize_params=gcp.compute.InstanceBootDiskInitializeParamsArgs(
                            image="projects/deeplearning-platform-release/global/images/common-cu129",
                            size=200,
                        )
                    ),
                    network_interfaces=[
                        gcp.compute.InstanceNetworkInterfaceArgs(subnetwork=subnet.id, nic_type="GVNIC")
                    ],
                    scheduling=gcp.compute.InstanceSchedulingArgs(
                        provisioning_model="SPOT",
                        preemptible=True,
                        automatic_restart=False,
                        on_host_maintenance="TERMINATE",
                        instance_termination_action="DELETE",
                    ),
                    service_account=gcp.compute.InstanceServiceAccountArgs(
                        email=account.email, scopes=["cloud-platform"]
                    ),
                    resource_policies=together.id,
                    metadata={"user-data": "#cloud-config\n"},
                    labels={"rank": str(rank), "skywright": "train", **(labels or {})},
                    tags=["gang"],
                    **more,
                ),
                pulumi.ResourceOptions.merge(there, pulumi.ResourceOptions(delete_before_replace=True)),
            )
            for rank in range(nodes)
        ]
        addresses = [one.network_interfaces[0].network_ip for one in made]
        pulumi.export(
            "nodes", [{"id": one.id, "address": at} for one, at in zip(made, addresses, strict=True)]
        )

    return build


@pytest.mark.soak  # lives on this stand-in show the same of it
def test_one_life(bench: Bench, store: Store) -> None:
    assert set(bench.preview(program()).changes) == {"create"}
    assert store.kinds("gcp") == []

    bench.up(program())
    nodes = inventory.gcp(store)
    assert [(one.name, one.zone, one.alive) for one in nodes] == [
        ("train-0", "us-central1-a", True),
        ("train-1", "us-central1-a", True),
    ]
    assert bench.preview(program()).changes == {}

    labelled = program(labels={"team": "nlp"})
    assert bench.up(labelled).changes == {"update": 2}
    assert [one.unique for one in inventory.gcp(store)] == [one.unique for one in nodes]

    replaced = bench.up(labelled, replace=[bench.resources()["node-1"]["urn"]])
    assert replaced.of("replace") == ["node-1"]
    again = inventory.gcp(store)
    assert again[0].unique == nodes[0].unique
    assert again[1].unique != nodes[1].unique

    inventory.lose(store, again[0].id)
    bench.refresh(labelled)
    assert "node-0" not in bench.resources()
    after = bench.up(labelled)
    assert (after.changes, after.differ) == ({"create": 1}, ())

    bench.destroy(labelled)
    assert bench.resources() == {}
    assert store.kinds("gcp") == []


def test_the_cloud_refuses_in_its_own_words(bench: Bench, store: Store) -> None:
    bench.up(program(nodes=1))
    store.refuse(
        "gcp",
        "Instance",
        refusals.gcp_no_capacity("us-central1-a"),
        zone="us-central1-a",
    )
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in bench.refused(program())
    assert len(inventory.gcp(store)) == 1
    assert bench.up(program()).changes == {"create": 1}
    # A machine of another size is only had by stopping, which has to be asked for.
    stopped = bench.refused(program(min_cpu_platform="Intel Sapphire Rapids"))
    assert "requires stopping it" in stopped
