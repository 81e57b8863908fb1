"""`stop` and `start`: nodes rest with their disks and come back as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.follow import waits_for_login
from skywright.cli.launch import connect, timeline_end
from skywright.cli.names import confirm_many, meant

if TYPE_CHECKING:
    from collections.abc import Callable

    from skywright.control.client import Client

WAIT_S = 20.0


def run(values: Values) -> int:
    """Both verbs: begin with all, then follow each to its end."""
    client = connect()
    stops = values.verb == "stop"
    found = meant(client, values.names, everything=bool(values.all), verb=values.verb)
    if not confirm_many(found, values.names, yes=bool(values.yes), doing=values.verb):
        return int(Exit.FINE)
    refused, begun = list[Problem](), {}
    for one in found:
        name = one["name"]
        after = timeline_end(client, name)
        try:
            (client.stop if stops else client.start)(name)
            begun[name] = after
        except Problems as problems:
            refused += problems.problems
    results = []
    for name, after in begun.items():
        ended = {"state": None} if values.detach else wait(client, name, after, stops=stops)
        results.append({"name": name, "state": ended["state"]})
        if not values.detach and not is_done(ended, stops=stops) and ended["problem"]:
            refused.append(Problem.of(ended["problem"]))
        elif not values.json and not values.detach:
            mark = screen.paint("✔", screen.GREEN)
            screen.say(f"{mark} {name} {'is stopped; its disks stay' if stops else 'is there again'}")
    if refused:
        raise Problems(refused)
    if values.json:
        screen.data({"deployments": results})
    return int(Exit.FINE)


def wait(
    client: Client,
    name: str,
    after: int,
    *,
    stops: bool,
    show: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Follow until it rests or is back, or until that was refused. `show` is given the events."""
    from skywright.cli.live import display

    shown = display() if show is None else None
    wait_s = 0.0
    try:
        while True:
            answer = client.follow(name, after, wait_s)
            after, wait_s = answer["next"], WAIT_S
            for event in answer["events"]:
                shown.event(event) if shown else show and show(event)
            deployment: dict[str, Any] = answer["deployment"]
            given_up = deployment["wanted"] == "up" if stops else deployment["state"] in ("failed", "gone")
            if is_done(deployment, stops=stops) or given_up or waits_for_login(deployment):
                return deployment
            if shown:
                shown.tick()
    finally:
        if shown:
            shown.close()


def is_done(deployment: dict[str, Any], *, stops: bool) -> bool:
    """Does it rest, or is every node there again?"""
    if stops:
        return bool(deployment["state"] == "stopped")
    return deployment["state"] in ("idle", "setup", "running")
