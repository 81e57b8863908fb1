"""For each field a wrong type, a value out of its range and a misspelling give one Problem, at the field."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.pipeline import Pipeline, load_all
from compiler.problem import Problem, Problems
from compiler.runnable import refusals
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
        shown, hidden, _ = problem.place.text.partition("…")
        assert lines[0].startswith(shown) if hidden else shown == lines[0], (case, problem)
        assert bool(hidden) is (case.path[0] == "secrets" and '{"%%"' in case.text), (case, problem)
        named = any(f"`{name}`" in problem.message for name in (case.path[-1], "%%", "/data"))
        assert named or problem.hint or kind == "wrong-type", (case, problem)


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


GOOD = [case.text for case in CASES if case.kind == "good" and "\n---\n" not in case.text]
HAND = [case.text for case in CASES if case.kind == "hand"]
PIECES = [
    "\t",
    "\n",
    ": ",
    "- ",
    "[",
    "}",
    "&a ",
    "*a",
    "'",
    "null",
    "-1",
    "1e999",
    ".nan",
    "$A",
    "\n---\n",
    "x",
    "é",
]


def ends_well(content: bytes) -> Pipeline | None:
    """The tasks, or None when the file is refused as it should be; nothing else may happen."""
    refused: Problems | None = None
    try:
        return load_all(content, "t.yaml", clouds=("local",))
    except Problems as problems:
        refused = problems
    assert refused.problems
    assert len(str(refused)) < 20_000
    assert all(one.code.startswith("task/") for one in refused.problems)
    return None


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.lists(st.sampled_from(GOOD), min_size=1, max_size=4))
def test_fields_together_end_well_and_come_back(texts: list[str]) -> None:
    """Fields that are good alone, side by side; their top-level keys differ, or the last one counts."""
    lines = {line.partition(":")[0]: line for text in texts for line in text.splitlines()}
    read = ends_well("\n".join(lines.values()).encode())
    if read is not None:
        assert Pipeline.from_data(read.to_data()) == read
        assert isinstance(refusals(read.tasks[0]), tuple)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=400)
@given(st.sampled_from(GOOD + HAND), st.data())
def test_a_damaged_file_of_any_field_ends_well(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        piece = data.draw(st.sampled_from(PIECES) | st.text(max_size=3))
        text = text[:start] + piece + text[start + data.draw(st.integers(0, 6)) :]
    read = ends_well(text.encode("utf-8", "surrogatepass"))
    if read is not None:
        assert Pipeline.from_data(read.to_data()) == read
        for task in read.tasks:
            assert isinstance(refusals(task), tuple)
