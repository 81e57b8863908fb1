"""Accelerators: second names and odd spellings find the one, unknown ones the nearest, sizes all that have it."""

from __future__ import annotations

import pytest

from compiler.catalog import accelerators


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("H100", "H100"),
        ("h100", "H100"),
        ("H100-80GB", "H100"),
        ("nvidia h100 sxm5", "H100"),
        ("A100-80GB", "A100-80GB"),
        ("a100_80gb", "A100-80GB"),
        ("A100-40GB", "A100"),
        ("nvidia-l4", "L4"),
        ("nvidia-tesla-t4", "T4"),
        ("A6000", "RTXA6000"),
        ("RTX PRO Server 6000", "RTXPRO6000-SE"),
        ("amd mi300x", "MI300X"),
        ("AMD Radeon Pro V520", "Radeon-Pro-V520"),
        ("tpu-v5e-8", "tpu-v5litepod-8"),
        ("TPU-V6E-1", "tpu-v6e-1"),
        ("trn1", "Trainium"),
        ("Gaudi HL-205", "Gaudi"),
    ],
)
def test_names_resolve(text: str, name: str) -> None:
    assert accelerators.canonical(text) == name


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("H1000", "H100"),
        ("A100-80", "A100-80GB"),
        ("RTX4900", "RTX4090"),
        ("tpu-v5e", "tpu-v5litepod-8"),
        ("TPU-v5e-", "tpu-v5litepod-8"),
        ("tpu-v6-4", "tpu-v6e-4"),
        ("tpu v3", "tpu-v3-8"),
        ("tpu-v5p-100000", "tpu-v5p-8"),
    ],
)
def test_the_nearest_is_offered(text: str, near: str) -> None:
    assert accelerators.similar(text) == near or accelerators.canonical(text) == near


@pytest.mark.parametrize("text", ["", "gpu", "tpu-v5e", "H100:8", "banana"])
def test_what_nobody_knows_is_nothing(text: str) -> None:
    assert accelerators.canonical(text) is None


def test_memory_is_exact_or_at_least() -> None:
    exact = accelerators.with_memory(80)
    assert "H100" in exact
    assert "A100-80GB" in exact
    assert "H200" not in exact
    assert "A100" not in exact
    more = accelerators.with_memory(80, at_least=True)
    assert set(more) > {"H100", "H200", "B200", "MI300X", "GH200"}
    assert "A100" not in more
    assert accelerators.with_memory(80, at_least=True, vendor="amd") == (
        "MI250", "MI250X", "MI300A", "MI300X", "MI325X", "MI350X", "MI355X",
    )  # fmt: skip
    sizes = [accelerators.table()[name].memory_gb or 0 for name in more]
    assert sizes == sorted(sizes)


def test_the_table_is_whole() -> None:
    for name, facts in accelerators.table().items():
        assert name.startswith(("Jetson", "tpu")) or facts.memory_gb, name
        assert name == "Jetson" or facts.generation, name
        for other in facts.also:
            assert other.startswith("tpu-") or accelerators.canonical(other) == name, other
    assert accelerators.table()["B200"].memory_gb == 180, "not 80, as another list has it"
    assert accelerators.table()["H200"].memory_gb == 141
    h100 = accelerators.facts("H100")
    assert h100 is not None
    assert "1g.10gb" in h100.mig
    assert h100.link == "NVLink 900 GB/s"
    tpu = accelerators.facts("tpu-v5p-8")
    assert tpu is not None
    assert tpu.memory_gb == 95
