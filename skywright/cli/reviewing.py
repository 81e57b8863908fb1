"""Task files into a report: each planned, then previewed by an engine operation of its own, two at a time."""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from compiler.spec import digest
from skywright.cli import outside, policy, screen, settings
from skywright.cli.arguments import Values
from skywright.cli.planning import catalog_clouds, folder_of, make_plan, make_spec, recent_losses
from skywright.cli.sources import check_local
from skywright.cli.taskfile import Entry, read_entries, read_entry

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog
    from compiler.plan import Plan
    from compiler.spec import StackSpec
    from skywright.cli.living import Living
    from skywright.control.client import Client
    from skywright.review.report import Report, Row

AT_ONCE = 2
"""Previews that run together: each keeps about one core busy."""

YAML = (".yaml", ".yml")
MAGIC = frozenset("*?[")

OWN_FLAGS = frozenset(
    ("json", "markdown", "format", "yes", "detach", "dryrun", "cluster_name", "out", "approved")
)
"""Flags that belong to a preview, not to what is brought up later; a name is told where it is one stack's."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One stack to preview: the task, the plan for it, its stack, and the living deployment of that name."""

    entry: Entry
    plan: Plan
    spec: StackSpec
    living: Living | None = None


def task_files(words: Sequence[str]) -> tuple[str, ...] | None:
    """Files that the words name when they are more than one file: also folders (all below them) and patterns. None:
    they are one file, or a command. Raises Problems usage/no-task-files."""
    found: list[str] = []
    several = len(words) > 1
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            several = True
            inside = _below(path)
        elif MAGIC.intersection(word) and not path.exists() and not any(char.isspace() for char in word):
            several = True
            inside = sorted(glob.glob(str(path), recursive=True))
            inside = [one for one in inside if one.endswith(YAML) and Path(one).is_file()]
        elif word.endswith(YAML):
            inside = [word]
        else:
            return None
        if not inside:
            says = f"no task file is in `{word}`" if path.is_dir() else f"no task file matches `{word}`"
            raise Problems(Problem("usage/no-task-files", says, hint="task files end in .yaml or .yml"))
        found += inside
    return tuple(dict.fromkeys(found)) if several else None


def _below(folder: Path) -> list[str]:
    """Task files of a folder and of those below it; not what is hidden, and nothing that was compiled."""
    found = []
    for path in sorted(one for ending in YAML for one in folder.rglob(f"*{ending}")):
        inside = path.relative_to(folder).parts
        compiled = any((parent / "plan.json").exists() for parent in path.parents if folder in parent.parents)
        if not any(part.startswith(".") for part in inside) and not compiled and path.is_file():
            found.append(str(path))
    return found


def ask(values: Values, entry: Entry, client: Client | None) -> Asked:
    """Plan one entry. Raises its Problems."""
    from skywright.cli.living import look

    check_local(entry.task)
    plan = make_plan(
        entry,
        secrets=False,
        now=time.time(),
        by_time=values.minimize == "time",
        avoid=recent_losses(),
        judge=False,
    )
    living = look(client, entry, entry.name, values, plan.chosen.requirements) if client else None
    return asked(entry, plan, living)


def asked(entry: Entry, plan: Plan, living: Living | None) -> Asked:
    """What is to be previewed of a plan: of a living name, what `up` would do to its nodes."""
    spec = make_spec(entry, plan.chosen, settings.project())
    return Asked(entry, plan, living.stack(entry, spec) if living else spec, living)


def of_files(values: Values, files: Sequence[str]) -> Report:
    """The report of every task in these files. What is wrong with one stands in its row; the others go on."""
    from skywright.cli.launch import connect, never_used

    client = None if never_used() else connect()
    found: list[Asked | Row] = []
    names: dict[str, str] = {}
    for file in files:
        for entry in _entries(values, file):
            if isinstance(entry, Entry):
                found.append(_asked_or_failed(values, entry, file, client, names))
            else:
                found.append(entry)
    return _report(values, found)


def of_asked(values: Values, found: Sequence[Asked]) -> Report:
    """The report of stacks that are planned already. What is wrong with one stands in its row."""
    return _report(values, found)


def of_one(values: Values, one: Asked) -> Report:
    """The report of one stack. Raises its Problems."""
    result = operate(one)
    return _whole(values, [_rows(values, one, result, {})], [one.entry])


