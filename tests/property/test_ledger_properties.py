"""The ledger adds up: whatever happens to nodes and runs, its figures are the integral of price over their lives."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skywright.control import cost, ledger
from skywright.control.entries import Account
from skywright.control.figures import Figures
from skywright.control.rows import Deployment, Node, Run
from skywright.control.store import Store

STEP_S = 60
"""Everything happens at whole minutes, so that a sum over minutes is exact."""

START = 1_793_491_200.0 - 36 * 3600
"""A day and a half before a month ends."""

FACTS = ("make", "make", "lose", "leave", "stop", "start", "order", "begin", "end", "restart")


@dataclass
class Brute:
    """The same life, minute by minute."""

    hourly: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    ordered: bool = False
    going: bool = False
    lost_once: bool = False
    spent: float = 0.0
    idle: float = 0.0
    on_demand: float = 0.0
    by_month: dict[str, float] = field(default_factory=dict)

    def pass_minute(self, at: float) -> None:
        for node, state in self.state.items():
            price, disk, full = self.hourly[node]
            paid = (disk if state == "stopped" else price + disk) * STEP_S / 3600
            self.spent += paid
            month = "2026-10" if at < 1_793_491_200.0 else "2026-11"
            self.by_month[month] = self.by_month.get(month, 0.0) + paid
            if state == "running":
                self.idle += 0 if self.ordered else paid
                self.on_demand += 0 if self.lost_once and not self.going else full * STEP_S / 3600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


COUNT = itertools.count()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(FACTS),
            st.integers(0, 5),
            st.integers(0, 400),
            st.sampled_from([0.0, 0.5, 2.25, 12.0]),
        ),
        max_size=25,
    )
)
def test_the_sum_is_the_integral_of_price_over_each_life(
    folder: Path, facts: list[tuple[str, int, int, float]]
) -> None:
    uid, path = f"u{next(COUNT)}", folder / "control.db"
    clock = SimpleNamespace(time=START, now=lambda: clock.time)
    control: Any = SimpleNamespace(store=Store(path), clock=clock)
    row = Deployment(uid, uid, "p", "o", "aws", "aws here", "spot", 0.0, "d", START, spec={"nodes": 1})
    ledger.opened(control, row, "train")
    nodes: dict[str, Node] = {}
    run = Run(uid, 0, "train", START, body={"num_nodes": 2})
    brute, attempt = Brute(), 0
    for what, which, minutes, price in facts:
        living = sorted(brute.state)
        node = living[which % len(living)] if living else ""
        if what == "make":
            node = f"{uid}-{len(nodes)}"
            rates = {"disk": price / 100, "address": price / 1000, "on_demand": price * 3}
            row = Deployment(
                uid,
                uid,
                "p",
                "o",
                "aws",
                "aws here",
                "spot",
                price,
                "d",
                START,
                spec={"nodes": 1},
                rates=rates,
            )
            nodes[node] = Node(node, uid, len(nodes), "", created=clock.time, hourly=price)
            ledger.made(control, row, nodes[node])
            brute.hourly[node] = price * 1.001, price / 100, price * 3
            brute.state[node] = "running"
        elif what in ("lose", "leave") and living:
            ledger.gone(control, nodes[node], clock.time)
            ledger.gone(control, nodes[node], clock.time)
            del brute.state[node]
            if what == "lose" and brute.going:
                ledger.lost(control, run, "preempted", 0.0)
                brute.going, brute.lost_once = False, True
        elif what in ("stop", "start") and living:
            act = ledger.stopped if what == "stop" else ledger.started
            act(control, nodes[node])
            act(control, nodes[node])
            brute.state[node] = "stopped" if what == "stop" else "running"
        elif what == "order" and not brute.ordered:
            run, attempt = Run(uid, run.run + 1, "train", clock.time, body={"num_nodes": 2}), 0
            ledger.ordered(control, run, None)
            brute.ordered = True
        elif what == "begin" and brute.ordered and not brute.going:
            attempt += 1
            ledger.begun(control, run, attempt)
            brute.going = True
        elif what == "end" and brute.ordered:
            ledger.ended(control, run, "SUCCEEDED", clock.time)
            brute.ordered = brute.going = brute.lost_once = False
        elif what == "restart":
            control.store.close()
            control.store = Store(path)
        for _ in range(minutes):
            brute.pass_minute(clock.time)
            clock.time += STEP_S
    account = control.store.first(Account, uid=uid)
    found = cost.of(control, row)
    assert found.spent == pytest.approx(brute.spent)
    assert found.idle == pytest.approx(brute.idle)
    assert found.on_demand == pytest.approx(brute.on_demand)
    months = {one["month"]: one["spent"] for one in cost.report_by(control, "month", [uid])}
    assert {month: usd for month, usd in months.items() if usd} == pytest.approx(
        {month: usd for month, usd in brute.by_month.items() if usd}
    )
    for by in cost.BY:
        summed = Figures()
        for one in cost.report_by(control, by, [uid]):
            summed.compute += one["spent"]
        assert math.isclose(summed.spent, found.spent, abs_tol=1e-9), by
    ledger.closed(control, row)
    clock.time += 3600
    assert cost.of(control, row).spent == pytest.approx(brute.spent), "what is gone costs nothing"
    assert account is not None
    control.store.close()
