"""`login`: deployments go on with the credentials of this shell."""

from __future__ import annotations

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect
from skywright.cli.names import meant
from skywright.cli.settings import cloud_env


def run(values: Values) -> int:
    """Hand over the variables of each deployment's clouds; a cloud that refuses them leaves the old ones."""
    client = connect()
    done, refused = [], list[Problem]()
    for one in meant(client, values.names, everything=bool(values.all), verb="login"):
        try:
            done.append(client.login(one["name"], cloud_env(clouds=one["clouds"])))
        except Problems as problems:
            refused += problems.problems
            continue
        if not values.json:
            screen.say(f"{one['name']}: {done[-1]['cloud']} accepts them")
    if refused:
        raise Problems(refused)
    if values.json:
        screen.data({"deployments": done})
    return int(Exit.FINE)
