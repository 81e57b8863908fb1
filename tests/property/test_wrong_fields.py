"""For each field a wrong type, a value out of its range and a misspelling give one Problem, at the field."""

from __future__ import annotations

import pytest

from compiler.pipeline import load_all
from compiler.problem import Problem, Problems
from compiler.task import Task
from tests.oracle.corpus import Case, cases

CASES = cases()
WRONG = [case for case in CASES if case.kind in ("wrong-type", "out-of-range", "misspelt")]
CODES = {
    "wrong-type": {"task/wrong-type", "task/wrong-value"},
    "out-of-range": {"task/wrong-value", "task/bad-name", "task/wrong-type"},
    "misspelt": {"task/unknown-field"},
}


def found_in(case: Case) -> tuple[Problem, ...]:
    try:
        load_all(case.text.encode(), "t.yaml", clouds=("local",))
    except Problems as problems:
        return problems.problems
    return ()


@pytest.mark.parametrize("kind", sorted(CODES))
def test_one_mistake_is_one_problem_at_its_place(kind: str) -> None:
    for case in WRONG:
        if case.kind != kind:
            continue
        (problem,) = found_in(case)
        assert problem.code in CODES[kind], (case, problem)
        assert problem.place is not None, case
        lines = [line for line in case.text.splitlines() if f'"{case.path[0]}"' in line]
        assert problem.place.text == lines[0], (case, problem)
        assert str(case.path[-1]) in problem.message or problem.hint or kind == "wrong-type", (case, problem)


def test_a_misspelling_is_told_with_what_was_meant() -> None:
    told = [
        case for case in WRONG if case.kind == "misspelt" and "did you mean" in (found_in(case)[0].hint or "")
    ]
    assert len(told) > 0.95 * sum(1 for case in WRONG if case.kind == "misspelt")


def test_what_is_good_is_good_and_comes_back_from_plain_data() -> None:
    for case in CASES:
        if case.kind == "good":
            for task in load_all(case.text.encode(), "t.yaml", clouds=("local",)).tasks:
                assert Task.from_data(task.to_data()) == task, case
