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
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from stacks import CLOUDS

    for name in wanted:
        if name not in CLOUDS:
            hint = f"there are: {', '.join(CLOUDS)}"
            raise Problems(Problem("usage/unknown-cloud", f"`{name}` is not a cloud here", hint=hint))
    names = list(wanted or CLOUDS)

    async def all_at_once() -> list[list[Line]]:
        return list(await asyncio.gather(*(_cloud(name, asked=name in wanted) for name in names)))

    with ThreadPoolExecutor(max_workers=1) as pool:  # in a notebook a loop runs here already
        return [line for lines in pool.submit(lambda: asyncio.run(all_at_once())).result() for line in lines]


async def _cloud(name: str, *, asked: bool) -> list[Line]:
    """One cloud's lines. One that nobody set up is off, and no mistake unless somebody asked for it by name."""
    from stacks import asking, cloud
    from stacks.home import home

    module = cloud(name)
    off = not asked and not module.configured()
    try:
        if module.EXTRA is None:
            checks = module.check()
        else:  # an SDK, which takes its time and may break
            checks = await asking.ask(name, "check", env={}, folder=home())
        lines = [Line(name, one.says, None if off and not one.ok else one.ok, one.hint) for one in checks]
    except Problems as problems:
        problem = problems.problems[0]
        return [Line(name, problem.message, False, problem.hint)]
    except Exception as error:
        hint = "this is a mistake of ours or of its SDK; please report it"
        return [Line(name, f"it could not be checked: {type(error).__name__}: {error}", False, hint)]
    return lines if off or module.EXTRA is None else [*lines, *_plugin(name, module.EXTRA)]


def _plugin(name: str, extra: str) -> list[Line]:
    """Whether the engine has the cloud's provider already."""
    from stacks import backend, plugins

    home = backend.settle(engine_env()).pulumi_home
    found = []
    for provider, version in plugins.providers(extra):
        there = plugins.is_there(home, provider, version)
        says = f"provider {provider} {version}" + (
            "" if there else ": not here yet; the first `up` fetches it"
        )
        found.append(
            Line(name, says, True if there else None, f"./invoke setup --extra {extra} fetches it now")
        )
    return found
