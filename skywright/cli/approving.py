"""`preview --out` and `up --approved`: what was previewed as a file, and exactly that applied, or refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import reviewing, screen, settings
from skywright.cli.arguments import Values
from skywright.cli.taskfile import Entry, is_file, read_entry

if TYPE_CHECKING:
    from skywright.cli.reviewing import Asked
    from skywright.review.approval import Facts
    from skywright.review.report import Report

ENDING = ".approval.json"
"""How approvals end: they lie beside what they approve, and must not change it."""


def write(values: Values, shape: str) -> int:
    """Preview, print that, and write the approval beside the tasks. Of a preview that fails or is denied none is
    written; the exit code says which."""
    from skywright.cli.preview import tell
    from skywright.review import approval

    out = Path(values.given["out"]).expanduser()
    if not out.name.endswith(ENDING):
        says = f"`{out.name}` does not end in `{ENDING}`, by which approvals are told from what they approve"
        raise Problems(Problem("usage/flag-value", says, hint=f"--out {out.with_suffix('').name}{ENDING}"))
    found = [(file, values.cluster_name) for file in _files(values)]
    asked, report = _previewed(values, found)
    code = tell(report, shape)
    if report.exit is not Exit.FINE:
        screen.say(f"no approval was written: {_why(report)}")
        return code
    _replace(out, approval.written(_facts(values, asked, report, out.parent)))
    screen.say(f"{out}: `{screen.PROGRAM} up --approved {out}` applies exactly this, or refuses")
    return code


def apply(values: Values) -> int:
    """Preview again and apply what was approved, without a question. Raises Problems approval/differs for each fact
    that moved, approval/edited, approval/unreadable."""
    from skywright.cli.launch import follow, order
    from skywright.review import approval

    path = Path(values.given["approved"]).expanduser()
    approved = approval.read(_content(path), str(path))
    if named := approved["tasks"][0]["spec"].get("owner"):
        os.environ[settings.OWNER] = named  # whose nodes they are was approved, whoever applies it
    found = _meant(values, approved, path)
    asked, report = _previewed(values, found, apply=True)
    _refuse_failed(report)
    differs = approval.differences(approved, _facts(values, asked, report, path.parent))
    if differs:
        hint = "look at it again: `preview FILE --out APPROVAL`, and have that approved"
        raise Problems([Problem("approval/differs", says, hint=hint) for says in differs])
    if report.denied:
        from skywright.cli.preview import tell

        return tell(report, "json" if values.json else "terminal")
    _may_change(asked)
    for one in asked:
        hourly = f"{screen.money(one.plan.chosen.hourly)}/h"
        screen.say(f"▶ {one.entry.name}: as approved, {one.plan.chosen.offer.where}, {hourly}")
    taken = [order(values, one.entry, one.plan, one.living) for one in asked]
    codes = [follow(values, one.entry, *run) for one, run in zip(asked, taken, strict=True)]
    return max(codes)


def _previewed(
    values: Values, found: Sequence[tuple[str, str | None]], *, apply: bool = False
) -> tuple[list[Asked], Report]:
    from compiler.load import missing
    from skywright.cli.launch import connect, never_used, ready_engine

    client = None if never_used() else connect()
    entries = [_entry(values, file, name) for file, name in found]
    if apply and (needed := [one for entry in entries for one in missing(entry.task, secrets=True)]):
        raise Problems(needed)
    asked = [reviewing.ask(values, entry, client) for entry in entries]
    ready_engine(quiet=bool(values.json))
    return asked, reviewing.of_asked(values, asked)


def _entry(values: Values, file: str, name: str | None) -> Entry:
    if not is_file((file,)):
        says = f"`{file}` is no task file, and only files can be approved"
        raise Problems(Problem("approval/no-file", says, hint="write the command as `run` of a task file"))
    return read_entry(values, (file,), name)


def _files(values: Values) -> tuple[str, ...]:
    """The task files that the words name."""
    words = tuple(values.entry)
    files = reviewing.task_files(words) or (words if is_file(words) else ())
    if not files:
        says = f"`{screen.printable(' '.join(words))[:60]}` is a command, and only task files can be approved"
        raise Problems(Problem("approval/no-file", says, hint="write it as `run` of a task file"))
    if len(files) > 1 and values.cluster_name:
        says = "`--cluster-name` is of one task, and there are several"
        raise Problems(Problem("usage/flag-value", says, hint="name them in their files: `name: NAME`"))
    return files


def _meant(values: Values, approved: Facts, path: Path) -> list[tuple[str, str | None]]:
    """Files with the names of their deployments: those of the words, else those that the approval names."""
    known = {_place(path.parent, one["file"]): one["name"] for one in approved["tasks"]}
    if tuple(values.entry) == (values.given["approved"],):
        return [(_shown(file), values.cluster_name or name) for file, name in known.items()]
    return [
        (file, values.cluster_name or known.get(Path(file).expanduser().absolute()))
        for file in _files(values)
    ]


def _place(folder: Path, file: str) -> Path:
    """Where a file of an approval lies. One that leads elsewhere than below the approval's root is refused later: no
    task is there."""
    return Path(os.path.normpath(folder.absolute() / file))


def _shown(path: Path) -> str:
    """As a person would type it here."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near


