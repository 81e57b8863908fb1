"""What a resource costs by its type and inputs, now and then: machines, disks, addresses; and what nobody can price."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.catalog import tariffs
from compiler.offer import Market, Offer
from skywright.review.pricing import BUCKETS, FREE, TYPES, Around, price
from skywright.review.report import Kind

EC2, GCE, VM = (
    "aws:ec2/instance:Instance",
    "gcp:compute/instance:Instance",
    "azure-native:compute:VirtualMachine",
)
HOURS = tariffs.HOURS_A_MONTH


class Listed:
    """A catalog that knows one machine."""

    def __init__(self, *rows: tuple[float, str | None, str | None, float, str]) -> None:
        self.rows = rows

    def find(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        del sql
        return [row for row in self.rows if values[2] == "known"]


def around(cloud: str, *offers: Offer, rows: tuple[Any, ...] = (), **more: Any) -> Around:
    return Around(cloud, "r", offers=offers, catalog=Listed(*rows), **more)  # type: ignore[arg-type]


def offer(cloud: str, market: Market, usd: float, zone: str | None = None, **more: Any) -> Offer:
    return Offer(cloud, "r", zone, "big", market, usd, 8, 32, **more)


def test_a_machine_costs_what_the_plan_says_and_disk_and_address_come_on_top() -> None:
    inputs = {
        "instanceType": "big",
        "instanceMarketOptions": {"marketType": "spot"},
        "rootBlockDevice": {"volumeSize": 730, "volumeType": "gp3", "iops": 8000, "throughput": 500},
        "associatePublicIpAddress": True,
    }
    place = around("aws", offer("aws", Market.SPOT, 1.5), offer("aws", Market.ON_DEMAND, 4.0))
    parts = [part.hourly for part in price(EC2, inputs, place).parts]
    fast = 5000 * 0.005 + 375 * 0.04
    assert parts == pytest.approx([1.5, 0.08 + fast / HOURS, 0.005])
    del (
        inputs["instanceMarketOptions"],
        inputs["rootBlockDevice"]["iops"],
        inputs["rootBlockDevice"]["throughput"],
    )  # type: ignore[attr-defined]
    assert price(EC2, inputs, place).hourly == pytest.approx(4.0 + 0.08 + 0.005)


def test_a_machine_that_is_in_no_plan_costs_what_the_catalog_says_in_its_zone() -> None:
    rows = ((1.0, "r-a", None, 0, "list"), (2.0, "r-b", None, 0, "list"))
    place = around("gcp", rows=rows, zone="r-b")
    assert price(GCE, {"machineType": "known", "zone": "r-b"}, place).hourly == 2.0
    assert price(GCE, {"machineType": "known", "zone": "r-a"}, place).hourly == 1.0
    found = price(GCE, {"machineType": "unheard-of"}, place)
    assert (found.kind, found.why) == (Kind.UNPRICED, "unheard-of on-demand in r")


def test_google_and_azure_name_markets_disks_and_addresses_their_own_way() -> None:
    spot = {
        "machineType": "big",
        "scheduling": {"provisioningModel": "SPOT"},
        "bootDisk": {"initializeParams": {"size": 730, "type": "pd-ssd"}},
        "networkInterfaces": [{"accessConfigs": [{}]}],
    }
    assert price(GCE, spot, around("gcp", offer("gcp", Market.SPOT, 1.0))).hourly == pytest.approx(
        1.0 + 0.17 + 0.005
    )
    vm = {
        "hardwareProfile": {"vmSize": "big"},
        "priority": "Spot",
        "storageProfile": {
            "osDisk": {"diskSizeGB": 730, "managedDisk": {"storageAccountType": "Premium_LRS"}}
        },
    }
    assert price(VM, vm, around("azure", offer("azure", Market.SPOT, 1.0))).hourly == pytest.approx(1.15)


def test_reserved_machines_are_paid_for_already() -> None:
    place = around("aws", offer("aws", Market.ON_DEMAND, 3.0, reserved=1))
    found = [price(EC2, {"instanceType": "big"}, place, number).hourly for number in range(2)]
    assert found == [0.0, 3.0]


def test_what_is_free_is_free_and_what_nobody_knows_is_named() -> None:
    place = around("aws")
    assert price("aws:iam/role:Role", {}, place).kind is Kind.FREE
    assert price("aws:cloudwatch/logGroup:LogGroup", {}, place).kind is Kind.UNPRICED
    assert price("skywright:local:Node", {"market": "spot"}, around("local")).kind is Kind.FREE
    assert price(EC2, {"instanceType": "big"}, place).kind is Kind.UNPRICED


def test_buckets_cost_by_use_and_stay_where_a_checkpoint_is() -> None:
    for cloud, kind in zip(("aws", "gcp", "azure"), BUCKETS, strict=True):
        found = price(kind, {}, around(cloud, kept=True))
        assert (found.kind, found.stays, found.hourly) == (Kind.USE, True, 0.0)
        assert not price(kind, {}, around(cloud)).stays


def test_no_type_is_paid_for_and_free() -> None:
    assert not FREE & set(TYPES)
