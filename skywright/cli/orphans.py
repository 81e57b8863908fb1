"""`orphans`: nodes that exist in a cloud and belong to no deployment."""

from __future__ import annotations

from compiler.problem import Exit
from skywright.cli import screen, settings
from skywright.cli.arguments import Values
from skywright.cli.launch import connect


def run(values: Values) -> int:
    """List them, and with --delete remove them."""
    client = connect()
    env = settings.cloud_env()
    told = client.orphans(env=env)
    found = told["orphans"]
    if values.delete and found:
        names = ", ".join(one["node"] for one in found)
        if not screen.confirm(f"remove {names}?", yes=bool(values.yes), without=f"{names} would be removed"):
            return int(Exit.FINE)
        told = client.orphans(delete=True, env=env)
        found = told["orphans"]
    if values.json:
        screen.data(told)
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
    for one in told["unasked"] if not values.json else ():
        screen.say(f"not asked: {one['place']}: {screen.printable(one['problem']['message'])}")
    return int(Exit.FINE)