def _facts(values: Values, asked: Sequence[Asked], report: Report, folder: Path) -> Facts:
    from skywright.cli.order import options
    from skywright.cli.planning import settled
    from skywright.review import approval

    rows = [row for row in report.rows if not row.is_foundation]
    subjects = [
        approval.Subject(
            task=one.entry.task,
            row=row,
            project=one.spec.project,
            file=Path(os.path.relpath(Path(one.entry.task.file).expanduser(), folder)).as_posix(),
            files=_sent(one.entry),
            options={
                **options(settled(one.entry.task, one.plan.chosen), one.plan.chosen, values),
                "setup": not values.no_setup,
            },
        )
        for one, row in zip(asked, rows, strict=True)
        if row.plan
    ]
    return approval.facts(subjects, report, tools=_tools(asked), policy=_policy(asked))


def _sent(entry: Entry) -> dict[str, str]:
    """Place on the node -> digest of what goes there, by the rules of what is sent; approvals, and what a version
    control keeps for itself, are no part of what runs."""
    from compiler.paths import WORKDIR
    from skywright.cli.archive import members
    from skywright.review import tree

    def kept(source: Path) -> Iterator[tuple[Path, str]]:
        for path, name in members(source):
            if not _is_approval(path) and ".git" not in Path(name).parts:
                yield path, name

    task = entry.task
    sources = {target: Path(source).expanduser() for target, source in task.file_mounts.items()}
    if task.workdir is not None:
        sources[WORKDIR] = Path(task.workdir).expanduser()
    try:
        return {target: tree.digest(kept(source)) for target, source in sorted(sources.items())}
    except OSError as error:
        says = f"`{error.filename}` cannot be read: {error.strerror}"
        raise Problems(Problem("task/unreadable-file", says)) from None


def _is_approval(path: Path) -> bool:
    """By what is in it: the name alone would let anything change unseen."""
    from skywright.review import approval

    if not path.name.endswith(ENDING) or path.is_symlink() or not path.is_file():
        return False
    try:
        approval.read(path.read_bytes(), str(path))
    except Problems:
        return False
    return True


def _tools(asked: Sequence[Asked]) -> dict[str, Any]:
    """What previews and applies here."""
    from importlib.metadata import PackageNotFoundError, version

    from skywright import __version__
    from skywright.review import tree
    from stacks import cloud, engine, install, plugins
    from stacks.provider import agents, plugin

    found = install.find()
    clouds = sorted({one.spec.cloud for one in asked})
    pinned = dict(pair for name in clouds for pair in plugins.providers(cloud(name).EXTRA or ""))
    if engine.OWN_PROVIDER.intersection(clouds):
        pinned["skywright"] = plugin.VERSION
    sdks = {}
    for name in ("pulumi", *(f"pulumi-{one}" for one in pinned if one != "skywright")):
        try:
            sdks[name] = version(name)
        except PackageNotFoundError:
            sdks[name] = "none"
    return {
        "skywright": __version__,
        "code": tree.own(),
        "agent": agents.digest(),
        "engine": found.version if found else "none",
        "sdks": sdks,
        "plugins": pinned,
    }


def _policy(asked: Sequence[Asked]) -> str | None:
    """The rules that hold for these tasks; None where nobody made any."""
    from compiler.codec import encode
    from compiler.spec import digest

    found = sorted({digest(rules) for one in asked if (rules := encode(one.entry.config.policy))})
    return digest(found) if found else None


def _refuse_failed(report: Report) -> None:
    problems = [row.problem for row in report.rows if row.problem]
    if problems:
        raise Problems(problems)


def _may_change(asked: Sequence[Asked]) -> None:
    """Raises Problems of what is not possible while a deployment lives, approved or not."""
    from skywright.cli.living import agreed

    for one in asked:
        if one.living:
            agreed(one.living, one.entry, yes=True)


def _why(report: Report) -> str:
    failed = [row.name or row.stack for row in report.rows if row.problem]
    return f"{', '.join(failed)} could not be previewed" if failed else "the policy denies it"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        says = f"the approval `{path}` cannot be read: {error.strerror}"
        raise Problems(
            Problem("approval/unreadable", says, hint="name the file that `--out` wrote")
        ) from None


def _replace(out: Path, content: str) -> None:
    from stacks import home

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        home.write(out, content.encode(), mode=0o644)
    except OSError as error:
        says = f"`{error.filename or out}` cannot be written: {error.strerror}"
        raise Problems(Problem("machine/cannot-write", says)) from None
