"""Several requests: which are tried, in what order, and what explain says of those that were not taken."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compiler import wishes
from compiler.explain import lines
from compiler.lower import lower
from compiler.offer import Accelerator, Market, Offer
from compiler.quantity import Quantity
from compiler.search import PLACEMENTS_APPROVED, plan
from compiler.task import Requirements, Task


@dataclass(frozen=True)
class ByMemory:
    gb: Quantity
    count: int = 1
    maker: str | None = None


@dataclass(frozen=True)
class Wider(Requirements):
    """Requirements with more fields, as the language has them."""

    accelerator_memory: ByMemory | None = None
    memory_per_cpu: Quantity | None = None
    exact: bool = False


def offer(name: str, price: float, card: str | None = None, cpus: float = 8, memory_gb: float = 64) -> Offer:
    accelerator = Accelerator(card, 1) if card else None
    return Offer("aws", "r", None, name, Market.ON_DEMAND, price, cpus, memory_gb, accelerator)


SOLD = (offer("h", 4.0, "H100"), offer("b", 3.0, "B200"), offer("l", 0.7, "L4"), offer("c", 0.3))
H100, L4, A100 = (Requirements(accelerator=Accelerator(name, 1)) for name in ("H100", "L4", "A100"))


def chosen(*options: Requirements, ordered: bool = False) -> str:
    made = plan(Task(), SOLD, name="t", enabled=("aws",), options=options, ordered=ordered)
    return made.chosen.offer.instance_type


def test_any_takes_the_cheapest_and_ordered_the_first_that_is_sold() -> None:
    assert chosen(H100, L4) == "l"
    assert chosen(H100, L4, ordered=True) == "h"
    assert chosen(A100, H100, L4, ordered=True) == "h"


def test_memory_becomes_every_accelerator_that_has_it() -> None:
    memory = ByMemory(Quantity(80, True))
    assert chosen(Wider(accelerator_memory=memory)) == "b"
    assert chosen(Wider(accelerator_memory=ByMemory(Quantity(80, False)))) == "h"
    absurd = plan(
        Task(), SOLD, name="t", enabled=("aws",), options=[Wider(accelerator_memory=ByMemory(Quantity(999)))]
    )
    assert {one.reason for one in absurd.rejections} == {"have no accelerator with 999GB"}
    groups = wishes.expanded([Wider(accelerator_memory=memory), L4], ordered=True)
    assert len(groups) == 2
    assert len(groups[0]) > 10


def test_memory_by_cpu_is_of_the_machine() -> None:
    sold = (
        offer("thin", 0.1, memory_gb=16),
        offer("right", 0.2, memory_gb=32),
        offer("fat", 0.15, memory_gb=64),
    )
    for at_least, name in ((False, "right"), (True, "fat")):
        wanted = Wider(memory_per_cpu=Quantity(4, at_least))
        made = plan(Task(requirements=wanted), sold, name="t", enabled=("aws",))
        assert made.chosen.offer.instance_type == name
    strict = Wider(memory_per_cpu=Quantity(5, False), exact=True)
    assert not plan(Task(requirements=strict), sold, name="t", enabled=("aws",)).placements


def test_explain_tells_what_became_of_the_others() -> None:
    made = plan(Task(), SOLD, name="t", enabled=("aws",), options=(H100, L4, A100))
    text = "\n".join(line.text for line in lines(Task(), made))
    assert "or 1 H100, from $4.00/h" in text
    assert "1 other alternative that nothing fits" in text
    assert made.possible == 2
    assert sum(one.count for one in made.rejections) + made.fitting == made.offers


def test_failover_and_approval_keep_the_order_of_the_file() -> None:
    made = plan(Task(), SOLD, name="t", enabled=("aws",), options=(L4, A100, H100), ordered=True)
    assert [one.offer.instance_type for one in made.placements] == ["l", "h"]
    assert [one.requirements for one in made.placements] == [L4, H100]
    assert made.requirements == L4
    assert made.envelope
    assert made.envelope.price_ceiling >= 4.0  # the dearer one was asked for by name
    later = [line.text for line in lines(Task(), made) if "asked for later: 1 H100" in line.text]
    assert len(later) == 1


def test_every_request_in_order_has_a_share_of_what_is_approved() -> None:
    zones = tuple(replace(SOLD[2], region=f"r{number}", price=0.7 + number / 1000) for number in range(150))
    made = plan(Task(), (*zones, SOLD[0]), name="t", enabled=("aws",), options=(L4, H100), ordered=True)
    assert made.envelope
    assert len(made.envelope.placements) == PLACEMENTS_APPROVED
    assert made.envelope.placements[0] == "aws r0 on-demand"
    assert made.envelope.placements[-1] == "aws r on-demand"
    assert made.to_data()["placements"][-1]["offer"]["instance_type"] == "h"


def test_the_stack_is_that_of_the_alternative_which_was_chosen() -> None:
    small = replace(L4, disk_gb=40, labels={"which": "l4"})
    task = Task(requirements=H100, alternatives=(H100, small))
    made = plan(task, SOLD, name="t", enabled=("aws",))
    specs = [lower(task, one, name="t", project="p", agent="a") for one in made.placements]
    assert [(one.instance_type, one.disk_gb, dict(one.labels)) for one in specs] == [
        ("l", 40, {"which": "l4"}),
        ("h", None, {}),
    ]
