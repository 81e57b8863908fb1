"""Old forms of a task file rewritten as new ones, by places in the text: comments and layout stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from compiler import pipeline, source
from compiler.notes import Path
from compiler.problem import Place, Problem, Problems
from compiler.source import Source

_LINES = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

_INNER = {"qps_upper_threshold": "target_qps_per_replica"}
"""Members of `autoscaling` by their name in `replica_policy`."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Text at a place that becomes other text; `whole` takes its whole line away."""

    place: Place
    old: str
    new: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Migration:
    """The new content, a sentence for each edit, and the hints that no edit could settle."""

    content: bytes
    done: tuple[str, ...]
    left: tuple[Problem, ...]


def migrate(content: bytes, file: str, *, clouds: Sequence[str]) -> Migration:
    """Rewrite what has a newer form; the tasks mean the same afterwards. Raises Problems of a wrong file."""
    before = pipeline.load_all(content, file, clouds=clouds)
    if not before.hints:
        return Migration(content, (), ())
    edits: dict[tuple[int, int], Edit] = {}
    for document in source.parse_all(content, file):
        for edit in _edits(document):
            edits[(edit.place.line, edit.place.column)] = edit
    made = _applied(content, list(edits.values()))
    try:
        after = pipeline.load_all(made, file, clouds=clouds)
    except Problems as wrong:
        after = None
        reason = wrong.problems[0].message
    if after is None or after != before:
        says = (
            f"the new form would mean something else: {reason}"
            if after is None
            else "the meaning would change"
        )
        raise Problems(Problem("task/cannot-migrate", says, before.hints[0].place, "rewrite it by hand"))
    done = tuple(
        f"{edit.place}: `{edit.old}` is gone"
        if edit.whole
        else f"{edit.place}: `{edit.old}` is `{edit.new}` now"
        for _, edit in sorted(edits.items())
    )
    return Migration(made, done, after.hints)


def _edits(document: Source) -> Iterator[Edit]:
    data = document.data if isinstance(document.data, dict) else {}
    resources = data.get("resources")
    if isinstance(resources, dict):
        yield from _resources(document, ("resources",), resources)
        for name in ("any_of", "ordered"):
            for index, one in enumerate(resources.get(name) or ()):
                yield from _resources(document, ("resources", name, index), one)
    service = data.get("service")
    old = service.get("autoscaling") if isinstance(service, dict) else None
    if isinstance(old, dict) and old.get("min_replicas") is not None:
        path: Path = ("service", "autoscaling")
        yield from _renamed(document, path, "replica_policy")
        for name, new in _INNER.items():
            if name in old:
                yield from _renamed(document, (*path, name), new)
        if "qps_lower_threshold" in old:
            yield from _line(document, (*path, "qps_lower_threshold"))


def _resources(document: Source, path: Path, data: Any) -> Iterator[Edit]:
    if not isinstance(data, dict):
        return
    if data.get("ephemeral_storage") is not None:
        yield from _renamed(document, (*path, "ephemeral_storage"), "disk_size")
    if data.get("spot_recovery") is None:
        return
    yield from _renamed(document, (*path, "spot_recovery"), "job_recovery")
    value = document.place((*path, "spot_recovery"))
    if value and str(data["spot_recovery"]).strip().lower() == "auto":
        shown = value.text[value.column - 1 : value.column - 1 + value.width]
        yield Edit(value, shown, "eager_next_region")


def _renamed(document: Source, path: Path, new: str) -> Iterator[Edit]:
    place = document.place(path, key=True)
    if place:
        yield Edit(place, place.text[place.column - 1 : place.column - 1 + place.width], new)


def _line(document: Source, path: Path) -> Iterator[Edit]:
    """The line of a member, when it has one of its own."""
    place = document.place(path, key=True)
    if place and not place.text[: place.column - 1].strip() and "}" not in place.text:
        yield Edit(place, str(path[-1]), "", whole=True)


def _applied(content: bytes, edits: list[Edit]) -> bytes:
    mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    text = content.decode("utf-8-sig")
    starts = [0, *(found.end() for found in _LINES.finditer(text))]
    for edit in sorted(edits, key=lambda one: (one.place.line, one.place.column), reverse=True):
        line = starts[edit.place.line - 1]
        if edit.whole:
            end = starts[edit.place.line] if edit.place.line < len(starts) else len(text)
            text = text[:line] + text[end:]
        else:
            at = line + edit.place.column - 1
            text = text[:at] + edit.new + text[at + len(edit.old) :]
    return mark + text.encode()
