"""The shortest time: own figures scale the estimate, and where one is missing nothing is made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.explain import lines
from compiler.offer import Accelerator, Market, Offer
from compiler.search import plan, unmeasured
from compiler.task import Requirements, Task
from compiler.terms import Terms
from skywright.cli.program import main


def offer(card: str, price: float) -> Offer:
    return Offer("aws", "r", None, card.lower(), Market.ON_DEMAND, price, 8, 64, Accelerator(card, 1))


SOLD = (offer("A100", 1.0), offer("H100", 3.0), offer("L4", 0.3))
A100, H100, L4 = (Requirements(accelerator=Accelerator(name, 1)) for name in ("A100", "H100", "L4"))


def task(*options: Requirements) -> Task:
    return Task(requirements=options[0], alternatives=options if len(options) > 1 else (), duration_s=36_000)


def test_the_estimate_is_for_the_first_and_scaled_for_the_others() -> None:
    terms = Terms(by_time=True, throughput={"A100": 1.0, "H100": 2.5})
    asked = task(A100, H100)
    made = plan(asked, SOLD, name="t", enabled=("aws",), terms=terms)
    assert [one.offer.instance_type for one in made.placements] == ["h100", "a100"]
    assert [round(one.hours - 30 / 3600, 6) for one in made.placements] == [4.0, 10.0]
    assert made.chosen.cost.compute == pytest.approx(12.0)
    text = "\n".join(line.text for line in lines(asked, made))
    assert "fastest first" not in text or "rank" in text
    assert "slower by 6 h" in text
    assert "it takes 4 h" in text
    assert unmeasured(asked, made, terms) is None
    assert plan(asked, SOLD, name="t", enabled=("aws",)).chosen.offer.instance_type == "a100"


def test_what_nobody_measured_is_named_and_not_made_up() -> None:
    terms = Terms(by_time=True, throughput={"A100": 1.0})
    asked = task(A100, H100)
    problem = unmeasured(asked, plan(asked, SOLD, name="t", enabled=("aws",), terms=terms), terms)
    assert problem
    assert problem.code == "plan/no-throughput"
    assert "`H100`" in problem.message
    assert "`A100`" not in problem.message
    alone = task(H100)
    assert unmeasured(alone, plan(alone, SOLD, name="t", enabled=("aws",), terms=terms), terms) is None


def test_the_command_takes_cost_or_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("run: x\nresources: {accelerators: {A100: 1, H100: 1}}\n")
    words = ["explain", "--all-clouds", str(file), "--minimize"]
    assert main([*words, "speed"]) == 2
    assert "usage/flag-value" in capsys.readouterr().err
    assert main([*words, "time"]) == 3
    said = capsys.readouterr().err
    assert "plan/no-throughput" in said
    (tmp_path / ".skywright.yaml").write_text("throughput: {a100-40gb: 1, H100: 2}\n")
    assert main([*words, "time", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["placements"]
    assert found[0]["offer"]["accelerator"] == "H100:1"
    hours = [one["hours"] for one in found]
    assert hours == sorted(hours)
    (tmp_path / ".skywright.yaml").write_text("throughput: {H1000: 1}\n")
    assert main([*words, "time"]) == 2
    assert "did you mean" in capsys.readouterr().err
