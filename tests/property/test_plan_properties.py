"""What holds of every plan: it is the cheapest there is, it adds up, and more choice never costs more."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler import explain
from compiler.cost import START_S, Estimate, Reckoner
from compiler.folder import files
from compiler.lower import lower
from compiler.offer import Accelerator, Market, Offer
from compiler.quantity import Quantity
from compiler.search import plan
from compiler.spec import StackSpec
from compiler.task import Autostop, Deadline, Requirements, Task
from compiler.terms import Terms
from compiler.unfit import no_offer

CLOUDS = ("local", "aws", "gcp")
REGIONS = ("r1", "r2")
ZONES = ("r1a", "r1b")
CARDS = ("A100", "L4")

accelerators = st.none() | st.builds(Accelerator, st.sampled_from(CARDS), st.sampled_from([1, 2, 8]))

offers = st.builds(
    Offer,
    cloud=st.sampled_from(CLOUDS),
    region=st.none() | st.sampled_from(REGIONS),
    zone=st.none() | st.sampled_from(ZONES),
    instance_type=st.sampled_from(["small", "large"]),
    market=st.sampled_from(Market),
    price=st.sampled_from([0.0, 0.1, 1.0, 9.83, 21.96]),
    cpus=st.sampled_from([1.0, 2.0, 8.0]),
    memory_gb=st.sampled_from([1.0, 15.25, 64.0]),
    accelerator=accelerators,
    disk_gb=st.none() | st.sampled_from([20.0, 500.0]),
    flexible=st.booleans(),
)

requirements = st.builds(
    Requirements,
    cloud=st.none() | st.sampled_from(CLOUDS),
    region=st.none() | st.sampled_from(REGIONS),
    zone=st.none() | st.sampled_from(ZONES),
    accelerator=accelerators,
    cpus=st.none() | st.builds(Quantity, st.sampled_from([0.5, 2.0, 8.0, 9.0]), st.booleans()),
    memory_gb=st.none() | st.builds(Quantity, st.sampled_from([0.5, 16.0, 65.0]), st.booleans()),
    disk_gb=st.none() | st.sampled_from([10.0, 100.0]),
    use_spot=st.booleans(),
    labels=st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), max_size=2),
    max_hourly_cost=st.none() | st.none() | st.sampled_from([0.05, 1.0, 10.0]),
    autostop=st.none() | st.builds(Autostop, st.none() | st.integers(0, 10**6), st.booleans()),
)

values = st.dictionaries(st.sampled_from(["A", "B_1", "C"]), st.none() | st.text(max_size=5), max_size=3)

tasks = st.builds(
    Task,
    name=st.none() | st.sampled_from(["t", "my.task", "9lives"]),
    workdir=st.none() | st.sampled_from([".", "~/x"]),
    num_nodes=st.integers(1, 5),
    requirements=requirements,
    envs=values,
    secrets=values,
    file_mounts=st.dictionaries(st.sampled_from(["/a", "~/b"]), st.text(min_size=1, max_size=4), max_size=2),
    checkpoint=st.none() | st.just("~/ck"),
    setup=st.none() | st.text(max_size=9),
    deadline=st.none() | st.sampled_from([Deadline(span_s=3610.0), Deadline(span_s=3700.0)]),
    duration_s=st.none() | st.sampled_from([600.0, 3600.0]),
    run=st.none() | st.text(max_size=9),
    file=st.sampled_from(["task.yaml", "a/b.yml"]),
)

lists = st.lists(offers, max_size=12)
enabled = st.sets(st.sampled_from(CLOUDS))
allowed = st.dictionaries(
    st.sampled_from(CLOUDS), st.lists(st.sampled_from(REGIONS), max_size=1).map(tuple), max_size=1
)
avoided = st.sets(st.sampled_from(["local", "aws r1", "aws r1a", "gcp r1b"]))


def fits(offer: Offer, task: Task, on: set[str], avoid: set[str], only: dict[str, tuple[str, ...]]) -> bool:
    """The meaning of a task, written down a second time and in the plainest way."""
    want = task.requirements
    if task.deadline and task.deadline.span_s and task.duration_s:
        setup_s = 300 if task.setup else 0
        if START_S[offer.cloud] + setup_s + task.duration_s > task.deadline.span_s:
            return False
    names = {offer.where, offer.cloud, f"{offer.cloud} {offer.region}"}
    if offer.flexible or want.cpus or want.memory_gb:
        default = True
    elif want.accelerator:
        cards = want.accelerator.count
        default = offer.cpus >= 4 * cards and offer.memory_gb >= 8 * cards
    else:
        default = offer.cpus >= 8 and offer.memory_gb >= 32
    return (
        offer.cloud in on
        and default
        and (offer.cloud not in only or offer.region in only[offer.cloud])
        and (want.max_hourly_cost is None or offer.price <= want.max_hourly_cost)
        and want.cloud in (None, offer.cloud)
        and want.region in (None, offer.region)
        and want.zone in (None, offer.zone)
        and (offer.market is Market.SPOT) == want.use_spot
        and not names & avoid
        and (want.cpus is None or offer.cpus >= want.cpus.value)
        and (want.memory_gb is None or offer.memory_gb >= want.memory_gb.value)
        and (want.disk_gb is None or offer.disk_gb is None or offer.disk_gb >= want.disk_gb)
        and (
            want.accelerator is None
            or (
                offer.accelerator is not None
                and offer.accelerator.name == want.accelerator.name
                and offer.accelerator.count >= want.accelerator.count
            )
        )
    )


def is_larger(offer: Offer, task: Task) -> bool:
    """Whether the machine is more than an exact request asks for."""
    want, has = task.requirements, offer.accelerator
    if offer.flexible:
        return False
    cards = has.count if has else 0
    return (
        (want.accelerator is not None and cards > want.accelerator.count)
        or (want.cpus is not None and not want.cpus.at_least and offer.cpus > want.cpus.value)
        or (
            want.memory_gb is not None
            and not want.memory_gb.at_least
            and offer.memory_gb > want.memory_gb.value
        )
    )


def cost(offer: Offer, task: Task) -> float:
    return Reckoner(task.num_nodes, Estimate.of(task)).cost(offer).total


@given(tasks, lists, enabled, avoided, allowed)
def test_the_plan_is_what_trying_everything_finds(
    task: Task, sold: list[Offer], on: set[str], avoid: set[str], only: dict[str, tuple[str, ...]]
) -> None:
    made = plan(
        task,
        sold,
        name="t",
        enabled=on,
        avoid=avoid,
        terms=Terms(only),
    )
    good = [offer for offer in sold if fits(offer, task, on, avoid, only)]
    assert made.fitting == len(made.placements) == len(good)
    worth = sorted((is_larger(offer, task), cost(offer, task)) for offer in good)
    assert [(bool(one.larger), one.total) for one in made.placements] == worth
    for one in made.placements:
        assert one.hourly == round(one.offer.price * task.num_nodes, 6)


@given(tasks, lists, enabled, avoided)
def test_every_offer_is_placed_or_rejected_once(
    task: Task, sold: list[Offer], on: set[str], avoid: set[str]
) -> None:
    made = plan(task, sold, name="t", enabled=on, avoid=avoid)
    assert made.offers == len(sold)
    assert sum(one.count for one in made.rejections) + made.fitting == len(sold)
    left = len(sold)
    for step in made.steps:
        assert left - step.left == sum(one.count for one in made.rejections if one.by == step.by)
        left = step.left
    assert left == made.fitting


@given(tasks, lists, offers, enabled, avoided)
def test_one_more_offer_never_makes_it_dearer(
    task: Task, sold: list[Offer], more: Offer, on: set[str], avoid: set[str]
) -> None:
    """But for the one reason that is meant: an exact match comes before a cheaper machine that is larger."""
    before = plan(task, sold, name="t", enabled=on, avoid=avoid)
    after = plan(task, [*sold, more], name="t", enabled=on, avoid=avoid)
    if before.placements:
        exact = bool(before.chosen.larger) and not after.chosen.larger
        assert exact or after.chosen.total <= before.chosen.total
        assert bool(after.chosen.larger) <= bool(before.chosen.larger)


@given(tasks, lists, enabled, st.randoms())
def test_the_order_of_offers_does_not_matter(
    task: Task, sold: list[Offer], on: set[str], random: object
) -> None:
    mixed = list(sold)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    one = plan(task, sold, name="t", enabled=on)
    two = plan(task, mixed, name="t", enabled=on)
    assert one.envelope == two.envelope
    assert one.rejections == two.rejections
    assert [(p.hourly, p.offer.where, p.offer.instance_type) for p in one.placements] == [
        (p.hourly, p.offer.where, p.offer.instance_type) for p in two.placements
    ]


@given(tasks, lists, enabled)
def test_what_helps_really_helps(task: Task, sold: list[Offer], on: set[str]) -> None:
    made = plan(task, sold, name="t", enabled=on)
    assert not (made.placements and made.relaxations)
    for one in made.relaxations:
        assert one.offer.cloud in on
    if not made.placements:
        problem = no_offer(task, made)
        assert problem.code == "plan/no-offer"
        assert problem.exit == 3
        for one in made.relaxations:
            assert one.change in (problem.hint or "")


@given(tasks, lists, enabled)
def test_explain_never_fails_and_names_the_choice_once(task: Task, sold: list[Offer], on: set[str]) -> None:
    made = plan(task, sold, name="t", enabled=on)
    shown = explain.lines(task, made)
    chosen = [line for line in shown if line.style == "chosen"]
    assert len(chosen) == (1 if made.placements else 0)
    assert all("\n" not in line.text and line.text == line.text.rstrip() for line in shown)


@given(tasks)
def test_a_task_survives_as_data(task: Task) -> None:
    assert Task.from_data(task.to_data()) == task
    hidden = Task.from_data(task.to_data(redact=True))
    assert replace(hidden, secrets={}) == replace(task, secrets={})
    assert hidden.secrets == dict.fromkeys(task.secrets)


@settings(max_examples=50)
@given(tasks, st.lists(offers, min_size=1, max_size=6))
def test_lowering_is_deterministic_and_survives_as_data(task: Task, sold: list[Offer]) -> None:
    made = plan(task, sold, name="t", enabled=CLOUDS)
    if not made.placements:
        return
    specs = [lower(task, made.chosen, name="t", project="p", agent="0" * 64) for _ in range(2)]
    assert specs[0].digest == specs[1].digest
    assert StackSpec.from_data(specs[0].to_data()) == specs[0]
    assert files(made, specs[:1], project="p") == files(made, specs[1:], project="p")
