"""What a task asks beside what living nodes have, and when somebody is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from compiler.fits import kept, met, misfits
from compiler.load import load
from compiler.offer import Accelerator, Market, Offer
from compiler.problem import Problems
from compiler.spec import StackSpec
from compiler.task import Task
from skywright.cli import living, names, screen
from skywright.cli.taskfile import Entry


def task(text: str = "") -> Task:
    return load(f"run: echo\n{text}".encode(), "t.yaml", clouds=("local", "aws"))


def spec(**more: Any) -> StackSpec:
    base: dict[str, Any] = {"nodes": 2, "cpus": 2.0, "memory_gb": 4.0, "disk_gb": 50.0}
    return StackSpec("p", "s", "d", "local", "m", agent="a", **{"market": Market.ON_DEMAND, **base, **more})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("num_nodes: 2", []),
        ("num_nodes: 3", ["num_nodes"]),
        ("resources: {cpus: 1+, memory: 4, disk_size: 50}", []),
        ("resources: {cpus: 4, memory: 8+, disk_size: 51}", ["cpus", "memory", "disk_size"]),
        ("resources: {infra: local, use_spot: false}", []),
        ("resources: {cpus: 1, exact: true}", ["cpus"]),
        ("resources: {cpus: 1+, memory: 4, exact: true, instance_type: m}", []),
        ("resources: {instance_type: other}", ["instance_type"]),
        ("resources: {use_spot: true}", ["use_spot"]),
        ("resources: {infra: aws/us-east-1}", ["cloud", "region"]),
        ("resources: {accelerators: A100:2}", ["accelerators"]),
        ("resources: {memory: 2x, disk_tier: best, network_tier: standard}", []),
        ("resources: {memory: 4x, disk_tier: high}", ["memory", "disk_tier"]),
        ("resources: {network_tier: best, local_disk: nvme}", ["network_tier", "local_disk"]),
        ("resources: {accelerators: 40GB+}", ["accelerators"]),
        ("resources: {any_of: [{cpus: 64, memory: 900}, {cpus: 4}]}", ["cpus"]),
    ],
)
def test_what_living_nodes_do_not_meet(text: str, found: list[str]) -> None:
    assert [one.field for one in misfits(task(text), spec())] == found


def test_a_market_that_nobody_asked_for_is_taken_as_it_is() -> None:
    spot = spec(market=Market.SPOT)
    assert misfits(task(), spot) == ()
    assert [one.field for one in misfits(task("resources: {use_spot: false}"), spot)] == ["use_spot"]
    assert [one.field for one in misfits(task(), spot, market_asked=True)] == ["use_spot"]


def test_accelerators_by_memory_are_those_that_the_nodes_have() -> None:
    cards = spec(accelerator=Accelerator("A100", 4))
    asked = task("resources: {accelerators: '40GB:2'}")
    assert misfits(asked, cards) == ()
    assert met(asked, cards).requirements.accelerator == Accelerator("A100", 2)
    assert len(misfits(task("resources: {accelerators: '80GB+'}"), cards)) == 1


def test_a_disk_tier_is_that_of_the_nodes() -> None:
    fast = replace(spec(), cloud="aws", disk_tier="high")
    assert misfits(task("resources: {disk_tier: high}"), fast) == ()
    assert [one.field for one in misfits(task("resources: {disk_tier: ultra}"), fast)] == ["disk_tier"]
    slow = replace(fast, disk_tier=None)
    assert [one.field for one in misfits(task("resources: {disk_tier: best}"), slow)] == ["disk_tier"]


def test_accelerators_fit_by_name_and_count() -> None:
    cards = spec(accelerator=Accelerator("A100", 4))
    assert misfits(task("resources: {accelerators: A100:2}"), cards) == ()
    assert len(misfits(task("resources: {accelerators: A100:8}"), cards)) == 1
    assert len(misfits(task("resources: {accelerators: H100:1}"), cards)) == 1


def test_a_node_without_a_limit_is_the_whole_machine() -> None:
    whole = spec(cpus=None, memory_gb=None, disk_gb=None)
    machine = Offer("local", None, None, "m", Market.ON_DEMAND, 0.0, 8, 32)
    assert misfits(task("resources: {cpus: 8, memory: 32, disk_size: 9000}"), whole, machine) == ()
    assert len(misfits(task("resources: {cpus: 9}"), whole, machine)) == 1


def test_nothing_but_labels_of_a_fitting_task_reaches_the_stack() -> None:
    assert kept(task("resources: {cpus: 1}"), spec(labels={"a": "1"})) == spec(labels={"a": "1"})
    assert kept(task("resources: {labels: {b: x}}"), spec(labels={"a": "1"})) == spec(labels={"b": "x"})


def there(text: str, old: str = "", run: str = "SUCCEEDED", **more: Any) -> tuple[living.Living, Entry]:
    new, stack = task(text), spec(**more)
    data = {"name": "d", "task": task(old).to_data(), "run": {"run": 4, "status": run}}
    return living.Living(data, stack, misfits(new, stack), met(new, stack)), Entry(new, "d", True)


def test_replacing_is_said_field_by_field_and_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found, entry = there("resources: {cpus: 4}\nenvs: {A: hush}", "envs: {A: old}", "RUNNING")
    with pytest.raises(Problems) as refused:
        living.agreed(found, entry, yes=False)
    assert refused.value.problems[0].code == "plan/does-not-fit"
    assert refused.value.problems[0].place is not None
    said = capsys.readouterr().err
    assert "cpus: 2 → 4  the nodes are replaced" in said
    assert "envs  the task starts again" in said
    assert "hush" not in said
    assert "run 4 is still going" in said
    assert living.agreed(found, entry, yes=True)
    monkeypatch.setattr(screen, "asks", lambda: True)
    for answer, agreed in (("", False), ("y", True)):
        monkeypatch.setattr(screen, "ask", lambda question, answer=answer: answer)
        assert living.agreed(found, entry, yes=False) is agreed


def test_a_gang_grows_without_losing_a_node() -> None:
    found, entry = there("num_nodes: 3\nresources: {cpus: 1}")
    assert living.agreed(found, entry, yes=False)
    assert found.stack(entry, spec(cpus=1.0, nodes=3)) == spec(nodes=3)
    alone, entry = there("num_nodes: 3", nodes=1)
    with pytest.raises(Problems):
        living.agreed(alone, entry, yes=False)


def test_what_cannot_change_while_it_lives_is_refused_in_any_case() -> None:
    found, entry = there(
        "checkpoint: ~/ck\nresources: {cloud: aws}", "checkpoint: ~/ck\nresources: {cloud: local}"
    )
    with pytest.raises(Problems) as refused:
        living.agreed(found, entry, yes=True)
    assert "cannot be changed so while it lives" in str(refused.value)
    found, entry = there("resources: {infra: aws/us-east-1}")
    with pytest.raises(Problems, match="cannot be changed so while it lives"):
        living.agreed(found, entry, yes=True)


def test_down_asks_a_person_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"name": "a"}]
    assert names.confirm_many(found, ["a"], yes=False, doing="remove", always=True)
    monkeypatch.setattr(screen, "asks", lambda: True)
    monkeypatch.setattr(screen, "ask", lambda question: "n")
    assert not names.confirm_many(found, ["a"], yes=False, doing="remove", always=True)
    assert names.confirm_many(found, ["a"], yes=True, doing="remove", always=True)
    assert names.confirm_many(found, ["a"], yes=False, doing="set autostop of")
