"""A spot node is lost, with notice and without: the same rank is made again and the work goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Sky

pytestmark = pytest.mark.engine

COUNTER = ROOT / "examples" / "counter.yaml"


def counts(log: str, rank: int) -> list[int]:
    return [int(number) for number in re.findall(rf"^\[{rank}\] count (\d+)$", log, re.MULTILINE)]


SHORT = ("--env", "PAUSE=0.1")


def begin(sky: Sky, count_to: int) -> dict[int, str]:
    """Start the counter and wait until it counts; returns node ids by rank."""
    sky.run("up", "-d", str(COUNTER), *SHORT, "--env", f"COUNT_TO={count_to}")
    sky.wait(lambda: (sky.deployment("counter")["run"] or {}).get("progress"), "the counter reports progress")
    return {facts["rank"]: node for node, facts in sky.nodes().items()}


def finish(sky: Sky, before: dict[int, str], lost: int, count_to: int) -> str:
    run = sky.wait_run("counter", "SUCCEEDED", "FAILED")
    assert run["status"] == "SUCCEEDED"
    assert run["attempt"] == 2
    after = {facts["rank"]: node for node, facts in sky.nodes().items()}
    assert after[lost] != before[lost]
    assert after[1 - lost] == before[1 - lost]
    assert not (sky.home / "local" / "nodes" / before[lost]).exists()
    log = sky.run("logs", "counter", "--no-follow").stdout
    for rank in (0, 1):
        assert counts(log, rank)[-1] == count_to
    return log


@pytest.mark.fault("spot notice")
def test_notice_saves_replaces_that_node_and_resumes(sky: Sky) -> None:
    before = begin(sky, 60)
    sky.run("chaos", "preempt", "counter", "--rank", "1", "--notice", "30")
    log = finish(sky, before, lost=1, count_to=60)
    assert "[1] saved" in log
    resumed = re.search(r"^\[1\] resuming from (\d+) on (\S+)$", log, re.MULTILINE)
    assert resumed
    assert int(resumed[1]) > 0
    # The trap saved on the way out, so not one step was done twice.
    assert counts(log, 1) == list(range(1, 61))
    run = sky.deployment("counter")["run"]
    assert run["preemptions"] == 1


@pytest.mark.fault("node lost")
def test_silence_is_noticed_confirmed_and_mended(sky: Sky) -> None:
    before = begin(sky, 60)
    sky.run("chaos", "kill", "counter", "--rank", "0")
    log = finish(sky, before, lost=0, count_to=60)
    assert re.search(r"^\[0\] resuming from \d+ on", log, re.MULTILINE)


def test_after_a_recovery_nothing_would_change(sky: Sky, tmp_path: Path) -> None:
    sky.run("compile", str(COUNTER), "--out", str(tmp_path / "before"))
    before = begin(sky, 40)
    sky.run("chaos", "preempt", "counter", "--rank", "1", "--notice", "30")
    finish(sky, before, lost=1, count_to=40)

    preview = sky.json("preview", str(COUNTER), *SHORT, "--env", "COUNT_TO=40")
    assert (preview["changed"], preview["unchanged"]) == (0, 1)
    sky.run("compile", str(COUNTER), "--out", str(tmp_path / "after"))
    names = sorted(path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*"))
    assert names == sorted(path.relative_to(tmp_path / "after") for path in (tmp_path / "after").rglob("*"))
    for name in names:
        if (tmp_path / "before" / name).is_file():
            assert (tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes()
