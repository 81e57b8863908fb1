"""The Python files that readers paste run as they are, up to what control is handed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import skywright as sky
import stacks
from compiler.offer import Accelerator, Capability, Market, Offer
from skywright.control.client import Client
from stacks import install

FOLDER = Path(__file__).parents[3] / "shared" / "acceptance"

REGIONS = ("us-west-2", "us-east-1", "eu-west-1")

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the examples that readers paste")


class Control:
    """Accepts everything and keeps it: the edge behind which nodes would be made."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []

    def missing(self, digests: list[str]) -> list[str]:
        return []

    def launch(self, order: dict[str, Any]) -> dict[str, Any]:
        self.orders.append(order)
        return {"name": order["name"], "run": 1}


def sells() -> tuple[Offer, ...]:
    """Machines with eight cards, as the clouds of the examples sell them."""
    return tuple(
        Offer("aws", region, f"{region}a", "p4d.24xlarge", market, 21.96, 96, 1152, Accelerator("A100", 8))
        for region in REGIONS
        for market in (Market.ON_DEMAND, Market.SPOT)
    )


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    made = Control()
    monkeypatch.setattr(Client, "connect", classmethod(lambda cls, home, start=True: made))
    monkeypatch.setattr(install, "ensure", lambda tell: None)
    cloud = ModuleType("sold_in_tests")
    vars(cloud).update(NAME="aws", CAPABILITIES=frozenset(Capability), FOUNDATION=True)
    vars(cloud).update(offers=sells, configured=lambda: True, ENV=("AWS_",))
    monkeypatch.setitem(sys.modules, "sold_in_tests", cloud)
    monkeypatch.setitem(stacks.OURS, "aws", "sold_in_tests")
    return made


def run(name: str, **given: Any) -> dict[str, Any]:
    """Execute a file with our import in place of its own; its names afterwards."""
    text = (FOLDER / name).read_text().replace("import sky\n", "import skywright as sky\n")
    names: dict[str, Any] = {"__name__": "pasted", "sky": sky, **given}
    exec(compile(text, name, "exec"), names)
    return names


def test_a_task_with_needs_is_launched(control: Control) -> None:
    run("02_gpu_requirements.py")
    (order,) = control.orders
    assert order["name"] == "llm-cluster"
    assert order["plan"]["market"] == "spot"
    assert order["task"]["resources"]["memory_gb"] == [500.0, True]
    assert order["run"]["gpus_per_node"] == 8


def test_the_cheapest_of_a_list_is_chosen() -> None:
    task = run("05_cheapest.py")["task"]
    plan = sky.optimize(task)
    assert plan.chosen.hourly == min(one.hourly for one in plan.placements)


def test_buckets_are_mounted() -> None:
    task = sky.Task(run="ls /data")
    run("07_storage_mounts.py", task=task)
    buckets = task.compiled().buckets
    assert {path: (one.store, one.mode) for path, one in buckets.items()} == {
        "/data/primary": ("S3", "MOUNT"),
        "/data/backup": ("GCS", "MOUNT"),
        "/data/inference": ("AZURE", "MOUNT"),
    }
    with pytest.raises(sky.Problems, match="plan/not-runnable-yet"):
        sky.launch(task.set_resources(sky.Resources(cloud=sky.Local())))


def test_a_loop_over_regions_starts_one_in_each(control: Control) -> None:
    run("12_multi_region.py")
    assert [order["name"] for order in control.orders] == [f"prod-{region}" for region in REGIONS]
    for order, region in zip(control.orders, REGIONS, strict=True):
        assert region in order["plan"]["where"]
        assert order["plan"]["market"] == "on-demand"
        assert order["plan"]["hourly"] == pytest.approx(
            21.96, abs=0.01
        )  # the catalog knows the same machine, to more places
    two = sky.Resources(cloud=sky.AWS(), region=REGIONS[0], accelerators="A100:2")
    assert "8" in sky.optimize(sky.Task(resources=two)).chosen.larger


def test_a_deadline_decides_between_markets() -> None:
    choose = run("15_deadline.py")["optimize_training_costs"]
    for hours, card, spot in ((72, "V100:4", True), (24, "A100:4", True), (6, "A100:8", False)):
        found = sky.Task(resources=choose(100, hours)).compiled().requirements
        assert (str(found.accelerator), found.use_spot) == (card, spot)
    for hours in (72, 24, 6):
        assert sky.optimize(sky.Task(resources=choose(100, hours))).placements


def test_a_function_makes_a_task_with_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    task = run("20_mlflow.py")["train_with_mlflow_tracking"]()
    assert "MLFLOW_TRACKING_URI" in task.compiled().setup
    assert "--mlflow_experiment" in task.compiled().run


def test_every_python_file_stands_here() -> None:
    text = Path(__file__).read_text()
    assert [path.name for path in FOLDER.glob("*.py") if path.name not in text] == []
