"""`autostop`: when idle nodes are given back."""

from __future__ import annotations

from compiler.problem import Exit
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect
from skywright.cli.names import confirm_many, meant

DEFAULT_MINUTES = 5
"""What SkyPilot takes when no minutes are given."""


def run(values: Values) -> int:
    """Set or cancel it for the named deployments. Negative minutes cancel, as in SkyPilot."""
    client = connect()
    found = meant(client, values.names, everything=bool(values.all), verb="autostop")
    minutes = DEFAULT_MINUTES if values.idle_minutes is None else values.idle_minutes
    idle_s = None if values.cancel or minutes < 0 else minutes * 60
    if not confirm_many(found, values.names, yes=bool(values.yes), doing="set autostop of"):
        return int(Exit.FINE)
    downs = []
    for deployment in found:
        down = client.autostop(deployment["name"], idle_s, bool(values.down))["down"]
        downs.append(down)
        if values.json:
            continue
        if idle_s is None:
            screen.say(f"{deployment['name']}: stays until `{screen.PROGRAM} down {deployment['name']}`")
        else:
            verb = "removed" if down else "stopped"
            screen.say(f"{deployment['name']}: {verb} after {screen.span(idle_s)} without a run")
    if values.json:
        names = [deployment["name"] for deployment in found]
        screen.data({"names": names, "idle_s": idle_s, "down": all(downs)})
    return int(Exit.FINE)
