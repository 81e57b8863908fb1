"""`move` through the whole product: real engine, control, nodes and agents in two zones of this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.e2e.conftest import Sky

pytestmark = pytest.mark.engine

TASK = """\
name: counts
resources: {infra: local/a}
checkpoint: ~/kept
run: |
  n=$(cat $CHECKPOINT_DIR/n 2>/dev/null || echo 0)
  echo "begins at $n in attempt of $(hostname)"
  trap 'echo $n > $CHECKPOINT_DIR/n.new; mv $CHECKPOINT_DIR/n.new $CHECKPOINT_DIR/n; echo saved at $n; exit 0' TERM
  while [ ! -e $CHECKPOINT_DIR/stop ]; do n=$((n + 1)); echo $n > $CHECKPOINT_DIR/count; sleep 0.1; done
  echo "ends at $n"
"""


@pytest.fixture
def zones(sky: Sky) -> Sky:
    sky.env["SKYWRIGHT_LOCAL_ZONES"] = "a,b"
    return sky


def kept(sky: Sky, zone: str) -> Path:
    return sky.home / "local" / "kept" / "e2e" / f"counts@{zone}"


def test_a_task_counts_on_in_the_other_zone(zones: Sky) -> None:
    sky = zones
    (sky.folder / "counts.yaml").write_text(TASK)
    sky.run("up", "-d", "counts.yaml")
    sky.wait(lambda: (kept(sky, "a") / "count").exists(), "it counts")
    refused = sky.run("move", "counts", "--to", "local/b", code=None)
    assert refused.returncode != 0
    assert "was not approved" in refused.stderr
    big = b"weights" * 2_000_000
    (kept(sky, "a") / "weights").write_bytes(big)
    said = sky.json("move", "counts", "--to", "local/b", "--yes")
    assert (said["from"], said["where"], said["moved"]) == ("local a", "local b", True)
    saved = int((kept(sky, "a") / "n").read_text())
    assert saved > 0
    brought = hashlib.sha256((kept(sky, "b") / "weights").read_bytes()).digest()
    assert brought == hashlib.sha256(big).digest()
    sky.wait(lambda: int((kept(sky, "b") / "count").read_text() or 0) > saved, "it counts on")
    found = sky.json("status", "counts")["deployments"][0]
    assert (found["where"], found["moving_to"], len(found["nodes"])) == ("local b", None, 1)
    assert (found["run"]["attempt"], found["run"]["preemptions"]) == (2, 0)
    assert found["run"]["lost_work_s"] < 60
    (kept(sky, "b") / "stop").touch()
    run = sky.wait_run("counts", "SUCCEEDED", "FAILED", "CANCELLED")
    assert run["status"] == "SUCCEEDED"
    log = sky.run("logs", "counts").stdout
    assert f"saved at {saved}" in log
    assert f"begins at {saved}" in log
    sky.run("down", "-y", "counts")
    assert sky.json("orphans")["orphans"] == []
