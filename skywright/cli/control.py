"""`control`: where this home's control is; `serve` runs one here, over a file of the home or a team's PostgreSQL."""

from __future__ import annotations

import os
import sys

from compiler.problem import Exit, Problem, Problems, quote
from skywright.cli import screen
from skywright.cli.arguments import Values

SERVER = "skywright.control.server"


def run(values: Values) -> int:
    """Show, or serve: this process becomes the server."""
    if values.action is None and values.store is None and values.port is None:
        return _show(values)
    if values.action != "serve":
        what = (
            "`control` without `serve`"
            if values.action is None
            else f"`control` has no action {quote(values.action)}"
        )
        raise Problems(Problem("usage/unknown-command", what, hint="`skywright control serve`"))
    return _serve(values)


def _show(values: Values) -> int:
    from skywright.control.client import Client
    from stacks.home import home

    found = Client.connect(home(), start=False).health()
    if values.json:
        screen.data(found)
        return int(Exit.FINE)
    screen.out(f"control {found['version']}, pid {found['pid']}, {found['deployments']} deployments")
    rows = [[row["url"], str(row["pid"]), str(row["holds"])] for row in found.get("replicas", ())]
    if rows:
        screen.show_table(["REPLICA", "PID", "LOOKS AFTER"], rows, right=(1, 2))
    return int(Exit.FINE)


def _serve(values: Values) -> int:
    from stacks.home import home

    env = dict(os.environ)
    if values.store is not None:
        if values.store != "local" and not values.store.startswith(("postgresql://", "postgres://")):
            says = f"{quote(values.store)} is no place for control's rows"
            raise Problems(
                Problem("usage/bad-store", says, hint="`postgresql://USER@HOST/DATABASE`, or `local`")
            )
        env["SKYWRIGHT_CONTROL_STORE"] = values.store
    if values.port is not None:
        env["SKYWRIGHT_CONTROL_PORT"] = str(values.port)
    folder = home() / "control"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chdir(folder)  # `-m` looks there first: never where the user is
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", SERVER, "--replica"], env)  # noqa: S606
