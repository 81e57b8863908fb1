"""What deployments cost: losses, moves, stops and idle nodes in the ledger; and budgets that hold while tasks live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Capability
from compiler.problem import Problems
from skywright.control.client import Client
from tests.e2e.control_fakes import FakeClock, House, order, until

HOUR = 3600.0

ROUGHLY = 0.4
"""USD that real seconds of a slow machine may add."""


class WallClock(FakeClock):
    """Only the time of records is moved, so that no node falls silent."""

    def steady(self) -> float:
        return super().steady() - self.ahead


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.clock = WallClock()
    made.cloud.CAPABILITIES = made.cloud.CAPABILITIES | {Capability.STOP}
    for rank in (0, 1):
        made.scripts[rank] = lambda run: None if run["attempt"] == 1 else 0
    yield made
    made.end()


def priced(**more: Any) -> dict[str, Any]:
    """Two nodes at $4 an hour, $10 on demand, whose plan said $20."""
    budget, policy = more.pop("budget", None), more.pop("policy", {})
    data = order(nodes=2, **more)
    data["plan"] |= {
        "hourly": 8.0,
        "rates": {"disk": 0.1, "address": 0.01, "on_demand": 10.0, "listed": 5.0},
        "estimate": {"total": 20.0, "transfer": 1.0, "hours": 2.0, "cloud": "local"},
        "budget": budget,
    }
    return {**data, "policy": policy}


def runs(client: Client, attempt: int = 1) -> None:
    def there() -> bool:
        run = client.runs("hello")[0]
        return bool(run["status"] == "RUNNING" and run["attempt"] == attempt)

    until(there, f"attempt {attempt} runs")


def state(client: Client) -> str:
    return str(client.deployment("hello")["state"])


def costs(client: Client) -> dict[str, Any]:
    [row] = client.cost(["hel*"])
    return row


def texts(client: Client) -> list[str]:
    return [event["text"] for event in client.follow("hello", 0, 0)["events"]]


def test_a_life_with_a_loss_a_stop_and_idle_nodes_adds_up(house: House) -> None:
    client = house.open()
    client.launch(priced(keep=True))
    runs(client)
    house.clock.ahead += HOUR
    house.cloud.preempt(house.cloud.of("hello")[1], 30)
    until(lambda: state(client) == "idle", "the second attempt has ended")
    house.clock.ahead += HOUR / 2
    client.stop("hello")
    until(lambda: state(client) == "stopped", "it is stopped")
    house.close()
    house.clock.ahead += 2 * HOUR
    client = house.open()
    client.start("hello")
    until(lambda: state(client) == "idle", "it is back")
    before = costs(client)
    assert before["ended"] is None
    assert client.deployment("hello")["spent"] == pytest.approx(before["spent"], abs=ROUGHLY)
    client.down("hello")
    until(lambda: state(client) == "gone", "it is gone")
    house.clock.ahead += 24 * HOUR
    row = costs(client)
    assert row["running_s"] == pytest.approx(3 * HOUR, abs=120), "an hour of two nodes, half an hour of two"
    assert row["stopped_s"] == pytest.approx(4 * HOUR, abs=120)
    assert row["compute"] == pytest.approx(12, abs=ROUGHLY)
    assert row["disk"] == pytest.approx(0.7, abs=ROUGHLY), "stopped nodes pay for their disks"
    assert row["address"] == pytest.approx(0.03, abs=0.01)
    assert row["transfer"] == 1.0
    assert row["spent"] == pytest.approx(
        sum(row[name] for name in ("compute", "disk", "address", "transfer"))
    )
    assert row["idle"] == pytest.approx(2 * 4.11 / 2, abs=ROUGHLY)
    assert (row["preemptions"], row["recoveries"], row["runs"], row["planned"]) == (1, 1, 1, 1)
    assert row["lost_work_s"] == pytest.approx(HOUR, abs=120), "nothing was saved in that hour"
    assert row["on_demand"] == pytest.approx(10, abs=2 * ROUGHLY), "nobody takes nodes away there"
    assert row["saved"] == pytest.approx(-2, abs=2 * ROUGHLY), "and so spot was dearer"
    assert row["bargain"] == pytest.approx(3, abs=ROUGHLY)
    assert (row["estimate"], row["owner"], row["gone"]) == (20.0, "me", True)
    for by in ("owner", "task", "cloud", "month"):
        assert sum(one["spent"] for one in client.cost([], by)) == pytest.approx(row["spent"]), by
    assert client.cost(["other"]) == []


def test_nodes_in_two_places_cost_what_each_place_costs(house: House) -> None:
    client = house.open()
    client.launch(order(nodes=2, zones=("us-a", "eu-b", "ap-c"), keep=True))
    runs(client)
    house.clock.ahead += HOUR
    assert costs(client)["spent"] == 0, "the first place is free"
    house.operations.full = {"us-a": 0}
    house.cloud.preempt(house.cloud.of("hello")[1], 30)
    until(lambda: state(client) == "idle", "it has moved, and ended there")
    house.clock.ahead += HOUR
    row = costs(client)
    assert row["where"] == "local eu-b"
    assert row["spent"] == pytest.approx(2, abs=ROUGHLY)
    assert row["running_s"] == pytest.approx(4 * HOUR, abs=240)
    assert row["recoveries"] == row["preemptions"] == 1


def test_a_budget_is_told_and_then_no_recovery_begins_until_it_is_raised(house: House) -> None:
    client = house.open()
    client.launch(priced(keep=True, budget=10))
    runs(client)
    assert client.deployment("hello")["budget"] == {"usd": 10.0, "state": "within"}
    house.clock.ahead += HOUR
    until(lambda: client.deployment("hello")["budget"]["state"] == "near", "80 % are told")
    assert any("of its budget of $10.00 are spent" in text for text in texts(client))
    house.clock.ahead += HOUR / 2
    until(lambda: client.deployment("hello")["budget"]["state"] == "over", "all is told")
    assert client.runs("hello")[0]["status"] == "RUNNING", "what runs goes on"
    house.cloud.preempt(house.cloud.of("hello")[1], 30)
    until(lambda: any("run 1 waits" in text for text in texts(client)), "the recovery waits")
    assert len(house.operations.requests) == 1, "no replacement is asked for"
    assert "`skywright budget hello USD` raises it" in client.deployment("hello")["blocked"]
    house.close()
    client = house.open()
    assert state(client) == "blocked"
    assert client.budget("hello", 12)["budget"] == {"usd": 12.0, "state": "over"}, "not enough"
    assert client.budget("hello", 100)["budget"] == {"usd": 100.0, "state": "within"}
    until(lambda: client.runs("hello")[0]["status"] == "SUCCEEDED", "it goes on")
    assert client.budget("hello", None)["budget"] is None
    with pytest.raises(Problems, match="no deployment `other`"):
        client.budget("other", 5)


@pytest.mark.parametrize("managed", [False, True])
def test_nodes_that_only_wait_for_money_are_given_back(
    house: House, managed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = house.open()
    monkeypatch.setattr("skywright.control.client._named", dict)  # control names the calls of jobs itself
    ordered = priced(budget=3, keep=managed)
    ordered["run"]["call"] = "job:7:0" if managed else "c"
    client.launch(ordered)
    runs(client)
    house.clock.ahead += HOUR
    until(lambda: state(client) == "blocked", "the budget is spent")
    house.cloud.preempt(house.cloud.of("hello")[0], 30)
    until(lambda: any("run 1 waits" in text for text in texts(client)), "the recovery waits")
    house.clock.ahead += 601
    until(lambda: state(client) == "gone", "nobody raised it for ten minutes")
    assert client.runs("hello")[0]["status"] == "CANCELLED"


def test_a_policy_that_only_warns_lets_runs_begin(house: House) -> None:
    warns = {"statements": [{"rule": "budget", "said": {"level": "warn", "except": []}, "origin": ""}]}
    client = house.open()
    client.launch(priced(budget=3, policy=warns))
    runs(client)
    house.clock.ahead += HOUR
    until(lambda: client.deployment("hello")["budget"]["state"] == "over", "it is told")
    assert client.deployment("hello")["blocked"] is None
    house.cloud.preempt(house.cloud.of("hello")[0], 30)
    until(lambda: client.runs("hello")[0]["status"] == "SUCCEEDED", "it recovers")
