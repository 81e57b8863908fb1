"""The project's own examples are good task files, and name the schema for editors."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.load import load

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_good(path: Path) -> None:
    task = load(path.read_bytes(), path.name, clouds=("local",))
    assert task.name
    assert task.run
    first = path.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schemas/task.v1.json"
    assert (path.parent / first.rpartition("=")[2]).is_file()
