"""`cost-report`: what deployments cost in SkyPilot's words, also those that are gone; `cost` tells more of the same."""

from __future__ import annotations

import time

from compiler.problem import Exit
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect, never_used


def run(values: Values) -> int:
    """Newest first, with the sum."""
    rows = [] if never_used() else connect().cost()
    if values.days is not None:
        since = time.time() - values.days * 86400
        rows = [row for row in rows if (row["ended"] or time.time()) >= since]
    total = sum(row["spent"] for row in rows)
    if values.json:
        screen.data({"deployments": rows, "total": total})
        return int(Exit.FINE)
    free = [row for row in rows if not row["spent"]]
    shown = rows if values.all or len(free) == len(rows) else [row for row in rows if row["spent"]]
    if not shown:
        screen.out("no deployments")
        return int(Exit.FINE)
    screen.show_table(
        ["NAME", "WHERE", "NODES", "UP", "$/H", "SPENT", "STATE"],
        [
            [
                row["name"],
                f"{row['where']} {row['market']}",
                str(row["nodes"]),
                screen.span(row["up_s"]),
                screen.money(row["hourly"]),
                screen.money(row["spent"]),
                f"gone {screen.ago(row['ended'])}" if row["gone"] else "there",
            ]
            for row in shown
        ],
        right=(2, 4, 5),
    )
    left_out = (
        f" · {screen.plural(len(rows) - len(shown), 'free one')} not shown" if len(rows) > len(shown) else ""
    )
    screen.out(f"{screen.money(total)} in all{left_out}")
    return int(Exit.FINE)
