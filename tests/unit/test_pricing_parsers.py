"""Price lists of every vendor, recorded in their documented form with their traps, become rows of the catalog."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from compiler.catalog.rows import Row
from skywright.pricing import (
    VENDORS,
    aws,
    azure,
    cudo,
    digitalocean,
    gcp,
    ibm,
    lambdalabs,
    nebius,
    oci,
    runpod,
    vast,
)
from skywright.pricing.fetching import Broken
from skywright.pricing.vendor import Sheet

DATA = Path(__file__).resolve().parents[1] / "data" / "prices"
DATE = "2026-11-22"


def row(
    cloud: str, name: str, region: str, price: float | None = 1.0, spot: float | None = None, **more: Any
) -> Row:
    """A row of the last good catalog."""
    known: dict[str, Any] = {
        "zone": None, "accelerator": None, "count": 0.0, "cpus": 8.0, "memory_gb": 32.0, "arch": "x86_64",
        "burstable": False, "band": None, "source": "before", **more,
    }  # fmt: skip
    return Row(cloud=cloud, region=region, instance_type=name, price=price, spot=spot, **known)


def sample(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def prices(sheet: Sheet) -> dict[tuple[str, str, str | None], tuple[float | None, float | None]]:
    return {(one.instance_type, one.region, one.zone): (one.price, one.spot) for one in sheet.rows}


def sizes(sheet: Sheet) -> dict[str, tuple[str | None, float, float, float, str]]:
    return {
        one.instance_type: (one.accelerator, one.count, one.cpus, one.memory_gb, one.arch)
        for one in sheet.rows
    }


AWS_LAST = [
    row("aws", "p5.48xlarge", "us-east-1", 98.0, 40.0, zone=f"us-east-1{letter}", accelerator="H100", count=8.0,
        cpus=192.0, memory_gb=2048.0, band=2)
    for letter in "ab"
]  # fmt: skip


def aws_lines() -> list[str]:
    return (DATA / "aws.csv").read_text().splitlines(keepends=True)


def test_aws_takes_linux_on_demand_of_shared_machines_only() -> None:
    sheet = aws.parse(aws_lines(), "us-east-1", AWS_LAST, DATE)
    assert prices(sheet) == {
        ("p5.48xlarge", "us-east-1", "us-east-1a"): (55.04, None),
        ("p5.48xlarge", "us-east-1", "us-east-1b"): (55.04, None),
        ("m8g.2xlarge", "us-east-1", None): (0.359, None),
    }
    assert sizes(sheet)["p5.48xlarge"] == ("H100", 8.0, 192.0, 2048.0, "x86_64")
    assert sizes(sheet)["m8g.2xlarge"] == (None, 0.0, 8.0, 32.0, "arm64")
    assert sheet.dropped.counts == {
        "a machine with accelerators that nobody has named": 2,
        "without any price": 1,
    }
    first = aws.parse(aws_lines(), "us-east-1", (), DATE)
    assert sizes(first)["p5.48xlarge"] == ("H100", 8.0, 192.0, 2048.0, "x86_64"), "without a last catalog too"


def test_aws_spot_prices_are_the_newest_of_each_zone_and_never_dearer_than_on_demand() -> None:
    def said(name: str, zone: str, price: str, hour: int, kind: str = "Linux/UNIX") -> dict[str, Any]:
        at = datetime(2026, 11, 22, hour, tzinfo=timezone.utc)
        return {
            "InstanceType": name, "AvailabilityZone": zone, "SpotPrice": price, "Timestamp": at,
            "ProductDescription": kind,
        }  # fmt: skip

    spot = aws.parse_spot(
        [
            said("p5.48xlarge", "us-east-1a", "20.5", 9),
            said("p5.48xlarge", "us-east-1a", "18.5", 11),
            said("p5.48xlarge", "us-east-1a", "19.5", 10),
            said("p5.48xlarge", "us-east-1a", "60.5", 12, "Windows"),
            said("p5.48xlarge", "us-east-1f", "70.0", 9),
            said("m8g.2xlarge", "us-east-1c", "soon", 9),
            said("m8g.2xlarge", "us-west-2-lax-1a", "0.1", 9),
        ]
    )
    rows = aws.parse(aws_lines(), "us-east-1", AWS_LAST, DATE).rows
    fresh = aws.with_spot(rows, AWS_LAST, spot, DATE)
    assert prices(fresh) == {
        ("p5.48xlarge", "us-east-1", "us-east-1a"): (55.04, 18.5),
        ("p5.48xlarge", "us-east-1", "us-east-1b"): (55.04, None),
        ("p5.48xlarge", "us-east-1", "us-east-1f"): (55.04, None),
        ("m8g.2xlarge", "us-east-1", None): (0.359, None),
    }
    stayed = aws.with_spot(rows, AWS_LAST, None, DATE)
    assert prices(stayed)["p5.48xlarge", "us-east-1", "us-east-1a"] == (55.04, 40.0)
    assert {one.band for one in stayed.rows if one.spot} == {2}


@pytest.mark.parametrize("cut", [1, 5, 6, 8])
def test_an_aws_list_that_breaks_off_or_is_another_one_is_none(cut: int) -> None:
    lines = aws_lines()[:cut]
    if cut > 6:
        lines[-1] = lines[-1][:90]
    if cut == 6:
        lines = [line.replace('"PricePerUnit"', '"Preis"') for line in lines]
    with pytest.raises(Broken):
        aws.parse(lines, "us-east-1", AWS_LAST, DATE)


AZURE_LAST = [
    row("azure", "Standard_D8s_v5", "eastus"),
    row("azure", "Standard_NC24ads_A100_v4", "eastus", accelerator="A100-80GB", count=1.0, cpus=24.0),
]


def test_azure_takes_linux_meters_and_leaves_spot_that_is_dearer() -> None:
    sheet = azure.parse(sample("azure.json"), AZURE_LAST, DATE)
    assert prices(sheet) == {
        ("Standard_D8s_v5", "eastus", None): (0.384, 0.07),
        ("Standard_NC24ads_A100_v4", "westeurope", None): (3.673, None),
    }
    assert sizes(sheet)["Standard_NC24ads_A100_v4"][:2] == ("A100-80GB", 1.0)
    assert sheet.dropped.counts == {
        "without a price, a name or a region": 2,
        "a machine whose size nobody knows": 1,
        "a spot price that is not below on-demand": 1,
    }


def gcp_last(name: str, zone: str = "us-central1-a", **more: Any) -> Row:
    return row("gcp", name, zone.rpartition("-")[0], zone=zone, **more)


GCP_LAST = [
    gcp_last("a2-highgpu-1g", accelerator="A100", count=1.0, cpus=12.0, memory_gb=85.0),
    gcp_last("n1-standard-4", cpus=4.0, memory_gb=15.0),
    gcp_last("n1-standard-4", cpus=4.0, memory_gb=15.0, accelerator="T4", count=2.0),
    gcp_last("n1-standard-4", "europe-west8-a", cpus=4.0, memory_gb=15.0, accelerator="T4", count=2.0),
    gcp_last("e2-micro", cpus=2.0, memory_gb=1.0),
    gcp_last("TPU-VM", accelerator="tpu-v5p-8", count=1.0),
]


def test_google_adds_up_vcpus_memory_and_accelerators() -> None:
    sheet = gcp.parse(sample("gcp.json"), GCP_LAST, DATE)
    found = {(one.instance_type, one.accelerator): (one.price, one.spot) for one in sheet.rows}
    assert found == {
        ("a2-highgpu-1g", "A100"): (
            pytest.approx(12 * 0.031611 + 85 * 0.004237 + 2.933908),
            pytest.approx(12 * 0.0094833 + 85 * 0.001271 + 0.880172),
        ),
        ("n1-standard-4", None): (pytest.approx(4 * 0.031611 + 15 * 0.004237), None),
        ("n1-standard-4", "T4"): (pytest.approx(4 * 0.031611 + 15 * 0.004237 + 0.7), None),
    }
    assert sheet.dropped.counts["a machine whose parts have no price there"] == 1
    assert sheet.dropped.counts["a SKU without a price"] == 1
    assert not any(gcp.told(one) for one in GCP_LAST[-2:]), "TPUs and shared cores are not in this list"


def test_lambda_sells_at_one_price_where_it_has_some_and_where_it_had() -> None:
    last = [row("lambda", "gpu_8x_a100_80gb_sxm4", "us-east-1", accelerator="A100-80GB", count=8.0)]
    sheet = lambdalabs.parse(sample("lambda.json"), last, DATE)
    assert prices(sheet) == {
        ("gpu_1x_a10", "us-west-1", None): (1.29, None),
        ("gpu_8x_a100_80gb_sxm4", "us-east-1", None): (22.32, None),
        ("gpu_1x_gh200", "us-east-3", None): (2.29, None),
    }
    assert sizes(sheet)["gpu_1x_gh200"] == ("GH200", 1.0, 64.0, 432.0, "arm64")
    assert sizes(lambdalabs.parse(sample("lambda.json"), (), DATE)).keys() == {"gpu_1x_a10", "gpu_1x_gh200"}


def test_vast_gives_the_cheapest_of_a_size_in_a_place() -> None:
    sheet = vast.parse(sample("vast.json"), (), DATE)
    assert prices(sheet) == {
        ("2x-RTX_4090-32-65536", "California, US", None): (0.7, 0.4),
        ("1x-H100_SXM-16-65536", "CA, NA", None): (1.9, None),
    }
    assert sizes(sheet)["2x-RTX_4090-32-65536"] == ("RTX4090", 2.0, 32.0, 64.0, "x86_64")


def test_oracle_prices_cards_by_the_card_and_halves_what_can_be_preempted() -> None:
    sheet = oci.parse(sample("oci_shapes.json"), sample("oci_products.json"), ("us-ashburn-1",), DATE)
    assert prices(sheet) == {
        ("VM.GPU.A10.2", "us-ashburn-1", None): (4.0, 2.0),
        ("BM.GPU.A100-v2.8", "us-ashburn-1", None): (32.0, None),
        ("VM.Standard2.8", "us-ashburn-1", None): (0.5104, 0.2552),
    }
    assert sizes(sheet) == {
        "VM.GPU.A10.2": ("A10", 2.0, 60.0, 480.0, "x86_64"),
        "BM.GPU.A100-v2.8": ("A100-80GB", 8.0, 256.0, 2048.0, "x86_64"),
        "VM.Standard2.8": (None, 0.0, 16.0, 120.0, "x86_64"),
    }


def test_ibm_takes_the_dollars_per_hour_of_the_instance() -> None:
    sheet = ibm.parse(sample("ibm.json"), DATE)
    assert prices(sheet) == {
        ("gx3-16x80x1l4", "us-south", None): (1.19, None),
        ("bx2-8x32", "us-south", None): (0.384, None),
    }
    assert sizes(sheet)["gx3-16x80x1l4"] == ("L4", 1.0, 16.0, 80.0, "x86_64")


def test_runpod_multiplies_what_one_costs() -> None:
    sheet = runpod.parse(sample("runpod.json"), (), DATE)
    assert prices(sheet)["8x_NVIDIA H100 80GB HBM3_SECURE", "any", None] == (23.92, 14.0)
    assert sizes(sheet)["8x_NVIDIA H100 80GB HBM3_SECURE"] == ("H100", 8.0, 128.0, 1000.0, "x86_64")
    assert [name for name, _, _ in prices(sheet) if "L4" in name] == [
        "1x_NVIDIA L4_SECURE",
        "2x_NVIDIA L4_SECURE",
    ]
    assert prices(sheet)["1x_NVIDIA L4_SECURE", "any", None] == (0.43, None), "a bid above the price is none"
    assert not any("3070" in name or "A40" in name for name, _, _ in prices(sheet))
    with pytest.raises(Broken, match="errors"):
        runpod.parse({"errors": [{"message": "no"}], "data": None}, (), DATE)


def test_digitalocean_has_a_row_for_each_region_of_what_is_available() -> None:
    sheet = digitalocean.parse(sample("digitalocean.json"), (), DATE)
    assert prices(sheet) == {
        ("gpu-h100x8-640gb", "nyc2", None): (23.92, None),
        ("gpu-h100x8-640gb", "tor1", None): (23.92, None),
        ("gpu-mi300x1-192gb", "atl1", None): (1.99, None),
        ("s-2vcpu-4gb", "nyc1", None): (0.03571, None),
    }
    assert sizes(sheet)["gpu-mi300x1-192gb"] == ("MI300X", 1.0, 20.0, 240.0, "x86_64")
    assert {one.instance_type for one in sheet.rows if one.burstable} == {"s-2vcpu-4gb"}


def test_nebius_takes_both_prices_of_a_preset() -> None:
    sheet = nebius.parse(sample("nebius.json"), (), DATE)
    assert prices(sheet) == {
        ("gpu-h100-sxm_8gpu-128vcpu-1600gb", "eu-north1", None): (23.6, 10.0),
        ("cpu-e2_8vcpu-32gb", "eu-north1", None): (0.1984, None),
    }
    assert sizes(sheet)["gpu-h100-sxm_8gpu-128vcpu-1600gb"] == ("H100", 8.0, 128.0, 1600.0, "x86_64")


def test_cudo_adds_up_sizes_within_the_limits_of_a_type() -> None:
    sheet = cudo.parse(sample("cudo.json"), (), DATE)
    assert prices(sheet)["epyc-milan-a40_2x12v48gb", "no-luster-1", None] == (
        pytest.approx(12 * 0.0025 + 48 * 0.0038 + 2 * 0.39),
        None,
    )
    assert prices(sheet)["standard_0x8v32gb", "gb-bournemouth-1", None] == (
        pytest.approx(8 * 0.0088 + 32 * 0.0056),
        None,
    )
    assert {one.accelerator for one in sheet.rows} == {"A40", None}
    assert not any("free" in one.instance_type or "priceless" in one.instance_type for one in sheet.rows)


Parser = Callable[[Any], Sheet]

PARSERS: dict[str, tuple[str, Parser]] = {
    "azure": ("azure.json", lambda data: azure.parse(data, AZURE_LAST, DATE)),
    "gcp": ("gcp.json", lambda data: gcp.parse(data, GCP_LAST, DATE)),
    "lambda": ("lambda.json", lambda data: lambdalabs.parse(data, (), DATE)),
    "vast": ("vast.json", lambda data: vast.parse(data, (), DATE)),
    "oci": ("oci_shapes.json", lambda data: oci.parse(data, sample("oci_products.json"), ("r",), DATE)),
    "ibm": ("ibm.json", lambda data: ibm.parse(data, DATE)),
    "runpod": ("runpod.json", lambda data: runpod.parse(data, (), DATE)),
    "do": ("digitalocean.json", lambda data: digitalocean.parse(data, (), DATE)),
    "nebius": ("nebius.json", lambda data: nebius.parse(data, (), DATE)),
    "cudo": ("cudo.json", lambda data: cudo.parse(data, (), DATE)),
}


def test_every_vendor_has_its_module_and_its_sample() -> None:
    assert PARSERS.keys() | {"aws"} == VENDORS.keys()


@pytest.mark.parametrize("cloud", PARSERS)
def test_every_row_is_whole_and_says_whose_it_is_and_of_when(cloud: str) -> None:
    name, parse = PARSERS[cloud]
    for one in parse(sample(name)).rows:
        assert one.cloud == cloud
        assert one.source.endswith(DATE)
        assert one.region
        assert one.cpus > 0 < one.memory_gb
        assert one.price or one.spot
        assert one.spot is None or one.price is None or one.spot < one.price
        assert (one.accelerator is None) == (one.count == 0)


WRONG = (None, "", "x", -1, 0, 1e400, float("nan"), True, [], {}, [None], ["x"], {"value": "x"})


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(data, dict):
        return found + [one for key, value in data.items() for one in places(value, (*path, key))]
    if isinstance(data, list):
        return found + [one for index, value in enumerate(data) for one in places(value, (*path, index))]
    return found


@pytest.mark.parametrize("cloud", PARSERS)
def test_whatever_stands_in_a_list_gives_rows_that_are_whole_or_says_that_it_is_broken(cloud: str) -> None:
    name, parse = PARSERS[cloud]
    chance = random.Random(7)
    whole = sample(name)
    # The pairs of names and records of IBM are made by ourselves.
    for path in (path for path in places(whole) if cloud != "ibm" or len(path) > 2):
        data = copy.deepcopy(whole)
        at = data
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = chance.choice(WRONG)
        try:
            rows = parse(data).rows
        except Broken:
            continue
        for one in rows:
            assert all(0 < price < 1e6 for price in (one.price, one.spot) if price is not None)
            assert isinstance(one.region, str)
            assert one.cpus > 0 < one.memory_gb
