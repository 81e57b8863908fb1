"""What holds of plans for several tasks: no other choice of places is cheaper, and equal inputs give equal bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler import dag, search
from compiler.assignment import least
from compiler.catalog import tariffs
from compiler.cost import Data
from compiler.files import Transfer
from compiler.offer import Accelerator, Market, Offer
from compiler.plan import Placement, Plan
from compiler.problem import Problems
from compiler.search import Judged, location
from compiler.task import Requirements, Task

PLACES = (
    ("aws", "us-east-1"),
    ("aws", "us-west-2"),
    ("gcp", "us-central1"),
    ("gcp", "asia-east1"),
    ("azure", "westeurope"),
    ("vast", "r"),
)
CLOUDS = ("aws", "gcp", "azure", "vast")

offers = st.lists(
    st.builds(
        lambda place, name, price, card, count, band: Offer(
            *place,
            None,
            name,
            Market.ON_DEMAND,
            price,
            16.0,
            64.0,
            Accelerator(card, count) if card else None,
            band=band,
        ),
        st.sampled_from(PLACES),
        st.sampled_from(["small", "large"]),
        st.sampled_from([0.0, 0.1, 1.0, 1.5, 4.0, 30.0]),
        st.sampled_from([None, None, "A100", "L4"]),
        st.sampled_from([1, 2]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=10,
)
requests = st.builds(
    Requirements,
    cloud=st.sampled_from([None, None, None, "aws", "gcp"]),
    accelerator=st.none() | st.builds(Accelerator, st.sampled_from(["A100", "L4"]), st.just(1)),
)
sizes = st.none() | st.sampled_from([0.0, 1.0, 20.0, 500.0, 3000.0])


@st.composite
def tasks(draw: st.DrawFn, most: int) -> list[Task]:
    found = []
    for number in range(draw(st.integers(1, most))):
        options = draw(st.lists(requests, min_size=1, max_size=2))
        written, read = draw(sizes), draw(sizes)
        uri = draw(st.sampled_from(["CLOUD", "CLOUD", "s3://bucket", "gs://bucket"]))
        task = Task(
            name=f"t{number}",
            num_nodes=draw(st.integers(1, 2)),
            requirements=options[0],
            alternatives=tuple(options) if len(options) > 1 else (),
            ordered=draw(st.booleans()),
            inputs=None if read is None else Transfer(draw(st.sampled_from(["CLOUD", "gs://b"])), read),
            outputs=None if written is None else Transfer(uri, written),
        )
        found.append(task)
    return found


def plan(
    found: Sequence[Task], edges: Sequence[tuple[int, int]], sold: list[Offer], together: bool = False
) -> dag.DagPlan:
    def judge(task: Task, name: str, data: Sequence[Data]) -> Judged:
        return search.judge(task, sold, name=name, enabled=CLOUDS, data=data)

    names = [task.name or "" for task in found]
    return dag.plan(found, edges, name="d", names=names, judge=judge, together=together)


def choices(made: Plan) -> list[Placement]:
    """What may be chosen: of the request whose turn it is, exact ones where there are some."""
    first = [one for one in made.placements if one.turn == made.chosen.turn]
    exact = [one for one in first if not one.larger]
    return exact or first


def brute(made: dag.DagPlan, found: Sequence[Task]) -> float:
    """The least cost of all combinations of placements."""
    best = math.inf
    for some in product(*map(choices, made.plans)):
        total = sum(one.total for one in some)
        for move in made.transfers:
            here, there = location(some[move.first].offer), location(some[move.then].offer)
            total += tariffs.egress(move.gb * found[move.then].num_nodes, here, there)
        best = min(best, total)
    return best


@st.composite
def shapes(draw: st.DrawFn, count: int) -> list[tuple[int, int]]:
    """Edges from earlier to later: a chain, a tree, or any."""
    kind = draw(st.sampled_from(["chain", "tree", "any"]))
    if kind == "chain":
        return [(number, number + 1) for number in range(count - 1)]
    if kind == "tree":
        return [(draw(st.integers(0, number - 1)), number) for number in range(1, count)]
    every = [(one, other) for one in range(count) for other in range(one + 1, count)]
    return draw(st.lists(st.sampled_from(every), unique=True)) if every else []


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(tasks(4), offers, st.data())
def test_no_other_choice_of_places_is_cheaper(
    found: list[Task], sold: list[Offer], data: st.DataObject
) -> None:
    edges = data.draw(shapes(len(found)))
    try:
        made = plan(found, edges, sold)
    except Problems as wrong:
        assert {one.code for one in wrong.problems} == {"plan/no-offer"}  # noqa: PT017
        return
    assume(math.prod(len(choices(one)) for one in made.plans) < 5000)
    assert abs(made.total - brute(made, found)) < 1e-5
    assert made.total <= made.apart + 1e-5
    assert json.dumps(made.to_data()) == json.dumps(plan(found, edges, sold).to_data())
    shuffled = data.draw(st.permutations(sold))
    assert abs(plan(found, edges, shuffled).total - made.total) < 1e-5


@given(tasks(3), offers)
def test_a_group_runs_in_the_one_region_that_is_cheapest_for_all(
    found: list[Task], sold: list[Offer]
) -> None:
    alone = [plan([task], (), sold) for task in found if _fits(task, sold)]
    try:
        made = plan(found, (), sold, together=True)
    except Problems as wrong:
        if len(alone) == len(found):
            assert [one.code for one in wrong.problems] == ["plan/no-common-place"]  # noqa: PT017
            everywhere = [{location(one.offer) for one in choices(made.plans[0])} for made in alone]
            assert not set.intersection(*everywhere)
        return
    where = {location(one.chosen.offer) for one in made.plans}
    assert len(where) == 1
    best = min(
        sum(
            min((one.total for one in choices(p.plans[0]) if location(one.offer) == place), default=math.inf)
            for p in alone
        )
        for place in PLACES
    )
    assert abs(made.total - best) < 1e-5


def _fits(task: Task, sold: list[Offer]) -> bool:
    try:
        plan([task], (), sold)
    except Problems:
        return False
    return True


costs = st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0])


@settings(max_examples=200)
@given(st.data())
def test_choices_of_any_graph_are_the_least(data: st.DataObject) -> None:
    """Five things that may all meet: also the cores in which each meets three or more."""
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    own = [data.draw(st.lists(costs, min_size=count, max_size=count)) for count in counts]
    every = [(one, other) for one in range(len(counts)) for other in range(one + 1, len(counts))]
    pairs = {
        (one, other): [
            data.draw(st.lists(costs, min_size=counts[other], max_size=counts[other])) for _ in own[one]
        ]
        for one, other in every
        if data.draw(st.integers(0, 4))
    }

    def total(chosen: Sequence[int]) -> float:
        return sum(one[number] for one, number in zip(own, chosen, strict=True)) + sum(
            table[chosen[one]][chosen[other]] for (one, other), table in pairs.items()
        )

    best = min(total(chosen) for chosen in product(*map(range, counts)))
    assert total(least(own, pairs)) == best
