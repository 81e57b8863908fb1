"""`eject`: a deployment's stack as a plain Pulumi project; with `--release` it is forgotten here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen, settings
from skywright.cli.arguments import Values
from skywright.cli.launch import connect, ready_engine
from skywright.cli.names import pick

if TYPE_CHECKING:
    from compiler.spec import StackSpec
    from stacks.backend import Backend
    from stacks.eject.project import Project


def run(values: Values) -> int:
    """Record what the program registers, write the project, and hand the stack over where that is asked for."""
    client = connect()
    (found,) = pick(client.deployments(), [values.name])[:1]
    name = found["name"]
    spec = _stack(found)
    out = Path(values.folder).expanduser()
    _usable(out)
    if values.release and not _agreed(found, yes=bool(values.yes)):
        return int(Exit.FINE)
    ready_engine(quiet=bool(values.json))
    made, place = record(spec)
    _write(out, made)
    if values.release:
        client.release(name)
    if values.json:
        data: dict[str, Any] = {
            "name": name,
            "stack": spec.stack,
            "out": str(out),
            "files": sorted(made.files),
        }
        screen.data({**data, "resources": made.resources, "released": bool(values.release)})
        return int(Exit.FINE)
    for path in sorted(made.files):
        screen.out(str(out / path))
    screen.say(
        f"{screen.plural(made.resources, 'resource')} of stack {spec.stack}; to look at it from there:"
    )
    for line in [*place.splitlines(), f"pulumi preview --stack {spec.stack}"]:
        screen.say(f"  {line}")
    if values.release:
        screen.say(f"{name} is forgotten here; nothing in the cloud was touched")
    else:
        screen.say(
            f"{name} is still looked after from here, until `{screen.PROGRAM} eject {name} DIR --release`"
        )
    return int(Exit.FINE)


def record(spec: StackSpec) -> tuple[Project, str]:
    """The project of a stack that stands, and the lines of a shell that say where its state is.

    Raises Problems eject/not-settled when a preview of the stack as it is would change something.
    """
    from skywright.cli.operating import carry_out
    from stacks import backend
    from stacks.eject.project import project
    from stacks.operate import Kind

    env = settings.engine_env(clouds=[spec.cloud])
    result = carry_out(Kind.PREVIEW, spec, env, record=True)
    changes = {what: count for what, count in result["changes"].items() if count and what != "same"}
    recording = result.get("recording")
    if changes or recording is None:
        text = ", ".join(f"{count} {what}" for what, count in sorted(changes.items())) or "no such stack"
        raise Problems(
            Problem(
                "eject/not-settled",
                f"stack {spec.stack} is not as its program says: {text}",
                hint=f"`{screen.PROGRAM} preview FILE` shows what, `{screen.PROGRAM} up FILE` makes it so",
            )
        )
    place = _place(backend.settle(env))
    return project(spec, recording, place), place


def _stack(found: dict[str, Any]) -> StackSpec:
    from compiler.spec import StackSpec
    from stacks.engine import OWN_PROVIDER

    name = found["name"]
    if not found["spec"] or found["state"] in ("gone", "removing", "pending", "provisioning", "failed"):
        raise Problems(
            Problem(
                "eject/not-settled",
                f"`{name}` is {found['state']}: it has no stack to hand over",
                hint=f"eject it when it is up: `{screen.PROGRAM} status {name}`",
            )
        )
    spec = StackSpec.from_data(found["spec"])
    if spec.cloud in OWN_PROVIDER:
        raise Problems(
            Problem(
                "eject/own-provider",
                f"`{name}` runs on `{spec.cloud}`, whose nodes are made by a provider of skywright itself",
                hint="a project without skywright could not make them; eject a deployment of a cloud",
            )
        )
    return spec


def _agreed(found: dict[str, Any], *, yes: bool) -> bool:
    """Nodes end themselves some time after nobody speaks to them: that is worth a question."""
    name = found["name"]
    told = f"`{name}` would be forgotten: nothing recovers it any more, and its nodes end when control stays silent"
    screen.say(told)
    return screen.confirm(f"release {name}?", yes=yes, without=told)


def _place(settled: Backend) -> str:
    """Where the state is and how its secrets are read, as a person's shell takes it; never a password."""
    from stacks import home

    if not settled.embedded:
        return "# PULUMI_BACKEND_URL and the passphrase or key of its secrets stay as they are in your shell"
    root = home.home()
    shown = str(root)
    if root.is_relative_to(Path.home()):
        shown = f"~/{root.relative_to(Path.home())}"
    passphrase = settled.env.get("PULUMI_CONFIG_PASSPHRASE_FILE", "")
    lines = [f"export PULUMI_BACKEND_URL=file://{shown}/state?metadata=skip"]
    if passphrase == str(root / "passphrase"):
        lines.append(f"export PULUMI_CONFIG_PASSPHRASE_FILE={shown}/passphrase")
    return "\n".join(lines)


def _usable(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not _ours(out))):
        raise Problems(
            Problem(
                "usage/folder-in-use",
                f"`{out}` is there and was not written by `eject`",
                hint="name another folder",
            )
        )


def _ours(out: Path) -> bool:
    from stacks.eject.project import DESCRIPTION

    try:
        return DESCRIPTION in (out / "Pulumi.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _write(out: Path, made: Project) -> None:
    """Each file in one step; what an earlier eject left and this one does not have goes."""
    from stacks import home

    try:
        for name, content in made.files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            home.write(path, content, mode=0o644)
        folder = out / "files"
        for path in folder.iterdir() if folder.is_dir() else ():
            if f"files/{path.name}" not in made.files:
                os.unlink(path)
    except OSError as error:
        raise Problems(
            Problem("machine/cannot-write", f"`{error.filename or out}` cannot be written: {error.strerror}")
        ) from None
