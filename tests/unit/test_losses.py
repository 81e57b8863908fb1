"""Where something failed lately: what control remembers, and what plans make of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compiler.offer import Market, Offer
from skywright.cli import planning
from skywright.cli.arguments import parse
from skywright.cli.taskfile import read_entry
from skywright.cli.verbs import find
from skywright.control import losses
from skywright.control.rows import Deployment, Event, Operation
from skywright.control.store import Store

NOW = 1_000_000.0


def deployment(uid: str, **spec: str) -> Deployment:
    return Deployment(uid, uid, "p", "o", spec["cloud"], "", "spot", 1.0, "d", NOW, {"nodes": 1, **spec})


def test_control_remembers_losses_and_refusals_of_a_day(tmp_path: Path) -> None:
    store = Store(tmp_path / "control.db")
    store.add(deployment("a", cloud="aws", region="us-east-1", zone="us-east-1a"))
    store.add(deployment("b", cloud="gcp", region="us-central1"))
    store.add(deployment("c", cloud="local"))
    for uid, seq, age, kind in (
        ("a", 1, 90_000, "lost"), ("a", 2, 7200, "lost"), ("a", 3, 60, "lost"), ("a", 4, 5, "phase"),
        ("b", 1, 90_000, "lost"), ("c", 1, 1, "lost"),
    ):  # fmt: skip
        store.add(Event(uid, seq, NOW - age, kind, "text"))
    for number, failure in enumerate(("capacity", "quota", None)):
        spec = {"cloud": "azure", "region": f"region-{number}"}
        result: dict[str, Any] = {"ok": False, "failure": failure}
        store.add(
            Operation(f"o{number}", "d", "up", NOW - 200, spec, state="done", ended=NOW - 100, result=result)
        )
    control: Any = SimpleNamespace(store=store, clock=SimpleNamespace(now=lambda: NOW))
    assert losses.recent(control) == {"aws us-east-1a": 60.0, "azure region-0": 100.0}
    store.close()


def test_plans_stay_away_unless_there_is_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (
        Offer("local", zone, zone, "m", Market.ON_DEMAND, price, 8, 64)
        for zone, price in (("x", 0.0), ("y", 1.0))
    )
    verb = find("explain")
    assert verb
    (tmp_path / "t.yaml").write_text("run: x\n")
    values = parse(verb, [str(tmp_path / "t.yaml")])
    entry = read_entry(values, [str(tmp_path / "t.yaml")], None)

    def chosen(sold: tuple[Offer, ...], avoid: dict[str, float]) -> str | None:
        monkeypatch.setattr("stacks.local.offers", lambda: sold)
        return planning.make_plan(entry, clouds=("local",), avoid=avoid).chosen.offer.zone

    assert chosen((here, there), {}) == "x"
    assert chosen((here, there), {"local x": 60.0}) == "y"
    assert chosen((here, there), {"local x": 1e6}) == "x"
    assert chosen((here,), {"local x": 60.0}) == "x"


def test_control_is_not_started_to_be_asked() -> None:
    assert planning.recent_losses() == {}
