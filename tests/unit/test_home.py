"""Where files live, and that a crash leaves the old or the new content of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stacks import home


def test_variables_are_read_at_every_call_and_folders_are_private(tmp_path: Path, monkeypatch):
    for name in ("one", "two"):
        monkeypatch.setenv("SKYWRIGHT_HOME", str(tmp_path / name / "deep"))
        assert home.home() == tmp_path / name / "deep"
        assert home.home().stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("SKYWRIGHT_CACHE", str(tmp_path / "cache"))
    assert home.cache() == tmp_path / "cache"


def test_defaults_are_in_the_users_home(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("SKYWRIGHT_HOME", "SKYWRIGHT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert home.home() == tmp_path / ".skywright"
    assert home.cache() == tmp_path / ".cache" / "skywright"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert home.cache() == tmp_path / "xdg" / "skywright"


def test_a_failed_write_leaves_the_old_content_and_no_draft(tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    home.write(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o600

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        home.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_json_round_trip(tmp_path: Path):
    assert home.read_json(tmp_path / "absent") is None
    home.write_json(tmp_path / "file", {"ü": [1]})
    assert home.read_json(tmp_path / "file") == {"ü": [1]}
