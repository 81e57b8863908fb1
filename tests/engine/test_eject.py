"""An ejected project is plain Pulumi, and takes over the stack as it stands: its preview shows no change."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_account import Account
from ejected import imports, unchanged, written

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def test_four_nodes_on_aws(account: Account, tmp_path: Path) -> None:
    spec = account.spec(4, secrets=("HF_TOKEN",))
    account.well("up", spec)
    result = account.well("preview", spec, record=True)
    made = written(spec, result["recording"], tmp_path / "out")
    program = made.files["__main__.py"].decode()
    assert imports(program) == {"base64", "pathlib", "pulumi", "pulumi_aws"}
    assert "vpc_security_group_ids=[nodes.id]" in program
    assert "role=role.name" in program
    assert 'ignore_changes=["ami", "user_data_base64"]' in program
    assert all(len(line) < 400 for line in program.splitlines())
    assert made.files["files/node-3.user_data_base64.sh"].startswith(b"#!")
    assert unchanged(tmp_path / "out", spec.stack) == made.resources + 1, "those, and the stack itself"
    assert account.nodes() == [(row["rank"], row["id"]) for row in result["nodes"]]
