"""`compile`: the folder that people review."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.planning import make_plan, make_spec
from skywright.cli.settings import project
from skywright.cli.taskfile import Entry, read_entry

if TYPE_CHECKING:
    from compiler.plan import Plan
    from compiler.spec import StackSpec


def run(values: Values) -> int:
    """Compile one task file."""
    entry = read_entry(values, (yaml_file(values.file),), values.cluster_name)
    return _compile(values, entry, make_plan(entry, secrets=False, by_time=values.minimize == "time"))


def yaml_file(word: str) -> str:
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
