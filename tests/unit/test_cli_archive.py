"""Folders into archives."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from compiler.files import Sync
from compiler.problem import Problems
from skywright.cli.archive import pack


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return sorted(member.name for member in tar.getmembers() if not member.isdir())


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    files = {"a.py": "print(1)\n", "sub/b.txt": "b", "sub/deep/c": ""}
    one, two = tree(tmp_path / "one", files), tree(tmp_path / "two", dict(reversed(list(files.items()))))
    os.utime(two / "a.py", (1, 1))
    first, second = pack(one, tmp_path / "out"), pack(two, tmp_path / "out")
    assert first.digest == second.digest
    assert first.files == 3
    (two / "a.py").write_text("print(2)\n")
    assert pack(two, tmp_path / "out").digest != first.digest


def test_gitignore_files_hold_from_their_folder_on(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "code",
        {
            ".gitignore": "*.log\n/build/\n!keep.log\n",
            "a.log": "",
            "keep.log": "",
            "build/x": "",
            "src/build/y": "",
            "src/.gitignore": "secret\n",
            "src/secret": "",
            "secret": "",
            ".git/info/exclude": "local.txt\n",
            "local.txt": "",
        },
    )
    assert names(pack(root, tmp_path / "out").path) == sorted(
        [".gitignore", ".git/info/exclude", "keep.log", "src/build/y", "src/.gitignore", "secret"]
    )


def test_skyignore_wins(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "code",
        {
            ".skyignore": "./data\n*.bin\n",
            ".gitignore": "a.py\n",
            "a.py": "",
            "data/x": "",
            "sub/data/y": "",
            "m.bin": "",
        },
    )
    assert names(pack(root, tmp_path / "out").path) == sorted(
        [".skyignore", ".gitignore", "a.py", "sub/data/y"]
    )


def test_links_stay_links_and_the_executable_bit_stays(tmp_path: Path) -> None:
    root = tree(tmp_path / "code", {"run.sh": "#!/bin/sh\n"})
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("run.sh")
    (root / "broken").symlink_to("/nowhere/at/all")
    os.link(root / "run.sh", root / "same")
    os.mkfifo(root / "pipe")
    with tarfile.open(pack(root, tmp_path / "out").path) as tar:
        found = {member.name: member for member in tar.getmembers()}
    assert sorted(found) == ["broken", "link", "run.sh", "same"]
    assert found["link"].issym()
    assert found["broken"].linkname == "/nowhere/at/all"
    assert found["run.sh"].mode & 0o111
    assert found["same"].isreg()
    assert found["same"].size == found["run.sh"].size


def test_a_file_is_packed_alone(tmp_path: Path) -> None:
    tree(tmp_path, {"words.txt": "words", "other": ""})
    assert names(pack(tmp_path / "words.txt", tmp_path / "out").path) == ["words.txt"]


def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problems) as caught:
        pack(tmp_path / "nothing", tmp_path / "out")
    assert caught.value.problems[0].code == "task/unreadable-file"


def test_pipes_and_sockets_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"a.py": "x"})
    os.mkfifo(root / "events")
    packed = pack(root, tmp_path / "out")
    assert packed.skipped == ("events",)
    assert names(packed.path) == ["a.py"]


def test_sync_chooses_files_of_a_folder(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "models", {"a.pt": "", "a.log": "", "deep/b.pt": "", "deep/c.txt": "", "tmp/d.pt": ""}
    )
    (root / "nothing").mkdir()

    def chosen(include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[str]:
        return names(pack(root, tmp_path / "out", Sync(include, exclude)).path)

    assert chosen(("*.pt",), ("tmp/",)) == ["a.pt", "deep/b.pt"]
    assert chosen(exclude=("*.log", "deep/*.txt")) == ["a.pt", "deep/b.pt", "tmp/d.pt"]
    assert chosen(include=("deep",)) == ["deep/b.pt", "deep/c.txt"]
    assert pack(root, tmp_path / "out", Sync()).digest == pack(root, tmp_path / "out").digest
    assert names(pack(root / "a.log", tmp_path / "out", Sync(("*.pt",))).path) == ["a.log"]
