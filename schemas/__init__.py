"""The published contracts as JSON, shared by every part. `load(name)` reads one."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any


@cache
def load(name: str) -> dict[str, Any]:
    """One schema, such as `task.v1.json`, as plain data that nobody may change. Raises FileNotFoundError."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded
