"""Writes docs/files.md: every module with the first line of its docstring. `python -m tests.filemap`"""

from __future__ import annotations

import ast
import subprocess
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAP = ROOT / "docs" / "files.md"
HEAD = """\
# Every module and its job

Made by `python -m tests.filemap` from the first line of each module's docstring.
"""


def text() -> str:
    """The map as it should be now."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    parts = [HEAD]
    for folder, names in groupby(
        sorted(map(Path, set(listed.split())), key=lambda path: (path.parent, path.name)),
        lambda path: path.parent,
    ):
        rows = [f"- `{path.as_posix()}` {_job(ROOT / path)}" for path in names if _job(ROOT / path)]
        if rows:
            parts.append(f"## {folder.as_posix()}/\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _job(path: Path) -> str:
    lines = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    first = ""
    for line in lines:
        if not line:
            break
        first = f"{first} {line}".strip()
    return first


if __name__ == "__main__":
    MAP.write_text(text())
