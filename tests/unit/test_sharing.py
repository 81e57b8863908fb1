"""Parts of accelerators: which way a plan takes to keep tasks apart, and what it says where a way cannot serve."""

from __future__ import annotations

import pytest

from compiler.catalog import accelerators
from compiler.explain import lines
from compiler.offer import Accelerator, Market, Offer
from compiler.plan import Plan
from compiler.search import plan
from compiler.sharing import Isolation, isolation, profile
from compiler.task import Requirements, Task
from compiler.unfit import no_offer


@pytest.mark.parametrize(
    ("name", "part", "way"),
    [
        ("A100", 0.25, Isolation("mig", "1g.10gb", 4)),
        ("A100-80GB", 0.25, Isolation("mig", "1g.20gb", 4)),
        ("A100", 0.5, Isolation("mig", "3g.20gb", 2)),
        ("A100", 0.125, Isolation("mig", "1g.5gb", 7)),
        ("H200", 0.125, Isolation("mig", "1g.18gb", 7)),
        ("A30", 0.5, Isolation("mig", "2g.12gb", 2)),
        ("A100", 0.9, None),
        ("T4", 0.5, None),
    ],
)
def test_the_smallest_profile_with_the_memory_of_the_part(
    name: str, part: float, way: Isolation | None
) -> None:
    assert profile(name, part) == way


def test_every_profile_of_the_table_can_be_read() -> None:
    for one in accelerators.table().values():
        if one.mig:
            found = profile(one.name, 0.125)
            assert found is not None
            assert found.fit >= 4


@pytest.mark.parametrize(
    ("asked", "has", "wanted", "way"),
    [
        (0.5, ("T4", 1), None, Isolation("mps", fit=2)),
        (0.25, ("P100", 1), None, Isolation("time-slicing", fit=4)),
        (0.25, ("A100", 8), "time-slicing", Isolation("time-slicing", fit=4)),
        (0.25, ("A100", 1), "exclusive", Isolation("exclusive")),
        (0.5, ("MI25", 0.5), None, Isolation("exclusive")),
        (0.5, ("MI300X", 1), None, Isolation("exclusive")),
        (2, ("A100", 2), None, Isolation("exclusive")),
    ],
)
def test_none_given_the_best_way_is_taken(
    asked: float, has: tuple[str, float], wanted: str | None, way: Isolation
) -> None:
    assert isolation(Accelerator(has[0], asked), Accelerator(*has), wanted) == way


def made(card: str, part: float, wanted: str | None) -> tuple[Task, Plan]:
    offer = Offer("aws", "r", None, "m", Market.ON_DEMAND, 4.0, 8, 64, Accelerator(card, 1))
    task = Task(requirements=Requirements(accelerator=Accelerator(card, part)), isolation=wanted)
    return task, plan(task, [offer], name="t", enabled=("aws",))


def test_the_plan_names_it_and_explain_shows_it() -> None:
    task, found = made("A100", 0.25, None)
    assert found.to_data()["placements"][0]["isolation"] == "mig 1g.10gb"
    text = "\n".join(line.text for line in lines(task, found))
    assert "isolation: mig 1g.10gb (4 on each A100, memory and compute are apart)" in text


@pytest.mark.parametrize(
    ("card", "part", "wanted", "says", "hint"),
    [
        ("A100", 0.9, "mig", "have no MIG profile with 0.9 of A100", "isolation: mps"),
        ("T4", 0.5, "mig", "cannot be cut: T4 has no MIG profiles", "isolation: mps"),
        ("P100", 0.5, "mps", "cannot limit memory by MPS on P100", "isolation: time-slicing"),
        ("A100", 1, "mig", "cannot use mig for whole accelerators", "isolation: exclusive"),
    ],
)
def test_a_way_that_cannot_serve_is_explained(
    card: str, part: float, wanted: str, says: str, hint: str
) -> None:
    task, found = made(card, part, wanted)
    assert not found.placements
    problem = no_offer(task, found)
    assert says in problem.message
    assert hint in (problem.hint or "")
