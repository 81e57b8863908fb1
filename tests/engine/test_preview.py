"""What a preview looks like to people, to a pull request and to programs."""

from __future__ import annotations

import json

import pytest

from stacks import preview

RESULT = {
    "steps": [
        {"resource": "node-0", "kind": "skywright:local:Node", "op": "same", "reasons": []},
        {"resource": "node-1", "kind": "skywright:local:Node", "op": "update", "reasons": ["labels"]},
        {"resource": "node-2", "kind": "skywright:local:Node", "op": "replace", "reasons": ["market"]},
    ]
}
QUIET = preview.row("eval-local", {"steps": RESULT["steps"][:1]}, 0.0)
BUSY = preview.row("train-aws-us-west-2", RESULT, 39.32)


def test_table_shows_what_changes_and_counts_the_rest():
    assert preview.table([BUSY, QUIET]).splitlines() == [
        "STACK                CREATE  UPDATE  REPLACE  DELETE     $/H",
        "train-aws-us-west-2       0       1        1       0  $39.32",
        "1 stack: no changes",
    ]
    assert preview.table([QUIET]) == "1 stack: no changes"


def test_markdown_gives_the_property_that_forces_a_replacement():
    text = preview.markdown([BUSY, QUIET])
    assert text.splitlines()[0] == "### Skywright: 1 stack changes, $39.32/h afterwards"
    assert "| train-aws-us-west-2 | 0 | 1 | **1** node-2: `market` | 0 | $39.32/h |" in text
    assert "- update node-1: `labels`" in text


def test_data_is_json():
    data = json.loads(json.dumps(BUSY.to_data()))
    assert (data["stack"], data["replace"], data["hourly"]) == ("train-aws-us-west-2", 1, 39.32)
    assert data["resources"][0] == {
        "resource": "node-1",
        "kind": "skywright:local:Node",
        "op": "update",
        "reasons": ["labels"],
    }


@pytest.mark.engine
def test_a_real_preview_becomes_a_row(desk):
    result = desk.well("preview", desk.spec(2))
    assert {(one["name"], one["op"], one["inputs"]["rank"]) for one in result["planned"]} == {
        ("node-0", "create", 0),
        ("node-1", "create", 1),
    }
    row = preview.row("train-local", result, 0.0)
    assert row.count("create") == 2
    assert "$0.00" in preview.table([row])
