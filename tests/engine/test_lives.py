"""A deployment's whole life on the clouds of the stand-ins, by operations as control asks for them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from desk import wait
from ejected import imports, unchanged, written

from compiler.offer import Accelerator, Market
from compiler.spec import Foundation, StackSpec
from stacks import cloud as cloud_of
from stacks import home, operate
from stacks.boot import Store as Kept
from stacks.cloud import Failure, Scope
from stacks.provider import agents
from tests.faults.plugin import hit
from tests.standins import inventory, refusals, rest, rest_env
from tests.standins.install import install
from tests.standins.inventory import Machine
from tests.standins.store import Store

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Place:
    """Where a cloud is tried: what its stack says, and how its machines are seen."""

    provider: str
    spec: dict[str, Any]
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
def cloud(
    request: pytest.FixtureRequest, desk: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    name: str = request.param
    with rest.serving(store) as url:
        for variable, value in rest_env.of(name, url).items():
            monkeypatch.setenv(variable, value)
        install(home.home() / "pulumi", (PLACES[name].provider,))
        yield name


def resource_of(store: Store, node: str) -> str:
    """The stand-in's name of the machine that calls itself `node`."""
    found = {**store.all("gcp", "Instance"), **store.all("azure-native", "VirtualMachine")}
    (name,) = [name for name, one in found.items() if node in map(str, one["outputs"].values())]
    return name


def changed(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["op"], one["resource"]) for one in result["steps"] if one["op"] not in ("same", "read")]


def ids(result: dict[str, Any]) -> dict[int, str]:
    return {row["rank"]: row["id"] for row in result["nodes"]}


def agrees(cloud: str, result: dict[str, Any]) -> None:
    """The cloud's own inventory is what the state says, address by address."""
    found = cloud_of(cloud).inventory("proj")
    seen = {one.rank: (one.node, one.address, one.alive) for one in found}
    assert all(one.public for one in found), "each is reached from outside where its ports are opened"
    assert seen == {row["rank"]: (row["id"], row["address"], True) for row in result["nodes"]}


SEEN = {
    "gcp": {"firewall", "service account"},
    "azure": {"role assignment", "userAssignedIdentities", "networkSecurityGroups", "storageAccounts"},
}
"""Kinds of things beside nodes that `orphans` would show if no state knew them."""


ONE_IN_CI = pytest.mark.parametrize(
    "cloud", ["azure", pytest.param("gcp", marks=pytest.mark.soak)], indirect=True
)
"""What both clouds share in the code: once in every run, on both with --soak."""


@pytest.mark.timeout(400)
def test_a_life_with_losses(cloud: str, desk: Any, store: Store) -> None:
    wanted = spec(cloud, nodes=8)
    machines = PLACES[cloud].machines
    before = desk.well("preview", wanted)
    assert before["foundation"]["changes"]["create"]
    assert before["changes"]["create"]
    assert machines(store) == []

    up = desk.well("up", wanted)
    assert [row["rank"] for row in up["nodes"]] == list(range(8))
    assert all(row["id"] and row["address"] for row in up["nodes"])
    assert len(machines(store)) == 8
    assert all(one.spot and one.alive for one in machines(store))
    agrees(cloud, up)
    seen = desk.well("preview", wanted, record=True)
    assert changed(seen) == []

    out = desk.root / "ejected"
    project = written(wanted, seen["recording"], out)
    assert "skywright" not in imports(project.files["__main__.py"].decode())
    assert unchanged(out, wanted.stack) == project.resources + 1, "plain Pulumi takes it over as it stands"

    lost = up["nodes"][2]["id"]
    inventory.lose(store, resource_of(store, lost))
    again = desk.well("up", wanted, lost=(lost,))
    assert {name for _, name in changed(again)} == {"node-2"}, "exactly one node of eight"
    assert ids(again)[2] != lost
    assert {rank: name for rank, name in ids(again).items() if rank != 2} == {
        rank: name for rank, name in ids(up).items() if rank != 2
    }
    assert changed(desk.well("up", wanted, lost=(lost,))) == []

    # A loss that nobody was told of: the state learns of it by looking, and the next `up` puts it right.
    inventory.lose(store, resource_of(store, ids(again)[5]))
    assert set(ids(desk.well("refresh", wanted))) == set(range(8)) - {5}
    mended = desk.well("up", wanted)
    assert {name for _, name in changed(mended)} == {"node-5"}
    agrees(cloud, mended)
    assert changed(desk.well("preview", wanted)) == []

    # What stands beside the nodes is seen by its names and tags, and seeing it removes nothing.
    there = store.left()
    seen = cloud_of(cloud).sweep(wanted, frozenset(), Scope.of(wanted), look=True)
    assert SEEN[cloud] <= {one.rpartition(" ")[0] for one in seen}, seen
    assert store.left() == there

    desk.well("destroy", wanted)
    assert machines(store) == []
    assert cloud_of(cloud).sweep(wanted, frozenset(), Scope.of(wanted), look=True) == ()
    network = Foundation.of("proj", cloud, wanted.region)
    desk.well("destroy", network)
    assert store.left() == []


