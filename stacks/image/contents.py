"""The list of what a node image must contain, read from the agent, which carries it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "runtime" / "contents.py"


@cache
def contents() -> dict[str, Any]:
    """`programs`, `packages`, `users` and `folders`, as runtime/contents.py has them: a literal, never run here."""
    for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", None) == "CONTENTS":
            assert node.value is not None
            found: dict[str, Any] = ast.literal_eval(node.value)
            return found
    raise AssertionError(f"no list in {SOURCE}")
