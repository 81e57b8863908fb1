"""docs/policy.md has the rules that there are, and what it shows as a policy is one."""

from __future__ import annotations

import re
from pathlib import Path

from skywright import config
from stacks.rules import RULES
from tests import policydoc


def test_the_table_is_made_of_the_rules() -> None:
    now = policydoc.DOC.read_text()
    assert now == policydoc.text(now), "python -m tests.policydoc"


def test_its_examples_and_those_of_every_rule_are_good_settings(tmp_path: Path) -> None:
    team, project = re.findall(r"```yaml\n(.*?)```", policydoc.DOC.read_text(), re.DOTALL)
    (tmp_path / "policy.yaml").write_text(team)
    (tmp_path / ".skywright.yaml").write_text(project.replace("../team/policy.yaml", "policy.yaml"))
    assert len(config.read(tmp_path).policy.statements) == 7
    rules = re.findall(r"^\| `[a-z-]+` \|.*\| `(.*)` \|$", policydoc.table(), re.MULTILINE)
    assert len(rules) == len(RULES)
    text = "".join(f"    {one}\n" for one in rules)
    (tmp_path / ".skywright.yaml").write_text(f"policy:\n  rules:\n{text}")
    assert [one.rule for one in config.read(tmp_path).policy.statements] == list(RULES)
