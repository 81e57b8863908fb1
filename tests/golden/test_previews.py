"""What previews look like to people, pull requests and programs: SKYWRIGHT_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import previewed

from skywright.review import terminal
from skywright.review.markdown import LIMIT, length, markdown
from skywright.review.report import Report

HERE = Path(__file__).parent / "previews"
UPDATE = bool(os.environ.get("SKYWRIGHT_UPDATE_GOLDEN"))
REPORTS = {"mixed": previewed.mixed, "fifty": previewed.fifty, "one": previewed.one}


def shapes(report: Report) -> dict[str, str]:
    data = report.to_data()
    for stack in data["stacks"]:
        stack["plan"] = (
            "(left out)" if stack["plan"] else None
        )  # tests/golden/*/explain.txt and plan.json are its own
    return {
        "txt": "\n".join(text for text, _ in terminal.lines(report)) + "\n",
        "md": markdown(report) + "\n",
        "json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
    }


@pytest.mark.parametrize("name", ["mixed", "one"])
def test_a_report_reads_as_it_was_reviewed(name: str) -> None:
    for ending, text in shapes(REPORTS[name]()).items():
        path = HERE / f"{name}.{ending}"
        if UPDATE:
            path.write_text(text)
        assert text == path.read_text(), path.name


def test_fifty_stacks_keep_their_whole_summary() -> None:
    report = previewed.fifty()
    text = markdown(report)
    if UPDATE:
        (HERE / "fifty.md").write_text(text)
    assert text == (HERE / "fifty.md").read_text()
    assert length(text) <= LIMIT
    for row in report.rows:
        assert f"| `{row.stack}` | changed |" in text
    assert text.startswith("### Skywright: 50 stacks change, ")


@pytest.mark.parametrize("limit", [12_000, 20_000, 40_000])
def test_details_give_way_before_the_summary_does(limit: int) -> None:
    report = previewed.fifty()
    text = markdown(report, limit)
    assert length(text) <= limit
    assert "left out" in text
    assert sum(line.startswith("| `a-team") for line in text.splitlines()) == 50


def test_more_stacks_than_any_comment_holds_still_fit() -> None:
    many = Report(previewed.fifty().rows * 20)
    assert length(markdown(many)) <= LIMIT


def test_names_do_nothing_but_be_read() -> None:
    for text in (markdown(previewed.mixed()), shapes(previewed.mixed())["txt"]):
        assert "\u202e" not in text
        assert "hidden-value" not in text
    text = markdown(previewed.mixed())
    assert "<img" not in text
    assert not re.search(r"(?<![`\w])@team", re.sub(r"<code>.*?</code>", "", text))
    for line in text.splitlines():
        if line.startswith(("| `", "| <code>")):  # of the summary, or of the fields
            assert line.count("|") in (8, 5), line


def test_secrets_are_in_no_shape() -> None:
    for text in shapes(previewed.mixed()).values():
        assert "hidden-value" not in text


def test_the_worst_decides_the_exit_code() -> None:
    assert previewed.one().exit == 0
    assert previewed.mixed().exit == 6
    assert Report(previewed.failing()).exit == 2
