"""What a task costs in all: losses on spot, disks, addresses, data that lies elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.cost import Data, Estimate, Reckoner, losses_per_hour
from compiler.explain import lines
from compiler.offer import Market, Offer
from compiler.prices import Discount, Prices, Reservation
from compiler.search import plan
from compiler.task import Deadline, Requirements, Task
from compiler.terms import Terms

ON_DEMAND = Offer("aws", "us-east-1", "us-east-1a", "m", Market.ON_DEMAND, 1.0, 8, 32)
SPOT = replace(ON_DEMAND, market=Market.SPOT, price=0.4, band=1)


def total(offer: Offer, estimate: Estimate, nodes: int = 1) -> float:
    return Reckoner(nodes, estimate).cost(offer).total


def test_the_parts_are_what_they_are_called() -> None:
    cost = Reckoner(2, Estimate(hours=10, setup_s=270, disk_gb=730)).cost(ON_DEMAND)
    start_h = (30 + 270) / 3600
    assert cost.compute == pytest.approx(20.0)
    assert cost.start == pytest.approx(2 * start_h)
    assert cost.disk == pytest.approx(2 * 730 * 0.08 * (10 + start_h) / 730)
    assert cost.address == pytest.approx(2 * 0.005 * (10 + start_h))
    assert cost.reruns == cost.transfer == cost.unease == 0
    assert cost.total == pytest.approx(sum(cost.to_data().values()) - cost.total, abs=1e-5)


def test_losses_cost_more_with_the_band_the_time_and_the_nodes_and_less_with_checkpoints() -> None:
    assert [losses_per_hour(band) for band in range(5)] == sorted(losses_per_hour(band) for band in range(5))
    assert losses_per_hour(None) == losses_per_hour(4)
    bands = [Reckoner(1, Estimate(hours=100)).cost(replace(SPOT, band=band)).reruns for band in range(5)]
    assert bands == sorted(bands)
    one = Reckoner(1, Estimate(hours=100)).cost(SPOT).reruns
    assert Reckoner(1, Estimate(hours=200)).cost(SPOT).reruns > 2 * one
    assert Reckoner(4, Estimate(hours=100)).cost(SPOT).reruns > 4 * one
    assert Reckoner(1, Estimate(hours=100, checkpoint=True)).cost(SPOT).reruns < one / 10


def test_long_work_without_checkpoints_is_dearer_on_spot_than_on_demand() -> None:
    shaky = replace(SPOT, band=4)
    short, long = Estimate(hours=1), Estimate(hours=3000)
    assert total(shaky, short) < total(ON_DEMAND, short)
    assert total(shaky, long, nodes=8) > total(ON_DEMAND, long, nodes=8)


def test_data_that_lies_elsewhere_counts_for_every_node() -> None:
    estimate = Estimate(data=(Data("gcp", None, 500.0),))
    assert Reckoner(3, estimate).cost(ON_DEMAND).transfer == pytest.approx(1024 * 0.12 + 476 * 0.11)
    there = replace(ON_DEMAND, cloud="gcp", region="us-east1")
    assert Reckoner(3, estimate).cost(there).transfer == 0


def test_a_bucket_draws_the_task_to_its_cloud() -> None:
    offers = [ON_DEMAND, replace(ON_DEMAND, cloud="gcp", region="us-east1", zone="us-east1-b", price=1.2)]
    task = Task(requirements=Requirements(), run="x")
    near = replace(task, file_mounts={"/data": "gs://bucket/set"})
    assert plan(task, offers, name="t", enabled=("aws", "gcp")).chosen.offer.cloud == "aws"
    made = plan(near, offers, name="t", enabled=("aws", "gcp"))
    assert made.chosen.offer.cloud == "gcp"
    text = "\n".join(line.text for line in lines(near, made))
    assert "by transfer" in text
    assert "10 GB in the bucket on gcp" in text


def test_the_bound_is_never_above_the_cost() -> None:
    for hours in (0.1, 1, 1000):
        for nodes in (1, 7):
            estimate = Estimate(hours=hours, setup_s=60, data=(Data("aws", "us-east-1", 50),))
            reckoner = Reckoner(nodes, estimate)
            for band in (None, 0, 4):
                for price in (0.0, 0.013, 98.32):
                    offer = replace(SPOT, band=band, price=price)
                    bound = reckoner.least(offer.cloud, offer.market, offer.price)
                    assert bound <= reckoner.cost(offer).total


def shown(task: Task, offers: list[Offer], terms: Terms | None = None) -> str:
    made = plan(task, offers, name="t", enabled=("aws", "gcp"), terms=terms)
    return "\n".join(line.text for line in lines(task, made))


def test_prices_of_ones_own_are_shown_as_such() -> None:
    prices = Prices(
        (Discount("aws", 0.5), Discount("aws", 0.25, "m")), (Reservation("aws", "m", "us-east-1", count=1),)
    )
    text = shown(Task(num_nodes=2), [ON_DEMAND], Terms(prices=prices))
    assert "$0.5/h × 1 = $0.5/h" in text
    assert "1 of 2 reserved, your price, listed $1.00/h" in text
    assert "dearer by" in text, "the same machine without a reservation is another offer"
    assert "reserved" in shown(Task(), [ON_DEMAND], Terms(prices=prices)).splitlines()[4]
    assert "your price" not in shown(Task(), [ON_DEMAND])


def test_a_deadline_refuses_what_cannot_be_done_by_then() -> None:
    task = Task(duration_s=3600, setup="x", deadline=Deadline(span_s=4000))
    made = plan(task, [ON_DEMAND], name="t", enabled=("aws",))
    assert "done after 1 h 5 min" in "\n".join(line.text for line in lines(task, made))
    late = replace(task, deadline=Deadline(span_s=3800))
    refused = plan(late, [ON_DEMAND], name="t", enabled=("aws",))
    assert [one.reason for one in refused.rejections] == ["cannot be done in 1 h 3 min, the deadline"]
    assert [one.change for one in refused.relaxations] == ["`deadline: 1.1h`"]
    unknown = replace(late, duration_s=None)
    assert plan(unknown, [ON_DEMAND], name="t", enabled=("aws",)).estimate.hours == pytest.approx(3800 / 3600)
    at = replace(task, deadline=Deadline(at="2026-12-01T08:00:00+00:00"))
    eight = 1796112000.0
    for now, fits in ((eight - 7200, True), (eight - 3600, False), (eight + 3600, False), (None, True)):
        found = plan(at, [ON_DEMAND], name="t", enabled=("aws",), terms=Terms(now=now))
        assert bool(found.placements) is fits, now


def test_the_dearest_price_of_a_node_is_kept_and_what_would_help_is_said() -> None:
    wanted = Task(requirements=Requirements(max_hourly_cost=0.9), num_nodes=3)
    refused = plan(wanted, [ON_DEMAND, SPOT], name="t", enabled=("aws",))
    assert ("price", "cost more than $0.9/h") in {(one.by, one.reason) for one in refused.rejections}
    assert {one.change for one in refused.relaxations} == {"`use_spot: true`", "`max_hourly_cost: 1`"}


def test_recovery_may_not_go_beyond_the_budget() -> None:
    dear = replace(ON_DEMAND, zone="us-east-1b", price=1.1)
    free = plan(Task(), [ON_DEMAND, dear], name="t", enabled=("aws",))
    kept = plan(Task(budget=free.chosen.total), [ON_DEMAND, dear], name="t", enabled=("aws",))
    assert free.envelope
    assert kept.envelope
    assert len(free.envelope.placements) == 2
    assert kept.envelope.placements == ("aws us-east-1a on-demand",)


def test_failures_are_forgiven_with_time() -> None:
    other = replace(ON_DEMAND, zone="us-east-1b", price=1.001)
    task = Task(run="x")

    def chosen(age_s: float) -> str | None:
        avoid = {"aws us-east-1a": age_s}
        return plan(task, [ON_DEMAND, other], name="t", enabled=("aws",), avoid=avoid).chosen.offer.zone

    assert chosen(0) == chosen(3599) == "us-east-1b", "not there within the hour"
    assert chosen(4000) == "us-east-1b", "then another one is taken if it costs hardly more"
    assert chosen(86400) == "us-east-1a"
