"""`cost` and `budget` over a pretended control: tables, sums, CSV, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compiler.problem import Problems
from skywright.cli import budget, cost, screen
from skywright.cli.arguments import Values, parse
from skywright.cli.verbs import find
from skywright.control import cost as costs
from skywright.control import ledger
from skywright.control.rows import Deployment, Node, Run
from skywright.control.store import Store

NOON = 1_793_188_800.0
"""28 October 2026, 12:00 UTC."""

HOUR = 3600.0

GOLDEN = Path(__file__).parents[1] / "golden" / "cost"


def values(*words: str) -> Values:
    verb = find(words[0])
    assert verb is not None
    return parse(verb, words[1:])


def deployment(name: str, owner: str, at: float, hourly: float, **rates: float) -> Deployment:
    where = ("aws", "aws us-west-2c p4d.24xlarge", "spot") if hourly else ("local", "local", "on-demand")
    spec = {"nodes": 4 if hourly else 1}
    return Deployment(
        f"{name}-1", name, "nlp", owner, *where, hourly, "d", at, spec=spec, rates={**rates}, up_since=at
    )


def history(control: Any) -> None:
    """Four nodes for 35 hours, of which one is lost three times; then two hours idle; and a task on this machine."""
    clock, run = control.clock, Run("train-1", 1, "train", NOON, body={"num_nodes": 4})
    row = deployment("train", "ada", NOON, 39.32, disk=0.12, address=0.005, on_demand=21.96)
    control.store.add(row)
    ledger.opened(control, row, "train-llama")
    ledger.ordered(control, run, {"total": 1481.0, "transfer": 8.0, "hours": 36.0, "cloud": "aws"})
    nodes = [Node(f"n{rank}", "train-1", rank, "", NOON, hourly=9.83) for rank in range(4)]
    for node in nodes:
        ledger.made(control, row, node)
    for attempt in (1, 2, 3, 4):
        ledger.begun(control, run, attempt)
        clock.time += 8.75 * HOUR - 52
        if attempt < 4:
            ledger.gone(control, nodes[2], clock.time)
            ledger.lost(control, run, "preempted", 120.0)
            clock.time += 52
            nodes[2] = Node(f"n2-{attempt}", "train-1", 2, "", clock.time, hourly=9.83)
            ledger.made(control, row, nodes[2])
    ledger.ended(control, run, "SUCCEEDED", clock.time)
    clock.time += 2 * HOUR
    ledger.closed(control, row)
    hello, said = (
        deployment("hello", "=bob", clock.time, 0.0),
        Run("hello-1", 1, "hello", clock.time, body={"num_nodes": 1}),
    )
    ledger.opened(control, hello, "hello")
    ledger.ordered(control, said, None)
    ledger.made(control, hello, Node("h0", "hello-1", 0, "", clock.time, hourly=0.0))
    clock.time += 10 * 24 * HOUR


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(time=NOON, now=lambda: clock.time)
    control: Any = SimpleNamespace(store=Store(tmp_path / "control.db"), clock=clock)
    history(control)

    def told(names: Sequence[str], by: str | None) -> list[dict[str, Any]]:
        return costs.report(control, names) if by is None else costs.report_by(control, by, names)

    found = SimpleNamespace(cost=told)
    for module in (cost, budget):
        monkeypatch.setattr(module, "connect", lambda: found)
    monkeypatch.setattr(cost, "never_used", lambda: False)
    monkeypatch.setattr(screen.time, "time", clock.now)
    return found


@pytest.mark.parametrize("name", ["all", "train", "owner", "task", "cloud", "month"])
def test_what_is_printed(client: SimpleNamespace, capsys: pytest.CaptureFixture[str], name: str) -> None:
    words = {"all": (), "train": ("t*",)}.get(name, ("--by", name))
    assert cost.run(values("cost", *words)) == 0
    golden = GOLDEN / f"{name}.txt"
    assert capsys.readouterr().out == golden.read_text(), golden


def test_data_and_csv_hold_the_same(client: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    cost.run(values("cost", "--json"))
    found = json.loads(capsys.readouterr().out)
    cost.run(values("cost", "--csv"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (
        [row["name"] for row in rows] == [row["name"] for row in found["deployments"]] == ["hello", "train"]
    )
    for row, told in zip(rows, found["deployments"], strict=True):
        for figure in cost.FIGURES:
            assert float(row[figure]) == pytest.approx(told[figure], abs=1e-6), figure
    assert rows[0]["ended"] == "", "it is there"
    assert rows[0]["owner"] == "'=bob", "a spreadsheet calculates nothing"
    assert found["total"]["spent"] == pytest.approx(sum(row["spent"] for row in found["deployments"]))


def test_a_name_that_never_was_is_refused(client: SimpleNamespace) -> None:
    with pytest.raises(Problems, match="no deployment called `other`"):
        cost.run(values("cost", "other"))


def test_a_budget_is_shown_and_set(client: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, float | None]] = []
    held = {"name": "train", "budget": {"usd": 250.0, "state": "near"}, "spent": 201.5}
    client.deployment = lambda name: held
    client.budget = lambda name, usd: told.append((name, usd)) or {**held, "budget": None}
    budget.run(values("budget", "train"))
    assert capsys.readouterr().out == "train: $201.50 of $250.00 spent (near)\n"
    for usd in ("$300", "none"):
        budget.run(values("budget", "train", usd))
        assert capsys.readouterr().out == "train: no budget, $201.50 spent\n"
    assert told == [("train", 300.0), ("train", None)]
    for usd in ("much", "0", "-3", "nan", "inf"):
        with pytest.raises(Problems, match="is no budget in USD"):
            budget.run(values("budget", "train", usd))
