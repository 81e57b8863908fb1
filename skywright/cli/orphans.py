"""`orphans`: nodes that exist in a cloud and belong to no deployment."""

from __future__ import annotations

from compiler.problem import Exit
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect


def run(values: Values) -> int:
    """List them, and with --delete remove them."""
    client = connect()
    found = client.orphans()
    if values.delete and found:
        names = ", ".join(one["node"] for one in found)
        if not screen.confirm(f"remove {names}?", yes=bool(values.yes), without=f"{names} would be removed"):
            return int(Exit.FINE)
        found = client.orphans(delete=True)
    if values.json:
        screen.data({"orphans": found})
    elif not found:
        screen.out("no orphans: every node belongs to a deployment")
    else:
        screen.show_table(
            ["NODE", "CLOUD", "PROJECT", "ADDRESS", "CREATED", "WHY"],
            [
                [one["node"], one["cloud"], one["project"], one["address"], one["created"], one["reason"]]
                for one in found
            ],
        )
        screen.say("removed" if values.delete else f"remove them: {screen.PROGRAM} orphans --delete")
    return int(Exit.FINE)
