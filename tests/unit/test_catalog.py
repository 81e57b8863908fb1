"""The catalog: the traps of price lists are handled, what is shipped holds them, and it opens from a cache."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.catalog import build, package
from compiler.catalog.rows import Dropped, Row, prices, read
from compiler.catalog.shelf import Catalog
from compiler.load import load
from compiler.offer import Accelerator, Market
from compiler.plan import Plan
from compiler.search import plan
from compiler.task import Requirements, Task
from compiler.unfit import no_offer

AWS = """\
instance_type,accelerator,accelerator_count,accelerator_memory_gib,vcpus,memory_gib,arch,network,region,zones,price,spot_price_estimate,spot_interruption_band,source
p4d.24xlarge,A100,8.0,40.0,96,1152.0,x86_64,,us-east-1,us-east-1a;us-east-1b,21.96,7.2,3,list
p5.48xlarge,H100,8.0,80.0,192,2048.0,x86_64,,ca-central-1,ca-central-1a,63.3,102.5,0,list
c1.medium,,,,2,1.7,i386,,us-east-1,us-east-1a,0.13,0.039,4,list
m6g.2xlarge,,,,8,32.0,arm64,,us-east-1,us-east-1a,0.308,,,list
t3.2xlarge,,,,8,32.0,x86_64,,us-east-1,,0.3328,0.1,1,list
m6i.2xlarge,,,,8,32.0,x86_64,,us-gov-west-1,,0.4,0.1,1,list
"""
GCP = """\
InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice
a2-highgpu-1g,12.0,85.0,,,,asia-northeast1,asia-northeast1-a,0.94803,0.47407
,,,A100,1,x,asia-northeast1,asia-northeast1-a,1.70586,1.3974
a4-highgpu-8g,224.0,3968.0,,,,us-east4,us-east4-b,0.0,0.0
,,,B200,8,x,us-east4,us-east4-b,113.9,60.0
n1-highmem-8,8.0,52.0,,,,us-east1,us-east1-d,0.4736,0.1
n1-highmem-96,96.0,624.0,,,,us-east1,us-east1-d,5.68,1.2
,,,V100,1,x,us-east1,us-east1-d,2.48,0.74
,,,V100,8,x,us-east1,us-east1-d,19.84,5.92
,,,A100-80GB,1,x,us-east1,us-east1-d,1.84,1.96
a2-ultragpu-1g,12.0,170.0,,,,us-east1,us-east1-d,1.17,0.4
,,,tpu-v6e-8,1,x,asia-east1,asia-east1-c,700.0,700.0
,,,tpu-v6e-8,1,x,us-east5,us-east5-b,21.6,8.0
,,,tpu-v4-8,1,x,us-central2,us-central2-b,12.88,3.686
,,,tpu-v4-8,1,x,us-central2,us-central2-b,12.88,3.686
"""
AZURE_HEAD = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,Generation\n"
AZURE = (
    AZURE_HEAD
    + """\
