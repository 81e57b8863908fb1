"""We accept what SkyPilot 0.14.1 accepts and read the same out of it, but for a list of differences with reasons.

SkyPilot is not needed: `./invoke bench corpus` asks it and records what it says in verdicts.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.corpus import digest
from tests.oracle import compare
from tests.oracle.corpus import all_fields, cases

CASES = {case.name: case for case in cases()}
SAID = {row["name"]: row for row in json.loads((Path(__file__).parent / "verdicts.json").read_text())}


def test_the_recorded_verdicts_are_about_these_files() -> None:
    stale = [name for name, case in CASES.items() if SAID.get(name, {}).get("text") != digest(case.text)]
    assert stale == [], "run `./invoke bench corpus`"
    assert set(SAID) == set(CASES), "run `./invoke bench corpus`"


def test_every_field_and_many_shorthands_are_covered() -> None:
    covered = {case.path for case in CASES.values() if case.kind == "good"}
    inner = {path[:end] for path in covered for end in range(1, len(path))}
    assert {field.name for field in all_fields() if field.path not in covered | inner} == set()
    assert len(CASES) > 1000
    assert sum(1 for case in CASES.values() if case.kind == "hand") > 200


@pytest.mark.parametrize("group", sorted({name.split("/")[0].split(".")[0] for name in CASES}))
def test_each_difference_is_meant(group: str) -> None:
    found = []
    for name, case in CASES.items():
        if name.split("/")[0].split(".")[0] == group:
            for kind, says in compare.differences(case.text, SAID[name]):
                if not compare.intended(name, kind):
                    found.append(f"{name}: {kind}: {says}\n{case.text}")
    assert found == []


def test_a_file_of_a_folder_is_compared_without_the_fields_of_ours() -> None:
    theirs = "resources: {accelerators: 'A100:4', any_of: [{infra: aws, exact: true}]}\nrun: x\n"
    text = (
        theirs
        + "deadline: 3h\nfile_mounts: {/d: {source: s3://b, encryption: {type: AES256}}}\n---\nsync: {mode: full}\n"
    )
    found = compare.without_ours(text)
    assert found
    first, then = map(json.loads, found[0].split("\n---\n"))
    assert first["resources"] == {"accelerators": "A100:4", "any_of": [{"infra": "aws"}]}
    assert first["file_mounts"] == {"/d": {"source": "s3://b"}}
    assert "deadline" not in first
    assert then == {}
    assert found[1] == ("fields of ours",)
    assert compare.without_ours("resources: {cpus: 4}\nrun: x\n") is None


def test_each_meant_difference_is_one() -> None:
    """A row whose difference is gone goes too."""
    seen = {
        (name, kind) for name, case in CASES.items() for kind, _ in compare.differences(case.text, SAID[name])
    }
    used = {
        row["reason"]
        for row in json.loads(compare.INTENDED.read_text())
        if any(kind == row["kind"] and compare.intended(name, kind) == row["reason"] for name, kind in seen)
    }
    assert used == {row["reason"] for row in json.loads(compare.INTENDED.read_text())}
