"""A deployment's whole life on the clouds of the stand-ins, by operations as control asks for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Accelerator, Market
from compiler.spec import Foundation, StackSpec
from stacks import home
from stacks.provider import agents
from tests.standins import inventory
from tests.standins.install import install
from tests.standins.inventory import Machine
from tests.standins.store import Store

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Place:
    """Where a cloud is tried: what its stack says, what its credentials are, how its machines are seen."""

    provider: str
    spec: dict[str, Any]
    env: dict[str, str]
    machines: Callable[[Store], list[Machine]]


PLACES = {
    "gcp": Place(
        "gcp",
        {
            "region": "us-central1",
            "zone": "us-central1-a",
            "instance_type": "a2-highgpu-1g",
            "accelerator": Accelerator("A100", 1),
            "image": "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2204-nvidia-580",
        },
        {"GOOGLE_CLOUD_PROJECT": "our-project", "GOOGLE_OAUTH_ACCESS_TOKEN": "testing"},
        inventory.gcp,
    ),
    "azure": Place(
        "azure-native",
        {
            "region": "eastus",
            "zone": "1",
            "instance_type": "Standard_NC24ads_A100_v4",
            "accelerator": Accelerator("A100", 1),
            "image": "microsoft-dsvm:ubuntu-hpc:2204:latest",
        },
        {"ARM_SUBSCRIPTION_ID": "00000000-0000-4000-8000-000000000001", "ARM_ACCESS_TOKEN": "testing"},
        inventory.azure,
    ),
}


def spec(cloud: str, nodes: int = 4, **changes: Any) -> StackSpec:
    region = PLACES[cloud].spec["region"]
    values: dict[str, Any] = {
        "project": "proj",
        "stack": f"train-{cloud}-{region}",
        "deployment": "train",
        "cloud": cloud,
        "market": Market.SPOT,
        "nodes": nodes,
        "agent": agents.digest(),
        "task": "Train a model!",
        "owner": "somebody",
        "network": "skywright-proj",
        "deadman_s": 600.0,
        "labels": {"team": "nlp"},
        **PLACES[cloud].spec,
    }
    return StackSpec(**{**values, **changes})


@pytest.fixture(params=sorted(PLACES))
def cloud(request: pytest.FixtureRequest, desk: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    for variable, value in PLACES[name].env.items():
        monkeypatch.setenv(variable, value)
    install(home.home() / "pulumi", (PLACES[name].provider,))
    return name


def resource_of(store: Store, node: str) -> str:
    """The stand-in's name of the machine that calls itself `node`."""
    found = {**store.all("gcp", "Instance"), **store.all("azure-native", "VirtualMachine")}
    (name,) = [name for name, one in found.items() if node in map(str, one["outputs"].values())]
    return name


def changed(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["op"], one["resource"]) for one in result["steps"] if one["op"] not in ("same", "read")]


def test_a_life_with_a_loss(cloud: str, desk: Any, store: Store) -> None:
    wanted = spec(cloud)
    machines = PLACES[cloud].machines
    before = desk.well("preview", wanted)
    assert before["foundation"]["changes"]["create"]
    assert before["changes"]["create"]
    assert machines(store) == []

    up = desk.well("up", wanted)
    assert [row["rank"] for row in up["nodes"]] == [0, 1, 2, 3]
    assert all(row["id"] and row["address"] for row in up["nodes"])
    assert len(machines(store)) == 4
    assert all(one.spot and one.alive for one in machines(store))
    assert changed(desk.well("preview", wanted)) == []

    lost = up["nodes"][2]["id"]
    inventory.lose(store, resource_of(store, lost))
    again = desk.well("up", wanted, lost=(lost,))
    assert {name for _, name in changed(again)} == {"node-2"}
    after = {row["rank"]: row["id"] for row in again["nodes"]}
    assert after[2] != lost
    assert [after[rank] for rank in (0, 1, 3)] == [up["nodes"][rank]["id"] for rank in (0, 1, 3)]
    assert changed(desk.well("preview", wanted)) == []
    assert changed(desk.well("up", wanted, lost=(lost,))) == []

    desk.well("destroy", wanted)
    assert machines(store) == []
    network = Foundation.of("proj", cloud, wanted.region)
    desk.well("destroy", network)
    assert store.left() == []


def test_nothing_of_a_secret_or_of_this_machine_is_in_a_state(cloud: str, desk: Any, tmp_path: Path) -> None:
    desk.well("up", spec(cloud, nodes=1, secrets=("HF_TOKEN",)))
    states = list(desk.state.rglob("*.json"))
    assert states
    for path in states:
        assert "testing" not in json.dumps(json.loads(path.read_text()))
