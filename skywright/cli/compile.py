"""`explain` and `compile`: the plan and its reasons, and the folder that people review."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.planning import capabilities, catalog_clouds, make_plan, make_spec
from skywright.cli.settings import project
from skywright.cli.taskfile import Entry, read_entry
from stacks import CLOUDS

if TYPE_CHECKING:
    from compiler.plan import Plan
    from compiler.spec import StackSpec
    from compiler.task import Task

STYLES = {"chosen": screen.BOLD, "grey": screen.GREY}


def run(values: Values) -> int:
    """Both verbs; which one it is stands in `values.verb`."""
    by_time = values.minimize == "time"
    if values.verb == "compile":
        entry = read_entry(values, (_yaml(values.file),), values.cluster_name)
        return _compile(values, entry, make_plan(entry, secrets=False, by_time=by_time))
    entry = read_entry(values, (_yaml(values.file),), values.cluster_name, clouds=catalog_clouds())
    plan = make_plan(
        entry,
        refuse=False,
        clouds=_clouds(values, entry),
        exact=bool(values.exact),
        now=time.time(),
        by_time=by_time,
    )
    place = plan.chosen.offer.cloud
    if values.json:
        from compiler.runnable import refusals

        refused = [problem.to_data() for problem in refusals(entry.task, capabilities(place))]
        screen.data({**plan.to_data(), "not_runnable_yet": refused})
    else:
        from compiler.explain import lines

        for line in lines(entry.task, plan):
            screen.out(screen.paint(line.text, STYLES[line.style]) if line.style in STYLES else line.text)
        say_refused(entry.task, place)
    return int(Exit.FINE)


def _clouds(values: Values, entry: Entry) -> tuple[str, ...]:
    """All clouds of the catalog with --all-clouds, or those that the task names; none: those that run here.

    This machine costs nothing and would hide every price, so it does not compete with all clouds.
    """
    own = (one.cloud for one in entry.config.prices.machines if one.cloud not in CLOUDS)
    known = tuple(dict.fromkeys((*catalog_clouds(), *own)))
    named = [one.cloud for one in entry.task.options]
    if values.all_clouds and None in named:
        return known
    priced = tuple(dict.fromkeys(cloud for cloud in named if cloud in known))
    return (*priced, *(cloud for cloud in CLOUDS if cloud in named or None in named)) if priced else ()


def say_refused(task: Task, cloud: str) -> None:
    """What the plan is right about and `up` would refuse on this cloud."""
    from compiler.runnable import refusals

    for problem in refusals(task, capabilities(cloud)):
        screen.remark("cannot run yet", problem)


def _yaml(word: str) -> str:
    """These verbs take no commands: a word is a file whatever its name."""
    from skywright.cli.taskfile import is_file, read_file

    if not is_file((word,)):
        read_file(word)
    return word


def _compile(values: Values, entry: Entry, plan: Plan) -> int:
    from compiler.folder import files
    from stacks import plugins

    named = project()
    stacks: dict[str, StackSpec] = {}
    for placement in plan.written():
        spec = make_spec(entry, placement, named)
        # Zones and sizes of one region share a stack: the first of them is the one that is wanted.
        stacks.setdefault(spec.stack, spec)
    specs = tuple(stacks.values())
    source = Path(values.file).expanduser()
    out = Path(values.out).expanduser() if values.out else source.with_suffix(".compiled")
    made = files(plan, specs, project=named)
    _write(out, made)
    # Plain Pulumi looks for our provider in its own cache, by exact version.
    plugins.keep(Path(os.environ.get("PULUMI_HOME") or "~/.pulumi"))
    if values.json:
        data: dict[str, Any] = {"out": str(out), "files": sorted(made), "project": named}
        screen.data({**data, "stacks": [{"stack": spec.stack, "digest": spec.digest} for spec in specs]})
    else:
        for name in sorted(made):
            screen.out(str(out / name))
        screen.say(f"{screen.plural(len(specs), 'stack')} to review; plain `pulumi preview` works in it too")
    return int(Exit.FINE)


def _write(out: Path, made: dict[str, bytes]) -> None:
    """Put the files into `out`, each in one step; stack files of an earlier compile that are no more go."""
    from stacks import home

    try:
        if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "plan.json").exists())):
            hint = "name another folder with --out"
            raise Problems(
                Problem(
                    "usage/folder-in-use", f"`{out}` is there and was not written by `compile`", hint=hint
                )
            )
        out.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_bytes() != content:
                home.write(path, content, mode=0o644)
        for path in out.glob("Pulumi.*.yaml"):
            if path.name not in made:
                path.unlink()
    except OSError as error:
        raise Problems(
            Problem("machine/cannot-write", f"`{error.filename or out}` cannot be written: {error.strerror}")
        ) from None
