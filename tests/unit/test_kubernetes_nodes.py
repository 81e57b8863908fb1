"""Labels of Kubernetes nodes into offers, and offers into rules for pods."""

from __future__ import annotations

import pytest

from compiler.lower import stack_name
from compiler.offer import Accelerator, Market
from stacks.kubernetes import nodes
from stacks.kubernetes.api import Node

A100 = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
LARGE = {"cpu": "95500m", "memory": "1000Gi", "nvidia.com/gpu": "8", "ephemeral-storage": "900Gi"}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA-A100-SXM4-40GB", "A100"),
        ("nvidia-tesla-a100", "A100"),
        ("nvidia-h100-mega-80gb", "H100-MEGA"),
        ("NVIDIA-H100-80GB-HBM3", "H100"),
        ("H100_NVLINK_80GB", "H100"),
        ("nvidia-tesla-t4", "T4"),
        ("Tesla-V100-SXM2-16GB", "V100"),
        ("AMD_Instinct_MI300X_OAM", "MI300X"),
        ("a10g", "A10G"),
        ("NVIDIA-GeForce-RTX-4090", "RTX4090"),
        ("a-toaster", None),
        ("", None),
    ],
)
def test_values_of_labels_name_accelerators(value: str, name: str | None) -> None:
    assert nodes.named(value) == name


@pytest.mark.parametrize(
    ("text", "value"),
    [("1500m", 1.5), ("64", 64.0), ("16Gi", 2.0**34), ("2k", 2000.0), ("1..", 0.0), ("x", 0.0)],
)
def test_amounts(text: str, value: float) -> None:
    assert nodes.amount(text) == value


@pytest.mark.parametrize(
    ("whole", "scale", "text"),
    [
        (500, nodes.CPU, "500m"),
        (16000, nodes.CPU, "16"),
        (65536, nodes.MEMORY, "64Gi"),
        (1500, nodes.MEMORY, "1500Mi"),
        (2**20, nodes.MEMORY, "1Ti"),
        (256, nodes.DISK, "256G"),
        (3000, nodes.DISK, "3T"),
        (0, nodes.DISK, "0G"),
    ],
)
def test_amounts_are_written_as_the_server_writes_them(
    whole: int, scale: tuple[int, tuple[str, ...]], text: str
) -> None:
    assert nodes.written(whole, scale) == text


@pytest.mark.parametrize(("key", "value"), nodes.SPOT_LABELS)
def test_every_convention_of_spot_is_read_and_asked_for(key: str, value: str) -> None:
    taints = [{"key": key, "effect": "NoSchedule"}] if key in nodes.SPOT_TAINTS else []
    shape = nodes.shape({**A100, key: value}, LARGE, taints)
    assert shape is not None
    assert shape.market is Market.SPOT
    assert [(key, "In", value)] in nodes.terms(Market.SPOT)
    assert (key, "NotIn", value) in nodes.terms(Market.ON_DEMAND)[0]


def test_one_node_gives_offers_of_parts_of_it() -> None:
    shape = nodes.shape({**A100, "kubernetes.io/arch": "arm64"}, {**LARGE, "nvidia.com/gpu": "6"})
    assert shape is not None
    offers = nodes.offers("here", [shape, shape])
    assert [str(one.accelerator) for one in offers] == [f"A100-80GB:{n}" for n in (1, 2, 4, 6)]
    assert {one.instance_type for one in offers} == {"nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB"}
    assert {(one.region, one.price, one.arch, one.flexible) for one in offers} == {
        ("here", 0.0, "arm64", True)
    }
    assert nodes.selector(offers[0].instance_type) == A100


def test_the_largest_node_of_a_kind_counts() -> None:
    small, large = (nodes.shape({}, {"cpu": str(n), "memory": f"{n}Gi"}) for n in (4, 32))
    assert small
    assert large
    (offer,) = nodes.offers("here", [small, large, small])
    assert (offer.instance_type, offer.cpus, offer.memory_gb, offer.disk_gb) == (nodes.ANY, 32.0, 32.0, None)
    assert nodes.selector(nodes.ANY) == {}


@pytest.mark.parametrize(
    ("labels", "taints"),
    [
        ({"kubernetes.io/os": "windows"}, []),
        ({}, [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]),
        ({}, [{"key": "theirs", "effect": "NoExecute"}]),
    ],
)
def test_nodes_that_are_not_for_us_sell_nothing(labels: dict[str, str], taints: list[dict[str, str]]) -> None:
    assert nodes.shape(labels, LARGE, taints) is None


def test_a_taint_that_only_prefers_others_is_none() -> None:
    assert nodes.shape({}, LARGE, [{"key": "theirs", "effect": "PreferNoSchedule"}]) is not None


def test_makers_have_their_own_resources() -> None:
    assert nodes.resource(Accelerator("MI300X", 8)) == "amd.com/gpu"
    assert nodes.resource(Accelerator("H100", 8)) == "nvidia.com/gpu"


@pytest.mark.parametrize("context", ["test", "arn:aws:eks:us-west-2:1:cluster/ml", "ann@corp.example"])
def test_ids_of_nodes_name_pod_namespace_and_context(context: str) -> None:
    node = Node("train-3fa91c-0-x7k2p", "team", context)
    assert Node.parse(str(node)) == node


@pytest.mark.parametrize("text", ["", "hello-0-000000", "@here", "pod@here", ".ns@here"])
def test_what_is_no_id_of_ours_is_nobody(text: str) -> None:
    assert Node.parse(text) is None


def test_contexts_of_any_name_make_names_of_stacks() -> None:
    long = "arn:aws:eks:us-west-2:123456789012:cluster/ml"
    assert (
        stack_name("train", "kubernetes", "gke_proj_us-central1_ml")
        == "train-kubernetes-gke_proj_us-central1_ml"
    )
    made = stack_name("train", "kubernetes", long)
    assert made.startswith("train-kubernetes-arn-aws-eks-us-west-2-123456789012-cluster-ml-")
    assert made != stack_name("train", "kubernetes", long.replace("/", ":"))
