"""Policies for work with a deadline: never late, never below what foresight allows, and sparing where they can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.policy.deadline import Job, Now, Use, choose, kept_h
from compiler.policy.regions import Place, better, order
from compiler.policy.seen import Seen
from tests.bench import deadline
from tests.bench.spot_regions import Cheapest, Ours, Window, play_many
from tests.bench.spot_sim import bound, greedy, ours, play, uniform_progress

STEP_H = 1 / 6
runs = st.lists(st.integers(1, 30), min_size=1, max_size=40)


def trace(lengths: list[int], steps: int, first: bool) -> list[bool]:
    """Capacity that comes and goes, by the lengths of its stays and absences."""
    there, at = [], first
    for length in lengths:
        there += [at] * length
        at = not at
    return (there * (steps // len(there) + 1))[:steps]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Job, list[bool]]:
    work = draw(st.sampled_from([2.0, 6.0, 12.0]))
    overhead = draw(st.sampled_from([0.02, 0.1, 0.3]))
    # The least deadline that can be kept at all: the work, a start, and what is lost to whole steps.
    deadline_h = work + overhead + STEP_H + draw(st.floats(0, 12))
    job = Job(work, deadline_h, overhead, STEP_H, 1.0, draw(st.sampled_from([1.5, 3.0])))
    return job, trace(draw(runs), round(deadline_h / STEP_H) + 1, draw(st.booleans()))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_no_deadline_is_missed_and_nobody_beats_foresight(case: tuple[Job, list[bool]]) -> None:
    job, there = case
    least = bound(job, [[job.spot if one else None for one in there]])
    for policy in (greedy, uniform_progress, ours()):
        played = play(job, there, policy)
        assert not played.missed
        assert played.usd >= least - 1e-6


@settings(max_examples=60, deadline=None)
@given(cases(), st.lists(runs, min_size=2, max_size=4))
def test_in_several_places_neither(case: tuple[Job, list[bool]], others: list[list[int]]) -> None:
    job, there = case
    rows = {f"zone-{number}": trace(each, len(there), number % 2 == 0) for number, each in enumerate(others)}
    rows["zone-x"] = there
    prices = {name: [job.spot * (1 + 0.1 * number)] * len(there) for number, name in enumerate(sorted(rows))}
    window, places = Window("", rows, prices), tuple(sorted(rows))
    least = bound(job, window.rows(places))
    for chooser in (Ours(job, places), Cheapest(job, places, greedy)):
        played = play_many(job, window, chooser)
        assert not played.missed
        assert played.usd >= least - 1e-6


def brute(job: Job, there: list[bool]) -> float:
    """The least cost by trying everything, in whole steps."""
    best = {(Use.WAIT, 0.0): 0.0}
    for step in range(int(job.deadline_h / job.step_h + 1e-9)):
        after: dict[tuple[Use, float], float] = {}
        for (using, done), usd in best.items():
            if done >= job.work_h - 1e-9:
                after[using, done] = min(after.get((using, done), 9e9), usd)
                continue
            for use in Use:
                if use is Use.SPOT and not there[step]:
                    continue
                price = {Use.WAIT: 0.0, Use.SPOT: job.spot, Use.ON_DEMAND: job.on_demand}[use]
                late = 0.0 if use is using else job.overhead_h
                more = 0.0 if use is Use.WAIT else job.step_h - late
                key = (use, round(done + more, 6))
                after[key] = min(after.get(key, 9e9), usd + price * job.step_h)
        best = after
    return min(usd for (_, done), usd in best.items() if done >= job.work_h - 1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=14, max_size=14), st.sampled_from([0.02, 0.1]))
def test_the_bound_is_below_what_can_be_reached_by_a_step_at_most(there: list[bool], overhead: float) -> None:
    job = Job(1.2, 14 * STEP_H, overhead, STEP_H, 1.0, 3.0)
    least, reached = bound(job, [[1.0 if one else None for one in there]]), brute(job, there)
    assert least <= reached + 1e-6
    assert reached - least <= job.on_demand * STEP_H + 1e-6


JOB = Job(48, 60, 0.1, STEP_H, 0.9731, 3.06)


def test_waiting_is_over_when_the_slack_that_is_worth_keeping_is_reached() -> None:
    seen = Seen()
    for _ in range(30):
        seen = seen.add(False)
    plenty = Now(60, 40, Use.WAIT, False)
    assert choose(JOB, plenty, seen) is Use.WAIT
    slack = kept_h(JOB, Now(48 + 4, 48, Use.WAIT, False), seen)
    assert choose(JOB, Now(48 + slack / 2, 48, Use.WAIT, False), seen) is Use.ON_DEMAND


def test_on_demand_is_left_for_spot_that_stays_and_not_for_spot_that_flickers() -> None:
    flickers, stays = Seen(), Seen()
    for _ in range(20):
        flickers = flickers.add(True).add(False)
        for _ in range(12):
            stays = stays.add(True)
        stays = stays.add(False)
    now = Now(30, 26, Use.ON_DEMAND, True)
    assert choose(JOB, now, flickers.add(True)) is Use.ON_DEMAND
    assert choose(JOB, now, stays.add(True)) is Use.SPOT


def test_places_are_tried_by_what_an_hour_of_work_costs_there() -> None:
    steady, cheap = Place(1.0, hours=50.0), Place(0.9, hours=2.0, losses=20)
    assert order(JOB, {"steady": steady, "cheap": cheap}, 20, 5.0) == ("steady", "cheap")
    refused = Place(1.0, hours=50.0, refused_at=4.9)
    assert order(JOB, {"steady": refused, "cheap": cheap}, 20, 5.0) == ("cheap", "steady")
    assert order(JOB, {"dear": Place(4.0)}, 20, 5.0) == (), "on-demand is cheaper"


def test_a_running_job_moves_only_for_what_pays_the_move() -> None:
    here, slightly, much = Place(1.0), Place(0.98), Place(0.5, hours=50.0)
    assert better(JOB, "here", {"here": here, "other": slightly}, 20, 5.0, 1.0) is None
    assert better(JOB, "here", {"here": here, "other": much}, 20, 5.0, 1.0) == "other"
    assert better(JOB, "here", {"here": here, "other": much}, 20, 0.2, 1.0) is None, (
        "no slack for the way back"
    )
    carried = Place(0.5, hours=50.0, carry=30.0)
    assert better(JOB, "here", {"here": here, "other": carried}, 20, 5.0, 1.0) is None


def test_the_table_has_a_line_for_each_part_of_both_layouts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = ("1" * 20 + "0" * 10) * 19
    one = {"tick_seconds": 600, "windows": {"a_k80_1": {"0": marks[:554]}, "a_v100_1": {"0": marks[3:557]}}}
    record = {"available": (marks * 2)[:1107], "spot_usd_hour_runs": [[0.9, 1000], [1.1, 107]]}
    starts = {"1": "2023-02-20T00:00:00", "2": "2023-03-20T00:00:00"}
    zones = {zone: {n: {"start": at, **record} for n, at in starts.items()} for zone in ("us-a-1", "us-b-1")}
    several = {"tick_seconds": 195, "windows": zones}
    paths = []
    for name, data in (("one.json", one), ("several.json", several)):
        paths.append(tmp_path / name)
        paths[-1].write_text(json.dumps(data))
    assert deadline.run(paths) == 0
    said = capsys.readouterr().out
    assert {line.split()[0] for line in said.splitlines()[1:]} == {"tuning", "test"}
    assert deadline.run(paths[:1], as_data=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["usd"]["optimum"] <= row["usd"]["ours"] + 1e-9 for row in rows)
