"""Disks and networks that a task asks for: which machines have them, and what a faster disk costs."""

from __future__ import annotations

import pytest

from compiler.catalog import inside, tariffs
from compiler.cost import Estimate, Reckoner
from compiler.needs import LocalDisk, Requirements
from compiler.offer import Market, Offer
from compiler.plan import Plan
from compiler.quantity import Quantity
from compiler.search import plan
from compiler.task import Task
from skywright.catalog import open_catalog


@pytest.mark.parametrize(
    ("cloud", "name", "fast"),
    [
        ("aws", "p4d.24xlarge", True),
        ("aws", "g5.xlarge", False),
        ("aws", "c5n.18xlarge", True),
        ("gcp", "a3-highgpu-8g", True),
        ("gcp", "a3-highgpu-1g", False),
        ("gcp", "a2-highgpu-8g", False),
        ("azure", "Standard_ND96amsr_A100_v4", True),
        ("azure", "Standard_ND96isr_H100_v5", True),
        ("azure", "Standard_NC24ads_A100_v4", False),
        ("lambda", "gpu_8x_h100_sxm5", False),
    ],
)
def test_which_machines_have_a_fast_network(cloud: str, name: str, fast: bool) -> None:
    assert inside.fast_network(cloud, name) is fast


def test_disks_inside_are_those_that_the_vendor_says() -> None:
    assert inside.local_disk("aws", "p4d.24xlarge") == ("nvme", 8000.0)
    assert inside.local_disk("aws", "m5.large") is None
    assert inside.local_disk("aws", "d3.xlarge") is None, "hard disks are neither nvme nor ssd"
    assert inside.has_disk("aws", "m5d.large", LocalDisk("ssd", Quantity(75)))
    assert not inside.has_disk("aws", "m5d.large", LocalDisk("nvme", Quantity(100, True)))


def planned(**wanted: object) -> Plan:
    requirements = Requirements(cloud="aws", region="us-east-1", **wanted)  # type: ignore[arg-type]
    catalog = open_catalog()
    try:
        return plan(Task(requirements=requirements), (), name="t", enabled=catalog.clouds, catalog=catalog)
    finally:
        catalog.connection.close()


def test_plans_take_machines_that_have_it_and_say_why_not_the_others() -> None:
    fast = planned(network_tier="best")
    assert all(inside.fast_network("aws", one.offer.instance_type) for one in fast.placements)
    assert "have no fast network (EFA, GPUDirect, InfiniBand)" in {one.reason for one in fast.rejections}
    disk = planned(local_disk=LocalDisk("nvme", Quantity(500, True)))
    sizes = [inside.local_disk("aws", one.offer.instance_type) for one in disk.placements]
    assert all(one and one[1] >= 500 for one in sizes)
    for made in (fast, disk):
        assert sum(one.count for one in made.rejections) + made.fitting == made.offers
    none = planned(instance_type="g5.xlarge", network_tier="best")
    assert not none.placements
    assert "`network_tier: standard`" in {one.change for one in none.relaxations}


def test_a_faster_disk_costs_more_and_where_there_is_none_it_is_refused() -> None:
    def monthly(cloud: str, tier: str | None) -> float:
        return tariffs.disk(100, cloud, tariffs.HOURS_A_MONTH, tier)

    assert monthly("aws", None) == monthly("aws", "medium") == pytest.approx(8.0)
    assert monthly("aws", "high") == pytest.approx(8.0 + 5000 * 0.005 + 375 * 0.04)
    assert monthly("aws", "ultra") > monthly("aws", "high")
    assert monthly("gcp", "low") < monthly("gcp", None) < monthly("gcp", "high")
    assert monthly("lambda", "best") == 0
    for cloud, tiers in tariffs.TIERS.items():
        assert tiers["medium"].gb == tariffs.DISK[cloud]
    offer = Offer("aws", "r", None, "m", Market.ON_DEMAND, 1.0, 8, 64)
    costs = [Reckoner(1, Estimate(disk_tier=tier)).cost(offer).disk for tier in ("low", "high", "ultra")]
    assert costs == sorted(costs)
    sold = [Offer(cloud, "r", None, "m", Market.ON_DEMAND, 1.0, 8, 64) for cloud in ("lambda", "oci", "gcp")]
    task = Task(requirements=Requirements(disk_tier="ultra"))
    made = plan(task, sold, name="t", enabled=("lambda", "oci", "gcp"))
    assert sorted((one.count, one.reason) for one in made.rejections) == [
        (1, "have disks of one speed"),
        (2, "have no disk of tier ultra whose price is known"),
    ]
    assert "`disk_tier: best`" in {one.change for one in made.relaxations}
