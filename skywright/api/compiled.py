"""Plain data of Python into the compiler's Task, by the way that a task file takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from compiler.task import Task

FILE = "python"
"""Stands where the name of a task file would."""

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def compiled(data: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Task:
    """The Task of data with a task file's shape. Raises Problems task/... as a file would, without places."""
    from compiler.load import load
    from stacks import CLOUDS

    try:
        task = load(_content(data), FILE, clouds=tuple(CLOUDS), defaults=defaults)
    except Problems as wrong:
        raise Problems(replace(problem, place=None) for problem in wrong.problems) from None
    hints = tuple(replace(hint, place=None) for hint in task.hints)
    return replace(task, source=None, hints=hints)


def _content(data: Mapping[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False)
    # What JSON leaves as it is and YAML reads as a line's end, or not at all.
    text = _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Problems(Problem("task/not-utf8", "the task holds text that is not Unicode")) from None
