"""A plugin of pytest: which tests show what holds under a fault, how many points each hit, how it ended.

`@pytest.mark.fault("agent killed")` puts a test under a row of ROWS: one point per case, or as many as it told by
`hit()`. With `long=True` it runs only with --faults or --soak.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rows import NAMES

LONG = "long: run with ./invoke test --faults"
_points: Counter[str] = Counter()


def hit(points: int = 1, row: str = "") -> None:
    """The running test has injected its fault so many times (more); `row` where it stands under several."""
    _points[row] += points


def options(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults", action="store_true", help="only the tests of the fault suite, the long ones too"
    )
    parser.addoption(
        "--faults-file", help="where to write how each of them went, as lines of JSON", metavar="FILE"
    )


class Faults:
    """Chooses and counts; under xdist the one that writes is the one that hears of every test."""

    def __init__(self, config: pytest.Config) -> None:
        self.file = None if hasattr(config, "workerinput") else config.getoption("--faults-file")
        self.found: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        only, soak = config.getoption("--faults"), config.getoption("--soak")
        for item in items:
            for mark in item.iter_markers("fault"):
                if mark.args[0] not in NAMES:
                    raise pytest.UsageError(
                        f"{item.nodeid}: no row of tests/faults/rows.py is {mark.args[0]!r}"
                    )
                if mark.kwargs.get("long") and not (only or soak):
                    item.add_marker(pytest.mark.skip(reason=LONG))
        if only:
            chosen = [
                item for item in items if item.get_closest_marker("fault") and (soak or not _soaks(item))
            ]
            config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
            items[:] = chosen

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        _points.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        for row in dict.fromkeys(mark.args[0] for mark in item.iter_markers("fault")):
            points = (_points[row] or _points[""] or 1) if report.when == "call" and not report.skipped else 0
            report.user_properties.append(("fault", [row, points]))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rows = dict(value for name, value in report.user_properties if name == "fault")
        if not self.file or not rows:
            return
        case = self.found.setdefault(
            report.nodeid, {"test": report.nodeid, "points": {}, "seconds": 0.0, "ended": "passed"}
        )
        case["seconds"] += report.duration
        for row, points in rows.items():
            case["points"][row] = max(points, case["points"].get(row, 0))
        if report.failed:
            case["ended"] = "failed"
        elif report.skipped and case["ended"] == "passed":
            case["ended"] = "skipped"

    def pytest_sessionfinish(self) -> None:
        if self.file:
            Path(self.file).write_text("".join(json.dumps(case) + "\n" for case in self.found.values()))


def _soaks(item: pytest.Item) -> bool:
    return item.get_closest_marker("soak") is not None
