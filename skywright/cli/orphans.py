"""`orphans`: what clouds have of ours that no state knows, and what states know that no cloud has."""

from __future__ import annotations

from typing import Any

from compiler.problem import Exit
from skywright.cli import screen, settings
from skywright.cli.arguments import Values
from skywright.cli.launch import connect


def run(values: Values) -> int:
    """List them, and with --delete remove what is shown to be ours and unused."""
    from stacks import CLOUDS

    client = connect()
    env = settings.engine_env(clouds=tuple(CLOUDS))
    told = client.orphans(env=env)
    going = [one["node"] for one in told["orphans"] if one["ours"]] + [one["what"] for one in told["things"]]
    if values.delete and going:
        names = ", ".join(going)
        if not screen.confirm(f"remove {names}?", yes=bool(values.yes), without=f"{names} would be removed"):
            return int(Exit.FINE)
        told = client.orphans(delete=True, env=env)
    if values.json:
        screen.data(told)
    else:
        _show(told, deleted=bool(values.delete), going=bool(going))
    return int(Exit.FINE)


def _show(told: dict[str, Any], *, deleted: bool, going: bool) -> None:
    """Nodes, other things, what states know in vain, and on stderr what could not be asked."""
    if not (told["orphans"] or told["things"]):
        screen.out("no orphans: all that exists belongs to a deployment")
    if told["orphans"]:
        screen.show_table(
            ["NODE", "CLOUD", "PROJECT", "ADDRESS", "CREATED", "WHY"],
            [
                [one["node"], one["cloud"], one["project"], one["address"], one["created"], one["reason"]]
                for one in told["orphans"]
            ],
        )
    if told["things"]:
        rows = [[one["what"], one["stack"], one["reason"]] for one in told["things"]]
        screen.show_table(["THING", "STACK", "WHY"], rows)
    if going:
        screen.say("removed" if deleted else f"remove them: {screen.PROGRAM} orphans --delete")
    if told["lost"]:
        rows = [[one["resource"], one["kind"], one["id"], one["stack"]] for one in told["lost"]]
        screen.show_table(["LOST", "KIND", "ID", "STACK"], rows)
        names = dict.fromkeys(one["deployment"] for one in told["lost"])
        screen.say(
            f"in a state and in no cloud: `up` makes them again, `down {' '.join(names)}` forgets them"
        )
    for one in told["unasked"]:
        screen.say(f"not asked: {one['place']}: {screen.printable(one['problem']['message'])}")
