"""A preview with its cost: rows as data, a plain table for a terminal, Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OPS = ("create", "update", "replace", "delete")


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that would change, and the properties that are why."""

    resource: str
    kind: str
    op: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return self.resource + (
            f": {', '.join(f'`{reason}`' for reason in self.reasons)}" if self.reasons else ""
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One stack: what would change, and `hourly`, the USD per hour that it costs afterwards."""

    stack: str
    changes: tuple[Change, ...]
    hourly: float

    def count(self, op: str) -> int:
        return sum(change.op == op for change in self.changes)

    @property
    def changed(self) -> bool:
        return bool(self.changes)

    def to_data(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "stack": self.stack,
            **{op: self.count(op) for op in OPS},
            "hourly": self.hourly,
            "resources": [
                {
                    "resource": change.resource,
                    "kind": change.kind,
                    "op": change.op,
                    "reasons": list(change.reasons),
                }
                for change in self.changes
            ],
        }


def row(stack: str, result: Mapping[str, Any], hourly: float) -> Row:
    """The row of a preview operation's result."""
    changes = tuple(
        Change(step["resource"], step["kind"], step["op"], tuple(step["reasons"]))
        for step in result["steps"]
        if step["op"] in OPS
    )
    return Row(stack, changes, hourly)


def table(rows: Sequence[Row]) -> str:
    """Aligned columns; stacks without a change are only counted."""
    changed = [row for row in rows if row.changed]
    lines = [("STACK", *(op.upper() for op in OPS), "$/H")]
    lines += [(row.stack, *(str(row.count(op)) for op in OPS), _money(row.hourly)) for row in changed]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    if len(changed) < len(rows):
        text.append(_unchanged(len(rows) - len(changed)))
    return "\n".join(text if changed else text[1:])


def markdown(rows: Sequence[Row]) -> str:
    """A section for a pull request: the sum first, a row per changed stack, details folded."""
    changed = [row for row in rows if row.changed]
    total = _money(sum(row.hourly for row in rows))
    stacks = (
        f"{len(changed)} stack{'' if len(changed) == 1 else 's'} change{'s' if len(changed) == 1 else ''}"
    )
    text = [f"### Skywright: {stacks}, {total}/h afterwards", ""]
    if changed:
        text += [f"| stack | {' | '.join(OPS)} | cost |", f"|---|{'---|' * len(OPS)}---|"]
        text += [
            f"| {row.stack} | {' | '.join(_cell(row, op) for op in OPS)} | {_money(row.hourly)}/h |"
            for row in changed
        ]
        text.append("")
    if len(changed) < len(rows):
        text += [_unchanged(len(rows) - len(changed)), ""]
    for one in changed:
        text += [f"<details><summary>{one.stack}</summary>", ""]
        text += [f"- {change.op} {change}" for change in one.changes]
        text += ["", "</details>", ""]
    return "\n".join(text)


def _cell(row: Row, op: str) -> str:
    count = row.count(op)
    if op != "replace" or not count:
        return str(count)
    # What destroys something is worth its reason in the first line that is read.
    return f"**{count}** " + "; ".join(str(change) for change in row.changes if change.op == op)


def _unchanged(count: int) -> str:
    return f"{count} stack{'' if count == 1 else 's'}: no changes"


def _money(usd: float) -> str:
    return f"${usd:,.2f}"