def operate(
    one: Asked, stopped: threading.Event | None = None, founded: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One preview operation, whose parent we are; its result, with what programs outside of ours find in it. `founded`
    is what it gave for the same foundation already. Raises Problems of the operation and of those programs."""
    from skywright.cli.operating import carry_out
    from stacks.operate import Kind

    env = settings.engine_env(clouds=[one.spec.cloud])
    living = one.living
    hourly = float(living.data["hourly"]) if living and living.fits else one.plan.chosen.hourly
    ruled = policy.for_order(one.entry, one.plan, one.spec, hourly)
    result = carry_out(Kind.PREVIEW, one.spec, env, stopped=stopped, policy=ruled, founded=founded)
    if commands := one.entry.config.policy.commands:
        result["findings"] += outside.judge(commands, outside.of_result(one.spec, result))
    return result


def _entries(values: Values, file: str) -> Iterator[Entry | Row]:
    """The tasks of a file, or the row that tells why there are none."""
    from skywright.review import rows

    try:
        several = read_entries(values, file)
        if several:
            yield from several[1]
        else:
            yield read_entry(values, (file,), None)
    except Problems as problems:
        yield rows.failed(Path(file).name, problems.problems[0], file=file)


def _asked_or_failed(
    values: Values, entry: Entry, file: str, client: Client | None, names: dict[str, str]
) -> Asked | Row:
    from skywright.review import rows

    try:
        if entry.name in names:
            says = f"`{file}` and `{names[entry.name]}` are the same deployment `{entry.name}`"
            hint = "give one of the tasks another `name`"
            raise Problems(Problem("usage/same-deployment", says, entry.task.place("name"), hint))
        names[entry.name] = file
        return ask(values, entry, client)
    except Problems as problems:
        return rows.failed(entry.name, problems.problems[0], name=entry.name, file=file)


def _report(values: Values, found: Sequence[Asked | Row]) -> Report:
    from skywright.review import rows

    catalogs: dict[Path | None, Catalog | None] = {}
    with _previewing(one for one in found if isinstance(one, Asked)) as running:
        parts: list[Sequence[Row]] = []
        for one in found:
            if not isinstance(one, Asked):
                parts.append((one,))
                continue
            try:
                parts.append(_rows(values, one, running[id(one)].result(), catalogs))
            except Problems as problems:
                name, file = one.entry.name, one.entry.task.file
                first = problems.problems[0]
                parts.append((rows.failed(one.spec.stack, first, name=name, file=file, plan=one.plan),))
    return _whole(values, parts, [one.entry for one in found if isinstance(one, Asked)])


@contextmanager
def _previewing(found: Iterable[Asked]) -> Iterator[dict[int, Future[dict[str, Any]]]]:
    """The results to come of all previews. Who is interrupted stops those that run, and begins no other.

    A foundation that several stacks need is looked at by the first of them, which all begin before the others.
    """
    stopped, wanted = threading.Event(), list(found)
    firsts = {key: one for one in reversed(wanted) if (key := _founding(one))}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="preview") as pool:
        running = {id(one): pool.submit(operate, one, stopped) for one in firsts.values()}
        for one in wanted:
            if id(one) not in running:
                key = _founding(one)
                first = running[id(firsts[key])] if key else None
                running[id(one)] = pool.submit(_after, one, stopped, first)
        try:
            yield running
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _founding(one: Asked) -> str | None:
    """What tells foundations apart, the rules that judge them with it; None where there is none."""
    founded = one.spec.foundation
    if founded is None:
        return None
    ruled = policy.for_order(one.entry, one.plan, one.spec, 0.0)
    rules = {name: value for name, value in ruled.items() if name != "asked"}
    return digest([founded.to_data(), rules])


def _after(one: Asked, stopped: threading.Event, first: Future[dict[str, Any]] | None) -> dict[str, Any]:
    """After the first of the same foundation; when that failed, as if there had been none."""
    found = first.result() if first and not first.exception() else {}
    return operate(one, stopped, found.get("foundation"))


def _rows(
    values: Values, one: Asked, result: dict[str, Any], catalogs: dict[Path | None, Catalog | None]
) -> tuple[Row, ...]:
    from skywright.review import rows

    folder = folder_of(one.entry)
    if folder not in catalogs:
        catalogs[folder] = _catalog(one, folder)
    return rows.rows(
        result,
        one.spec,
        one.plan,
        name=one.entry.name,
        file=one.entry.task.file if one.entry.is_file else "",
        apply=_again(values, one.entry),
        fields=one.living.changes if one.living else (),
        catalog=catalogs[folder],
    )


def _catalog(one: Asked, folder: Path | None) -> Catalog | None:
    if one.spec.cloud not in catalog_clouds():
        return None
    from skywright.catalog import open_catalog

    return open_catalog(folder)


def _whole(values: Values, parts: Sequence[Sequence[Row]], entries: Sequence[Entry]) -> Report:
    from skywright.review import rows

    shown = values.given.get("markdown") or values.given.get("format") or values.json
    folder = next((found for entry in entries if (found := folder_of(entry))), None)
    return rows.report(parts, commit=_commit(folder) if shown and folder else "", program=screen.PROGRAM)


def _commit(folder: Path) -> str:
    """What SKYWRIGHT_COMMIT names (a job has a merge of the host's checked out, which nobody knows), else the commit
    that is checked out where the task files lie; empty where there is none."""
    if named := re.fullmatch(r"[0-9a-f]{7,64}", os.environ.get("SKYWRIGHT_COMMIT", "")):
        return named[0][:12]
    words = ("git", "-C", str(folder), "rev-parse", "--short=12", "HEAD")
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def _again(values: Values, entry: Entry) -> str:
    """The words that bring up what was previewed: the file, and the flags that changed it; of values of variables
    only the names."""
    if not entry.is_file:
        return ""
    from skywright.cli.verbs import find

    verb = find("up")
    words = ["up", shlex.quote(entry.task.file)]
    if values.given.get("cluster_name"):
        words.append(f"-c {entry.name}")
    for flag in verb.flags if verb else ():
        given = values.given.get(flag.dest)
        if flag.dest in OWN_FLAGS or given is None or given == ():
            continue
        if isinstance(given, bool):
            words.append(f"--{flag.name if given else flag.off}")
        elif isinstance(given, tuple):
            named = flag.dest in ("env", "secret")
            words += [
                f"--{flag.name} {shlex.quote(one.partition('=')[0] if named else one)}" for one in given
            ]
        else:
            words.append(f"--{flag.name} {shlex.quote(str(given))}")
    return " ".join(words)
