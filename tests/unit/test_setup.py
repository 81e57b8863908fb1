"""What `check` says of clouds that nobody set up, and what `setup --extra` installs in which versions."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import stacks
from compiler.problem import Problem, Problems
from skywright.cli import check
from stacks import plugins
from stacks.cloud import Check
from tests import setup

ROOT = Path(__file__).resolve().parents[2]


def test_locked_versions_hold_without_their_hashes(tmp_path: Path) -> None:
    rows = setup.locked((ROOT / "requirements-dev.lock").read_text())
    assert any(row.startswith("pulumi-aws==") for row in rows)
    assert all("--hash" not in row and "\\" not in row for row in rows)
    assert setup.locked("a==1 ; python_version < '3.11' \\\n    --hash=sha256:0\n") == [
        "a==1 ; python_version < '3.11'"
    ]
    words = setup.command(["aws", "gcp"], tmp_path / "pins")
    assert words[-4:-1] == ["-c", str(tmp_path / "pins"), "-e"]
    assert words[-1].endswith("[aws,gcp]")


def test_a_provider_has_the_version_of_its_sdk(tmp_path: Path) -> None:
    [(name, version)] = plugins.providers("azure")
    assert name == "azure-native"
    assert any(
        row.startswith(f"pulumi-azure-native=={version}")
        for row in setup.locked((ROOT / "requirements-dev.lock").read_text())
    )
    assert plugins.providers("nothing") == ()
    assert not plugins.is_there(tmp_path, name, version)
    (tmp_path / "plugins" / f"resource-{name}-v{version}").mkdir(parents=True)
    assert plugins.is_there(tmp_path, name, version)


def test_a_plugin_that_cannot_be_fetched_says_why(tmp_path: Path) -> None:
    refusing = tmp_path / "pulumi"
    refusing.write_text("#!/bin/sh\necho 'no such host' >&2\nexit 1\n")
    refusing.chmod(0o755)
    with pytest.raises(Problems, match="no such host"):
        plugins.fetch(refusing, {}, "aws", "1.2.3")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("toy_to_check")
    vars(made).update(NAME="toy", ENV=("TOY_",), EXTRA=None, configured=lambda: False)
    vars(made).update(check=lambda: (Check(False, "no credentials", "log in"),))
    monkeypatch.setitem(sys.modules, "toy_to_check", made)
    monkeypatch.setattr(stacks, "OURS", {"toy": "toy_to_check"})
    return made


def lines(wanted: tuple[str, ...] = ()) -> list[tuple[bool | None, str]]:
    return [(line.ok, line.says) for line in check._clouds(wanted)]


def test_a_cloud_that_nobody_set_up_is_off(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines() == [(None, "no credentials")]
    assert lines(("toy",)) == [(False, "no credentials")]
    monkeypatch.setattr(toy, "configured", lambda: True)
    assert lines() == [(False, "no credentials")]


def test_a_check_that_breaks_hides_no_other(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> tuple[Check, ...]:
        raise RuntimeError("the SDK changed")

    def refuses() -> tuple[Check, ...]:
        raise Problems(Problem("cloud/no-answer", "nobody answers"))

    monkeypatch.setattr(toy, "check", breaks)
    assert lines(("toy",)) == [(False, "it could not be checked: RuntimeError: the SDK changed")]
    monkeypatch.setattr(toy, "check", refuses)
    assert lines(("toy",)) == [(False, "nobody answers")]
