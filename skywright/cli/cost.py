"""`cost`: what deployments cost beside what their plans said, also those that are gone; and the words for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect, never_used

Row = dict[str, Any]

FIGURES = (
    *(
        "estimate",
        "spent",
        "compute",
        "disk",
        "address",
        "transfer",
        "idle",
        "on_demand",
        "compared",
        "saved",
    ),
    *("bargain", "running_s", "idle_s", "stopped_s", "lost_work_s", "preemptions", "recoveries", "runs"),
    "planned",
)
"""What is added up, in the order of the columns of --csv."""

FACTS = ("name", "project", "owner", "task", "where", "market", "nodes", "created", "ended")


def run(values: Values) -> int:
    """One row per deployment, or per what `--by` says, and one line for all."""
    rows = [] if never_used() else connect().cost(values.names, values.by)
    if values.names and not rows:
        named = ", ".join(f"`{screen.printable(name)}`" for name in values.names)
        hint = f"`{screen.PROGRAM} cost` lists all that were"
        raise Problems(
            Problem("control/no-such-deployment", f"there was no deployment called {named}", hint=hint)
        )
    total = summed(rows)
    if values.json:
        screen.data({values.by or "deployments": rows, "total": total})
    elif values.csv:
        _csv(rows, values.by)
    elif not rows:
        screen.out("no deployments")
    else:
        _table(rows, values.by)
        screen.out(" · ".join(line(total)))
    return int(Exit.FINE)


def summed(rows: Sequence[Row]) -> Row:
    """All figures of all rows."""
    return {name: sum(row[name] for row in rows) for name in FIGURES}


def _table(rows: Sequence[Row], by: str | None) -> None:
    head = [
        *([by.upper()] if by else ["NAME", "WHERE"]),
        *("NODE TIME", "ESTIMATE", "ACTUAL", "SAVED", "IDLE", "WORK LOST"),
        *([] if by else ["STATE"]),
    ]
    shown = [
        [
            *([row[by]] if by else [row["name"], f"{row['where']} {row['market']}"]),
            screen.span(row["running_s"]),
            screen.money(row["estimate"]) if row["planned"] else "-",
            exact(row["spent"]),
            _saved(row),
            exact(row["idle"]),
            screen.span(row["lost_work_s"]) if row["preemptions"] else "-",
            *([] if by else ["there" if row["ended"] is None else f"gone {screen.ago(row['ended'])}"]),
        ]
        for row in rows
    ]
    first = 1 if by else 2
    screen.show_table(head, shown, right=tuple(range(first, first + 6)))


def _saved(row: Row) -> str:
    if not row["compared"] and not row["on_demand"]:
        return "-"
    return ("-" if row["saved"] < 0 else "") + exact(abs(row["saved"]))


def line(row: Row) -> list[str]:
    """The figures as parts of one line: the sum, then what is known beside it."""
    parts = [f"{exact(row['spent'])} in all"]
    if row["planned"]:
        runs = f" for {row['planned']} of {screen.plural(row['runs'], 'run')}"
        parts.append(
            f"estimated {screen.money(row['estimate'])}{runs if row['planned'] < row['runs'] else ''}"
        )
    if row["on_demand"] > 0 and abs(row["saved"]) >= 0.005:
        share = abs(row["saved"]) / row["on_demand"]
        than = "less" if row["saved"] >= 0 else "more"
        parts.append(f"{exact(abs(row['saved']))} ({share:.0%}) {than} than on demand")
    if row["idle"]:
        parts.append(f"{exact(row['idle'])} idle")
    if row["preemptions"]:
        parts.append(losses(row))
    beside = row["disk"] + row["address"] + row["transfer"]
    if beside:
        parts.append(f"{exact(beside)} of it for disks, addresses and data, as planned")
    return parts


def exact(amount: float) -> str:
    """What was paid, to the cent: `$1,437.20`; estimates are told by screen.money."""
    return f"${amount:,.2f}" if amount >= 1000 else screen.money(amount)


def losses(row: Row) -> str:
    """`3 preemptions, 6 min of work lost`."""
    return (
        f"{screen.plural(row['preemptions'], 'preemption')}, {screen.span(row['lost_work_s'])} of work lost"
    )


def _csv(rows: Sequence[Row], by: str | None) -> None:
    import csv

    names = [*([by] if by else FACTS), *FIGURES]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row, name) for name in names])


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    text = "" if value is None else str(value)
    # A spreadsheet would take a name that begins so for a formula.
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) and name not in FIGURES else text
