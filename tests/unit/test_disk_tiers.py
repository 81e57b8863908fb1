"""What a disk tier costs in a plan is what the stacks build, and machines that no stack makes are in no plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.catalog import tariffs
from compiler.offer import Accelerator, Capability, Market, Offer
from compiler.search import plan
from compiler.task import Requirements, Task
from compiler.terms import Terms
from skywright.cli.program import main
from stacks import CLOUDS, cloud
from stacks import gcp as gcp_cloud
from stacks.aws import machines as aws
from stacks.azure import machines as azure
from stacks.gcp import machines as gcp

WORDS = {
    "standard persistent disk": "pd-standard",
    "balanced persistent disk": "pd-balanced",
    "SSD persistent disk": "pd-ssd",
    "standard SSD": "StandardSSD_LRS",
    "premium SSD": "Premium_LRS",
}


def _gp3(found: tuple[int, int] | None) -> str:
    iops, mb_s = found or (3000, 125)
    return f"gp3, {iops:,} IOPS, {mb_s:,} MB/s"


BUILT = {
    "aws": {tier: _gp3(found) for tier, found in aws.TIERS.items()},
    "azure": dict(azure.TIERS),
    "gcp": dict(gcp.TIERS),
}


def test_every_cloud_with_tiers_is_held_to_its_prices() -> None:
    with_tiers = {name for name in CLOUDS if Capability.DISK_TIER in cloud(name).CAPABILITIES}
    assert with_tiers == set(BUILT) == set(tariffs.TIERS)


@pytest.mark.parametrize("name", sorted(BUILT))
def test_tiers_are_built_as_they_are_priced(name: str) -> None:
    priced = {tier: WORDS.get(one.what, one.what) for tier, one in tariffs.TIERS[name].items()}
    assert BUILT[name] == priced


@pytest.mark.parametrize("name", sorted(BUILT))
def test_the_disk_of_who_asks_for_no_tier_is_the_medium_one(name: str) -> None:
    medium = tariffs.TIERS[name]["medium"]
    assert (medium.gb, medium.fixed) == (tariffs.DISK[name], 0.0)


TPU = Offer(
    cloud="gcp",
    region="us-east5",
    zone="us-east5-b",
    instance_type="TPU-VM",
    market=Market.ON_DEMAND,
    price=1.2,
    cpus=180,
    memory_gb=720,
    accelerator=Accelerator("tpu-v6e-8", 1),
)


def test_a_machine_that_the_cloud_cannot_make_is_in_no_plan() -> None:
    task = Task(requirements=Requirements(accelerator=Accelerator("tpu-v6e-8", 1)))
    terms = Terms(unmade={"gcp": gcp_cloud.UNMADE})
    assert plan(task, [TPU], name="t", enabled=("gcp",)).chosen.offer == TPU
    made = plan(task, [TPU], name="t", enabled=("gcp",), terms=terms)
    assert made.placements == ()
    assert [one.reason for one in made.rejections] == ["are tpu-v6e-8: TPU machines cannot be made yet"]


def test_the_command_line_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("run: x\nresources: {infra: gcp, accelerators: tpu-v6e-8}\n")
    main(["explain", "--all-clouds", str(file)])
    said = capsys.readouterr()
    assert "TPU machines cannot be made yet" in said.out + said.err
