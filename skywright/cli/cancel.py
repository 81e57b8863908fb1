"""`cancel`: stops runs; the nodes stay."""

from __future__ import annotations

from compiler.problem import Exit
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect
from skywright.cli.logs import run_number


def run(values: Values) -> int:
    """Stop the named runs, all with --all, else the running one (the newest waiting one when none runs)."""
    client = connect()
    numbers = [run_number(word) for word in values.runs]
    stopped = client.cancel(values.name, None if values.all else numbers)
    if values.json:
        screen.data({"name": values.name, "runs": stopped})
    elif stopped:
        screen.say(f"{values.name}: stopping run {', '.join(map(str, stopped))}")
    else:
        screen.say(f"{values.name}: nothing runs")
    return int(Exit.FINE)
