"""Rewriting old forms keeps every comment, and the meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.migrate import migrate
from compiler.pipeline import load_all
from compiler.problem import Problems
from skywright.cli.program import main

OLD = """# training
resources:   # what we need
  accelerators: V100:4
  spot_recovery: 'auto'  # Automatic job resumption
  ephemeral_storage: 100GB
---
service:
  autoscaling:       # by load
    min_replicas: 1
    max_replicas: 3
    qps_upper_threshold: 10  # per replica
    qps_lower_threshold: 1   # never used
run: |
  echo spot_recovery: auto
"""

NEW = """# training
resources:   # what we need
  accelerators: V100:4
  job_recovery: eager_next_region  # Automatic job resumption
  disk_size: 100GB
---
service:
  replica_policy:       # by load
    min_replicas: 1
    max_replicas: 3
    target_qps_per_replica: 10  # per replica
run: |
  echo spot_recovery: auto
"""


def test_old_forms_become_new_ones_and_comments_stay() -> None:
    made = migrate(OLD.encode(), "t.yaml", clouds=("local",))
    assert made.content.decode() == NEW
    assert len(made.done) == 6
    assert made.left == ()
    assert migrate(made.content, "t.yaml", clouds=("local",)).content == made.content


@pytest.mark.parametrize(
    "text",
    [
        "resources: {spot_recovery: auto, any_of: [{cpus: 1}, {spot_recovery: failover}]}\r\nrun: x\r\n",
        "\ufeffresources:\n  'spot_recovery': auto\n",
        "service: {autoscaling: {min_replicas: 1, max_replicas: 2, target_qps_per_replica: 1}}\n",
    ],
)
def test_the_meaning_stays(text: str) -> None:
    content = text.encode()
    made = migrate(content, "t.yaml", clouds=("local",)).content
    assert made != content
    after = load_all(made, "t.yaml", clouds=("local",))
    assert after == load_all(content, "t.yaml", clouds=("local",))
    assert after.hints == ()
    assert made.count(b"\r") == content.count(b"\r")


def test_what_cannot_be_rewritten_is_left_and_told() -> None:
    text = b"resources:\n  autostop: {hook: ./save.sh}\n"
    made = migrate(text, "t.yaml", clouds=("local",))
    assert made.content == text
    assert [hint.code for hint in made.left] == ["task/old-form"]


def test_a_wrong_file_is_not_touched() -> None:
    with pytest.raises(Problems):
        migrate(b"resources: {spot_recovery: [1]}", "t.yaml", clouds=("local",))


def test_the_command_writes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(OLD)
    assert main(["migrate", "--dryrun", str(path)]) == 0
    assert path.read_text() == OLD
    assert main(["migrate", str(path)]) == 0
    assert path.read_text() == NEW
    assert "`spot_recovery` is `job_recovery` now" in capsys.readouterr().out
    assert main(["migrate", str(path)]) == 0
    assert "nothing to rewrite" in capsys.readouterr().out
    assert main(["validate", str(path)]) == 0
