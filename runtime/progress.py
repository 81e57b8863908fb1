"""Reads what the task says about its progress: the last whole line of a file, kept small."""

from __future__ import annotations

import json
import os
from typing import Any, Optional

READ = 8192
MOST = 4096


def last_progress(path: str) -> Optional[dict[str, Any]]:
    """Numbers and short strings of the last whole line that is a JSON object; None when there is none."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - READ))
            lines = file.read(READ).split(b"\n")[:-1]
    except OSError:
        return None
    for line in reversed(lines[1:] if size > READ else lines):
        found = _object(line)
        if found is not None:
            return found
    return None


def _object(line: bytes) -> Optional[dict[str, Any]]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    found: dict[str, Any] = {}
    size = 2
    for name, value in data.items():
        plain = isinstance(value, str) or (isinstance(value, (int, float)) and abs(value) < 1e300)
        if not plain or isinstance(value, bool):
            continue
        size += len(json.dumps(name)) + len(json.dumps(value)) + 4
        if size > MOST:
            break
        found[name] = value
    return found