Standard_D8s_v5,,,8,32,,0.384,0.07,eastus,V2
Standard_D8ps_v5,,,8,32,,0.308,,eastus,V2
Standard_B8ms,,,8,32,,0.333,,eastus,V2
Standard_NV4as_v4,MI25,1,4,14,x,0.233,0.04,eastus,V2
Standard_F8ams_v6,,,8,64,,0.0898,0.016,newzealandnorth,V2
Standard_F8ams_v6,,,8,64,,0.716,0.16,westus2,V2
Standard_F8ams_v6,,,8,64,,0.716,0.16,eastus,V2
Standard_F8ams_v6,,,8,64,,0.72,0.16,uksouth,V2
"""
)
LAMBDA = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice
gpu_1x_gh200,GH200,1.0,64.0,432.0,1.99,us-east-1,x,
"""
VAST = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region
1x-RTX_5090-32-65536,RTX5090,1,32,64.0,x,0.44,0.00,", CA, NA"
"""


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    texts = {"aws": AWS, "gcp": GCP, "azure": AZURE, "lambda": LAMBDA, "vast": VAST}
    for name, text in texts.items():
        with gzip.open(tmp_path / f"{name}.csv.gz", "wt", encoding="utf-8") as file:
            file.write(text)
    return tmp_path


@pytest.fixture
def rows(lists: Path) -> dict[tuple[str, str | None, str], list[Row]]:
    found: dict[tuple[str, str | None, str], list[Row]] = {}
    for row in read(lists, "2026-05-20")[0]:
        found.setdefault((row.instance_type, row.accelerator, row.region), []).append(row)
    return found


@pytest.fixture
def small(lists: Path, tmp_path: Path) -> Iterator[Catalog]:
    path = tmp_path / "catalog.sqlite"
    build.write(read(lists, "2026-05-20")[0], path, date="2026-05-20", dropped={})
    package.index(str(path))
    connection = sqlite3.connect(path)
    yield Catalog(connection)
    connection.close()


Rows = dict[tuple[str, str | None, str], list[Row]]


def test_host_and_cards_are_added_up(rows: Rows) -> None:
    (one,) = rows["a2-highgpu-1g", "A100", "asia-northeast1"]
    assert (one.price, one.spot) == (2.65389, 1.87147)
    (whole,) = rows["a4-highgpu-8g", "B200", "us-east4"]
    assert (whole.price, whole.spot) == (113.9, 60.0), "the host's 0 means: in the price of its cards"
    cards = {
        (row.accelerator, row.count)
        for found in rows.values()
        for row in found
        if row.instance_type == "n1-highmem-8"
    }
    assert cards == {(None, 0.0), ("V100", 1.0), ("V100", 8.0)}
    large = {
        (row.accelerator, row.count)
        for found in rows.values()
        for row in found
        if row.instance_type == "n1-highmem-96"
    }
    assert large == {(None, 0.0), ("V100", 8.0)}, "one V100 does not go with 96 vCPUs"


def test_a_spot_price_above_on_demand_is_no_price(rows: Rows) -> None:
    (aws,) = rows["p5.48xlarge", "H100", "ca-central-1"]
    assert (aws.price, aws.spot, aws.band) == (63.3, None, None)
    (gcp,) = rows["a2-ultragpu-1g", "A100-80GB", "us-east1"]
    assert gcp.price == pytest.approx(3.01)
    assert gcp.spot is None


def test_sentinels_twins_and_bargains_that_are_none_are_left_out(lists: Path, rows: Rows) -> None:
    assert ("TPU-VM", "tpu-v6e-8", "asia-east1") not in rows
    assert len(rows["TPU-VM", "tpu-v6e-8", "us-east5"]) == 1
    assert len(rows["TPU-VM", "tpu-v4-8", "us-central2"]) == 1
    assert ("Standard_F8ams_v6", None, "newzealandnorth") not in rows
    assert ("Standard_F8ams_v6", None, "westus2") in rows
    assert not any(region.startswith("us-gov") for _, _, region in rows)
    assert not any(name == "c1.medium" for name, _, _ in rows)
    assert sum(read(lists, "2026-05-20")[1].counts.values()) == 8


def test_zones_become_offers_and_places_without_zones_stay(rows: Rows) -> None:
    zones = rows["p4d.24xlarge", "A100", "us-east-1"]
    assert [row.zone for row in zones] == ["us-east-1a", "us-east-1b"]
    assert {row.band for row in zones} == {3}
    assert rows["Standard_D8s_v5", None, "eastus"][0].zone is None
    assert ("1x-RTX_5090-32-65536", "RTX5090", "CA, NA") in rows


def test_kinds_of_machines_are_told_apart(rows: Rows) -> None:
    assert rows["m6g.2xlarge", None, "us-east-1"][0].arch == "arm64"
    assert rows["Standard_D8ps_v5", None, "eastus"][0].arch == "arm64"
    assert rows["gpu_1x_gh200", "GH200", "us-east-1"][0].arch == "arm64"
    assert rows["t3.2xlarge", None, "us-east-1"][0].burstable
    assert rows["Standard_B8ms", None, "eastus"][0].burstable
    assert rows["Standard_NV4as_v4", "MI25", "eastus"][0].count == 0.125


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("", ""), (None, None)),
        (("1.5", ""), (1.5, None)),
        (("1.5", "0.00"), (1.5, None)),
        (("1.5", "1.5"), (1.5, None)),
        (("0.0", "0.5"), (None, 0.5)),
        (("700.0", "700.0"), (None, None)),
        (("1.5", "0.5"), (1.5, 0.5)),
    ],
)
def test_prices_that_cannot_be_are_none(
    given: tuple[str, str], kept: tuple[float | None, float | None]
) -> None:
    assert prices(*given, Dropped()) == kept


def planned(catalog: Catalog, resources: str, **options: Any) -> Plan:
    task = load(f"run: x\nresources: {resources}\n".encode(), "t.yaml", clouds=package.CLOUDS)
    return plan(task, (), name="t", enabled=package.CLOUDS, catalog=catalog, **options)


def test_larger_machines_only_where_nothing_is_exact(small: Catalog) -> None:
    made = planned(small, "{infra: aws, accelerators: 'A100:2'}")
    assert made.chosen.larger == "8 × A100, asked 2"
    exact = planned(small, "{accelerators: 'A100:1'}")
    assert exact.chosen.offer.instance_type == "a2-highgpu-1g"
    assert not exact.chosen.larger
    refused = planned(small, "{infra: aws, accelerators: 'A100:2'}", exact=True)
    assert not refused.placements


def test_arm_and_credit_machines_are_not_given_unasked(small: Catalog) -> None:
    made = planned(small, "{cpus: 8}")
    assert made.chosen.offer.instance_type == "Standard_D8s_v5"
    reasons = {one.reason for one in made.rejections}
    assert {"are arm64", "sell CPU time by credit"} <= reasons
    arm = planned(small, "{accelerators: GH200}")
    assert arm.chosen.offer.arch == "arm64"


def test_offers_know_their_price_band_and_source(small: Catalog) -> None:
    made = planned(small, "{accelerators: 'A100:8', use_spot: true}")
    offer = made.chosen.offer
    assert (offer.market, offer.price, offer.on_demand, offer.band) == (Market.SPOT, 7.2, 21.96, 3)
    assert (offer.zone, offer.source) == ("us-east-1a", "list")
    assert made.elsewise.offer.price == 21.96


def test_when_nothing_fits_the_nearest_is_named(small: Catalog) -> None:
    task = load(b"run: x\nresources: {infra: gcp, accelerators: 'A100:8'}\n", "t.yaml", clouds=package.CLOUDS)
    made = plan(task, (), name="t", enabled=package.CLOUDS, catalog=small)
    hint = no_offer(task, made).hint or ""
    assert "`infra: aws/us-east-1/us-east-1a` → aws us-east-1a p4d.24xlarge $21.96/h" in hint
    assert "`accelerators: V100:8` → gcp us-east1-d n1-highmem-8" in hint, "as many, of another kind"


def test_building_twice_gives_equal_bytes(lists: Path, tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        out = tmp_path / name / "catalog.sqlite.xz"
        out.parent.mkdir()
        assert build.main([str(lists), "2026-05-20", str(out)], say=lambda _: None) == 0
        made.append(out.read_bytes())
    assert made[0] == made[1]


def test_what_is_shipped_is_marked_small_and_whole(tmp_path: Path) -> None:
    import hashlib

    content = Path(package.PACKED).read_bytes()
    mark = package.mark()
    assert hashlib.sha256(content).hexdigest() == mark.sha256
    assert len(content) < 3_000_000
    path = tmp_path / "catalog.sqlite"
    package.unpack(str(path))
    connection = sqlite3.connect(path)
    catalog = Catalog(connection)
    assert catalog.rows == mark.rows > 90_000
    assert catalog.clouds == package.CLOUDS
    (wrong,) = connection.execute(
        "select count(*) from offer where spot >= price or price <= 0 or spot <= 0"
    ).fetchone()
    assert wrong == 0
    (tpu,) = connection.execute("select count(*) from offer where price = 700.0").fetchone()
    assert tpu == 0
    connection.close()


def test_the_cache_is_filled_once_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skywright.catalog import open_catalog

    monkeypatch.setenv("SKYWRIGHT_CACHE", str(tmp_path / "cache"))
    first = open_catalog()
    (path,) = (tmp_path / "cache" / "catalog").iterdir()
    inode = path.stat().st_ino
    assert open_catalog().date == first.date
    assert path.stat().st_ino == inode
    path.write_bytes(b"not a database")
    assert open_catalog().rows == first.rows


def test_a_named_machine_is_met_alone_and_its_absence_explained(small: Catalog) -> None:
    """Whatever the language calls the field, the optimizer keeps to an instance type that is asked for."""

    @dataclass(frozen=True)
    class Named(Requirements):
        instance_type: str | None = None

    def asked(wanted: Requirements) -> Plan:
        return plan(Task(requirements=wanted), (), name="t", enabled=package.CLOUDS, catalog=small)

    made = asked(Named(instance_type="t3.2xlarge"))
    assert {one.offer.instance_type for one in made.placements} == {"t3.2xlarge"}
    assert sum(one.count for one in made.rejections) + made.fitting == made.offers
    none = asked(Named(instance_type="p4d.24xlarge", accelerator=Accelerator("H100", 8)))
    assert not none.placements
    assert {one.reason for one in none.rejections} == {"are not p4d.24xlarge", "have no H100"}
    assert "`instance_type: p5.48xlarge`" in (no_offer(Task(), none).hint or "")
