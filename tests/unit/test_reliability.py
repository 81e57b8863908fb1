"""The fault suite's table: every row has its tests and its line in the document, and what failed is told as such."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults import suite
from tests.faults.rows import ROWS

ROOT = Path(__file__).resolve().parents[2]


def case(row: str, ended: str, points: int = 1) -> dict[str, object]:
    return {"test": f"test of {row}", "points": {row: points}, "seconds": 1.0, "ended": ended}


def test_every_row_has_tests() -> None:
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    named = {name for text in texts for name in re.findall(r'mark\.fault\(\s*"([^"]+)"', text)}
    assert named == {row.name for row in ROWS}


def test_the_document_has_the_table() -> None:
    text = suite.DOC.read_text()
    inside = text.partition(suite.BEGIN)[2].partition(suite.END)[0]
    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in inside.splitlines()[2:]]
    assert [(name, how, holds) for name, how, _, holds in told] == [
        (one.name, one.how, one.holds) for one in ROWS
    ]
    assert all(re.fullmatch(r"[1-9]\d*|-", points) for _, _, points, _ in told)


def test_a_row_holds_when_it_ran_each_time_and_never_failed() -> None:
    names = [row.name for row in ROWS]
    rounds = [
        [case(names[0], "passed", 4), case(names[1], "passed"), case(names[2], "skipped", 0)],
        [case(names[0], "passed", 4), case(names[1], "failed"), case(names[2], "skipped", 0)],
    ]
    lines = suite.judge(rounds)
    assert [(line.points, line.passed, line.times, line.ok) for line in lines[:4]] == [
        (4, 2, 2, True),
        (1, 1, 2, False),
        (0, 0, 2, False),
        (0, 0, 2, False),
    ]
    assert lines[0].says == ROWS[0].holds
    assert lines[1].says == f"NOT HELD: test of {names[1]}"
    assert lines[2].says == "not run"
    text = suite.table(lines)
    assert text[-1].startswith(f"1 of {len(ROWS)} held")
    assert text[-2] == f"not run here: test of {names[2]}"
