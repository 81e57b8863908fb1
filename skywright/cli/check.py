"""`check`: is this machine ready: engine, state, control, clouds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from compiler.problem import Exit, Problem, Problems
from skywright import __version__
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.settings import engine_env


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer. `ok` None means: off, or not there yet, and no mistake."""

    what: str
    says: str
    ok: bool | None = True
    hint: str | None = None


def run(values: Values) -> int:
    """Every line; exit 4 when something that is needed is not right."""
    lines = [*_engine(), *_state(), *_control(), *_clouds(values.clouds)]
    if values.json:
        screen.data(
            {
                "version": __version__,
                "lines": [
                    {"what": line.what, "says": line.says, "ok": line.ok, "hint": line.hint} for line in lines
                ],
            }
        )
    else:
        width = max(len(line.what) for line in lines)
        for line in lines:
            mark = {True: "ok", False: "no", None: "--"}[line.ok]
            colour = {True: screen.GREEN, False: screen.RED, None: screen.GREY}[line.ok]
            screen.out(
                f"{screen.paint(mark, colour)}  {line.what.ljust(width)}  {screen.printable(line.says)}"
            )
            if line.hint and (values.verbose or line.ok is not True):
                screen.out(f"    {' ' * width}  {screen.paint(line.hint, screen.GREY)}")
    return int(Exit.REFUSED if any(line.ok is False for line in lines) else Exit.FINE)


def _engine() -> list[Line]:
    from stacks import install

    engine = install.find()
    if engine is None:
        go = "with the Go that is here" if shutil.which("go") else "with Go, once there is one on PATH"
        says = "none yet; the first `up` downloads one where get.pulumi.com answers, or builds one " + go
        hint = f"{screen.PROGRAM} engine tries it now; or install Pulumi {install.VERSION} and put it on PATH"
        return [Line("engine", says, None, hint)]
    return [Line("engine", f"pulumi {engine.version}, {engine.how.value}", hint=engine.why)]


def _state() -> list[Line]:
    from stacks import backend

    try:
        found = backend.settle(engine_env())
    except Problems as problems:
        problem = problems.problems[0]
        return [Line("state", problem.message, False, problem.hint)]
    return [Line("state", found.env["PULUMI_BACKEND_URL"].partition("?")[0])]


def _control() -> list[Line]:
    from skywright.control.client import Client
    from stacks.home import home

    try:
        health = Client.connect(home(), start=False).health()
    except Problems as problems:
        problem = problems.problems[0]
        if problem.code == "control/not-running":
            return [Line("control", "not running; it starts when it is needed", None)]
        return [Line("control", problem.message, False, problem.hint)]
    there = screen.plural(health["deployments"], "deployment")
    return [Line("control", f"running, pid {health['pid']}, {there}")]


def _clouds(wanted: tuple[str, ...]) -> list[Line]:
    from stacks import CLOUDS, cloud

    for name in wanted:
        if name not in CLOUDS:
            hint = f"there are: {', '.join(CLOUDS)}"
            raise Problems(Problem("usage/unknown-cloud", f"`{name}` is not a cloud here", hint=hint))
    return [
        Line(name, check.says, check.ok, check.hint)
        for name in wanted or CLOUDS
        for check in cloud(name).check()
    ]
