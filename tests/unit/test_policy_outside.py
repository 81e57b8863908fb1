"""Programs outside of ours judge what is planned: its shape, refusals in their words, and programs that cannot run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from compiler.offer import Market
from compiler.problem import Problems
from compiler.spec import StackSpec
from skywright.cli import outside

SPEC = StackSpec("proj", "train-aws-r", "train", "aws", "g5.xlarge", Market.SPOT, 2, "a1", "r", network="net")
ROW = {
    "urn": "u",
    "name": "node-0",
    "type": "t:x:Y",
    "op": "create",
    "forces": [],
    "inputs": {},
    "before": {},
}
RESULT = {"planned": [ROW], "foundation": {"planned": [{**ROW, "name": "network"}]}}
SCRIPT = (
    "import json, sys\n"
    "found = [one['name'] for stack in json.load(sys.stdin)['stacks']"
    " for one in stack['resources'] + stack['foundation']]\n"
    "print('not these:', *found)\n"
    "sys.exit(3 if sys.argv[1] == 'no' else 0)\n"
)


def test_the_document_keeps_its_shape() -> None:
    made = outside.of_result(SPEC, RESULT)
    (stack,) = made["stacks"]
    assert made["version"] == 1
    assert list(stack) == [
        *(
            "stack",
            "deployment",
            "task",
            "cloud",
            "region",
            "zone",
            "instance_type",
            "market",
            "nodes",
            "labels",
        ),
        *("resources", "foundation"),
    ]
    assert stack["resources"] == [ROW]
    assert stack["foundation"][0]["name"] == "network"


def test_an_exit_code_denies_and_what_is_printed_is_the_message() -> None:
    command = (sys.executable, "-c", SCRIPT)
    planned = outside.of_result(SPEC, RESULT)
    assert outside.judge([(*command, "yes")], planned) == []
    (found,) = outside.judge([(*command, "yes"), (*command, "no")], planned)
    assert (found["code"], found["level"], found["stack"]) == ("policy/command", "deny", "train-aws-r")
    assert "not these: node-0 network" in found["message"]


def test_a_program_that_cannot_run_refuses() -> None:
    with pytest.raises(Problems) as caught:
        outside.judge([("/no/such/program",)], outside.of_result(SPEC, RESULT))
    assert caught.value.problems[0].code == "policy/command-failed"
    assert caught.value.exit == 6


def test_the_document_is_written_to_a_file_or_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = outside.of_result(SPEC, RESULT)
    outside.write(str(tmp_path / "planned.json"), planned)
    outside.write("-", planned)
    assert json.loads((tmp_path / "planned.json").read_text()) == planned
    assert json.loads(capsys.readouterr().out) == planned
    with pytest.raises(Problems, match="cannot be written"):
        outside.write(str(tmp_path), planned)
