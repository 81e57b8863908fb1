"""Moving and keeping data: every tier costs what it says at, below and above its edges."""

from __future__ import annotations

import re

import pytest

from compiler.catalog.tariffs import TB, between, disk, egress, objects, tiered

AWS, GCP, AZURE = ("aws", "us-east-1"), ("gcp", "us-central1"), ("azure", "eastus")
ELSEWHERE = ("lambda", "us-east-1")


@pytest.mark.parametrize(
    ("gb", "usd"),
    [
        (0, 0.0),
        (100, 0.0),
        (101, 0.09),
        (TB, 924 * 0.09),
        (10 * TB - 1, 10_139 * 0.09),
        (10 * TB, 10_140 * 0.09),
        (10 * TB + 1, 10_140 * 0.09 + 0.085),
        (20 * TB, 10_140 * 0.09 + 10 * TB * 0.085),
        (50 * TB, 10_140 * 0.09 + 40 * TB * 0.085),
        (60 * TB, 10_140 * 0.09 + 40 * TB * 0.085 + 10 * TB * 0.07),
        (150 * TB, 10_140 * 0.09 + 40 * TB * 0.085 + 100 * TB * 0.07),
        (151 * TB, 10_140 * 0.09 + 40 * TB * 0.085 + 100 * TB * 0.07 + TB * 0.05),
    ],
)
def test_aws_charges_each_part_at_its_own_tier(gb: float, usd: float) -> None:
    assert egress(gb, AWS, ELSEWHERE) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("gb", "usd"),
    [
        (1 * TB, TB * 0.12),
        (1 * TB + 1, TB * 0.12 + 0.11),
        (10 * TB, TB * 0.12 + 9 * TB * 0.11),
        (11 * TB, TB * 0.12 + 9 * TB * 0.11 + TB * 0.08),
    ],
)
def test_google_charges_each_part_at_its_own_tier(gb: float, usd: float) -> None:
    assert egress(gb, GCP, ELSEWHERE) == pytest.approx(usd)


@pytest.mark.parametrize(
    ("gb", "usd"),
    [(100, 0.0), (101, 0.087), (10 * TB + 100, 10 * TB * 0.087), (10 * TB + 101, 10 * TB * 0.087 + 0.083)],
)
def test_azure_charges_each_part_at_its_own_tier(gb: float, usd: float) -> None:
    assert egress(gb, AZURE, ELSEWHERE) == pytest.approx(usd)


@pytest.mark.parametrize("source", [AWS, GCP, AZURE])
def test_more_data_never_costs_less_and_halves_add_up(source: tuple[str, str]) -> None:
    before = 0.0
    for gb in range(0, 200 * 1024, 512):
        cost = egress(gb, source, ELSEWHERE)
        assert cost >= before
        half = gb / 2
        parts = egress(half, source, ELSEWHERE) + egress(half, source, ELSEWHERE, used_gb=half)
        assert parts == pytest.approx(cost)
        before = cost


def test_pairs_of_regions_have_their_own_prices() -> None:
    assert egress(100, AWS, AWS) == 0
    assert egress(100, AWS, ("aws", "us-east-2")) == pytest.approx(1.0)
    assert egress(100, AWS, ("aws", "eu-west-1")) == pytest.approx(2.0)
    assert egress(100, ("aws", "sa-east-1"), AWS) == pytest.approx(13.8)
    assert between("gcp", "us-central1", "us-east4") == 0.02
    assert (
        between("gcp", "us-central1", "europe-west4") == between("gcp", "europe-west4", "us-central1") == 0.05
    )
    assert between("gcp", "us-central1", "southamerica-east1") == 0.14
    assert between("azure", "eastus", "westus2") == 0.02
    assert between("azure", "eastus", "westeurope") == 0.05
    assert between("azure", "japaneast", "eastus") == 0.08


def test_who_takes_nothing_takes_nothing() -> None:
    assert egress(10 * TB, ("r2", None), AWS) == 0
    assert egress(10 * TB, ("lambda", "us-east-1"), AWS) == 0
    assert egress(100, ("aws", None), AWS) == 0, "an unknown region of the same cloud counts as the same"


def test_a_month_of_storage_costs_its_monthly_price() -> None:
    assert disk(100, "aws", 730) == pytest.approx(8.0)
    assert disk(100, "lambda", 730) == 0
    assert objects(TB, "aws", 730) == pytest.approx(TB * 0.023)
    assert objects(51 * TB, "aws", 730) == pytest.approx(50 * TB * 0.023 + TB * 0.022)


def test_tiers_begin_where_the_month_already_is() -> None:
    tiers = ((10.0, 1.0), (20.0, 0.5), (None, 0.1))
    assert tiered(5, tiers, used_gb=8) == pytest.approx(2 * 1.0 + 3 * 0.5)
    assert tiered(100, tiers, used_gb=20) == pytest.approx(10.0)
    assert tiered(0, tiers, used_gb=15) == 0


def test_every_price_says_whose_it_is_and_of_when() -> None:
    from compiler.catalog import tariffs

    rates = [rate for rows in tariffs.INTERNET.values() for rate in rows]
    rates += tariffs.OBJECTS.values()
    sources = [rate.source for rate in rates] + [row.source for row in tariffs.listed()]
    sources += tariffs.FREE.values()
    for source in sources:
        assert source.page
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", source.on)
        assert source.checked or str(source).endswith("list price, unverified")
    told = {(row.what, row.cloud) for row in tariffs.listed()}
    assert len(told) == len(tariffs.listed())
    assert {("boot disk", cloud) for cloud in tariffs.DISK} <= told
    assert {("IPv4", cloud) for cloud in tariffs.ADDRESS} <= told
    assert {("leaving", cloud) for cloud in tariffs.FREE} <= told