REFUSALS = {
    "gcp": (
        (Failure.CAPACITY, refusals.gcp_no_capacity("us-central1-a")),
        (Failure.QUOTA, refusals.gcp_quota("PREEMPTIBLE_NVIDIA_A100_GPUS", "us-central1")),
    ),
    "azure": (
        (Failure.CAPACITY, refusals.azure_no_allocation()),
        (Failure.QUOTA, refusals.azure_quota("standardNCADSA100v4Family", "eastus")),
    ),
}


@ONE_IN_CI
def test_what_the_cloud_refuses_is_sorted_and_the_rest_goes_on(cloud: str, desk: Any, store: Store) -> None:
    wanted = spec(cloud, nodes=2)
    kind = {"gcp": "Instance", "azure": "VirtualMachine"}[cloud]
    if cloud == "azure":
        said = (
            "<Error><Code>AuthorizationPermissionMismatch</Code><Message>not with this role</Message></Error>"
        )
        rest.refuse(store, "PUT", 403, said)
        result = desk.run("up", wanted)
        assert (result["failure"], result["problem"]["code"]) == ("credentials", "cloud/credentials")
        assert "bringing the agent" in result["problem"]["message"]
        assert "role" in result["problem"]["hint"]
        assert PLACES[cloud].machines(store) == [], "no machine is paid for that would wait for its agent"
    desk.well("up", spec(cloud, nodes=1))
    for failure, text in REFUSALS[cloud]:
        store.refuse(PLACES[cloud].provider, kind, text)
        result = desk.run("up", wanted)
        assert not result["ok"]
        assert result["failure"] == failure.value
        assert result["problem"]["code"] == f"cloud/{failure.value}"
        assert len(PLACES[cloud].machines(store)) == 1, "a gang is partly made"
    up = desk.well("up", wanted)
    assert len(PLACES[cloud].machines(store)) == 2
    agrees(cloud, up)


POINTS = {
    "gcp": (
        ("Create", "network", "before"),
        ("Create", "subnetwork", "after"),
        ("Create", "bucket", "after"),
        ("Create", "node-1", "after"),
        ("Delete", "node-0", "after"),
    ),
    "azure": (
        ("Create", "network", "before"),
        ("Create", "subnet", "after"),
        ("Create", "storage", "after"),
        ("Create", "reads", "after"),
        ("Create", "agent", "after"),
        ("Create", "node-1", "after"),
        ("Delete", "node-0", "after"),
    ),
}
"""Calls at which the operation is killed: the cloud has done it, or is about to, and no state knows of it."""


def held_or_ended(store: Store, folder: Path) -> bool:
    return store.halted() is not None or not operate.running(folder)


def killed_at(point: tuple[str, str, str], kind: str, wanted: StackSpec, desk: Any, store: Store) -> None:
    """An operation of `kind` that lived until this call."""
    store.halt_when(*point)
    folder = desk.begin(kind, wanted)
    wait(partial(held_or_ended, store, folder), 120, f"the call {point}")
    assert store.halted(), (operate.result(folder), (folder / "output.txt").read_text())
    owner = operate.owner(folder)
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    assert desk.ended(folder) is None
    store.forget_calls()
    hit()


@ONE_IN_CI
@pytest.mark.fault("operation killed")
@pytest.mark.timeout(400)
def test_killed_while_things_are_made_and_removed(cloud: str, desk: Any, store: Store) -> None:
    wanted = spec(cloud, nodes=2)
    for point in POINTS[cloud]:
        if point[0] == "Create":
            killed_at(point, "up", wanted, desk, store)
    up = desk.well("up", wanted)
    assert [one.alive for one in PLACES[cloud].machines(store)] == [True, True], "no orphan, no double"
    agrees(cloud, up)
    assert changed(desk.well("preview", wanted)) == []
    for point in POINTS[cloud]:
        if point[0] == "Delete":
            killed_at(point, "destroy", wanted, desk, store)
    desk.well("destroy", wanted)
    desk.well("destroy", Foundation.of("proj", cloud, wanted.region))
    assert store.left() == []


def kept(store: Store) -> set[str]:
    """Kinds of what the clouds hold."""
    return {kind for kind, _ in store.left()}


KEPT = {
    "gcp": {"Bucket", "BucketObject", "Object"},
    "azure": {"ResourceGroup", "StorageAccount", "BlobContainer", "Blob"},
}
"""What may hold a checkpoint, and the agent in it, which goes when that goes."""


@ONE_IN_CI
def test_a_checkpoint_outlives_its_stack_and_is_taken_on_again(cloud: str, desk: Any, store: Store) -> None:
    wanted = spec(cloud, nodes=1, checkpoint="~/ckpt", secrets=("HF_TOKEN",))
    up = desk.well("up", wanted)
    (told,) = cloud_of(cloud).kept(wanted, [Kept.from_data(up["store"])])  # type: ignore[attr-defined]
    assert any(name.rpartition("/")[2] in told.what for _, name in store.left())
    states = list(desk.state.rglob("*.json"))
    assert states
    for path in states:  # nothing of a secret or of this machine is in a state
        assert "testing" not in json.dumps(json.loads(path.read_text()))
    desk.well("destroy", wanted)
    desk.well("destroy", Foundation.of("proj", cloud, wanted.region))
    assert kept(store) == KEPT[cloud]
    first = store.left()
    desk.well("up", wanted)
    assert changed(desk.well("preview", wanted)) == []
    desk.well("destroy", wanted)
    desk.well("destroy", Foundation.of("proj", cloud, wanted.region))
    assert store.left() == first
