"""From what was typed to a Task: a task file or a command, with the flags that override its fields."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.config import Config

if TYPE_CHECKING:
    from compiler.pipeline import Pipeline
    from compiler.task import Task

LIMIT = 2 * 1024 * 1024
"""Bytes of a task file that are read at all; the compiler refuses earlier."""

DIRECT = ("instance_type", "image_id", "disk_tier", "network_tier", "local_disk", "job_recovery", "priority")
"""Flags that have a field's name and take what it takes."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """The task, the name of its deployment, and whether it came from a file or is a command."""

    task: Task
    name: str
    is_file: bool
    config: Config = field(default_factory=lambda: Config())


def read_entry(values: Values, words: Sequence[str], name: str | None, clouds: Sequence[str] = ()) -> Entry:
    """The task of `words` with the overrides of `values`; `name` is the deployment's when one was given.
    `clouds` are those that the task may name beside the ones that run here.

    Raises Problems task/... and usage/...
    """
    from compiler.load import load
    from stacks import CLOUDS

    if name is not None:
        check_name(name)
    if words[0].startswith("-"):
        advice = f"flags of {values.verb} come before it; a command begins with a program: sh -c '...'"
        shown = screen.printable(words[0])[:60]
        raise Problems(
            Problem("usage/not-an-entry", f"`{shown}` is neither a task file nor a command", hint=advice)
        )
    from skywright import config

    over = overrides(values)
    if is_file(words):
        content, shown = read_file(words[0]), words[0]
    else:
        command = words[0] if len(words) == 1 else " ".join(words)
        content, shown = json.dumps({"run": command}, ensure_ascii=False).encode(), "command"
    named = tuple(dict.fromkeys((*CLOUDS, *clouds)))
    start = Path(words[0]).expanduser().absolute().parent if is_file(words) else None
    settings = config.read(start)
    task = load(content, shown, clouds=named, overrides=over, defaults=settings.under_task())
    if task.hints and not values.json:
        for hint in task.hints:
            screen.remark("hint", hint)
    if name is None:
        name = task.deployment if is_file(words) or task.name else _fresh_name()
    return Entry(task, name, is_file(words), settings)


def read_entries(
    values: Values, word: str, clouds: Sequence[str] = ()
) -> tuple[Pipeline, tuple[Entry, ...]] | None:
    """The tasks of a file of several documents; None when it has one. `clouds` as of `read_entry`.

    Raises Problems task/..., usage/... .
    """
    from compiler.pipeline import load_all
    from skywright import config
    from stacks import CLOUDS

    content = read_file(word)
    if not re.search(rb"^---", content, re.MULTILINE):
        return None
    settings = config.read(Path(word).expanduser().absolute().parent)
    found = load_all(
        content,
        word,
        clouds=tuple(dict.fromkeys((*CLOUDS, *clouds))),
        overrides=overrides(values),
        defaults=settings.under_task(),
    )
    if len(found.tasks) == 1:
        return None
    if not values.json:
        for hint in found.hints:
            screen.remark("hint", hint)
    entries = zip(found.tasks, found.names, strict=True)
    return found, tuple(Entry(task, name, True, settings) for task, name in entries)


def is_file(words: Sequence[str]) -> bool:
    """Whether the words name a task file: one word, YAML by its name or a file that cannot be executed."""
    if len(words) != 1 or "\n" in words[0]:
        return False
    word = words[0]
    if word.endswith((".yaml", ".yml")):
        return not re.search(r"\s", word) or Path(word).exists()
    if re.search(r"\s", word):
        return False
    path = Path(word).expanduser()
    return path.is_dir() or (path.is_file() and not os.access(path, os.X_OK))


def read_file(word: str) -> bytes:
    """The bytes of a task file. Raises Problems task/no-such-file, task/unreadable-file."""
    path = Path(word).expanduser()
    try:
        if path.is_dir():
            hint = _there(path)
            raise Problems(Problem("task/no-such-file", f"`{word}` is a folder, not a task file", hint=hint))
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LIMIT:
                from compiler.source import too_large

                raise Problems(too_large(size, word))
            return file.read(LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        hint = _near(path)
        raise Problems(Problem("task/no-such-file", f"there is no file `{word}`", hint=hint)) from None
    except (OSError, ValueError) as error:
        says = error.strerror if isinstance(error, OSError) else str(error)
        raise Problems(Problem("task/unreadable-file", f"`{word}` cannot be read: {says}")) from None


def _near(path: Path) -> str | None:
    """What was probably meant: a file of nearly that name, whatever its ending; else what is there."""
    import difflib

    folder = path.parent
    by_stem = {Path(name).stem.lower(): name for name in reversed(_files(folder) or [])}
    near = difflib.get_close_matches(path.stem.lower(), by_stem, n=1, cutoff=0.75)
    return f"did you mean `{folder / by_stem[near[0]]}`?" if near else _there(folder)


def _there(folder: Path) -> str | None:
    names = _files(folder)
    if names is None:
        return f"there is no folder `{folder}`"
    return f"task files there: {', '.join(names[:5])}" if names else None


def _files(folder: Path) -> list[str] | None:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return None


def check_name(name: str) -> str:
    """A deployment's name as typed. Raises Problems usage/bad-name."""
    from compiler.task import VALID_NAME, deployment_name

    if not VALID_NAME.match(name):
        raise Problems(
            Problem(
                "usage/bad-name",
                f"`{name}` cannot be a deployment's name: small letters, digits and `-`, 40 at most",
                hint=f"for example `{deployment_name(name)}`",
            )
        )
    return name


def _fresh_name() -> str:
    import secrets

    return f"cmd-{secrets.token_hex(2)}"


def overrides(values: Values) -> dict[str, Any]:
    """The flags that override fields, in the shape of the file."""
    given = values.given
    top = {"name": given.get("name"), "workdir": given.get("workdir"), "num_nodes": given.get("num_nodes")}
    resources = {
        "infra": given.get("infra"),
        "cloud": given.get("cloud"),
        "region": given.get("region"),
        "zone": given.get("zone"),
        "cpus": given.get("cpus"),
        "memory": given.get("memory"),
        "accelerators": given.get("gpus"),
        "disk_size": given.get("disk_size"),
        "use_spot": given.get("use_spot"),
        **{name: given.get(name) for name in DIRECT},
        "ports": list(given.get("ports") or ()) or None,
    }
    if given.get("git_url"):
        top["workdir"] = {"url": given["git_url"], "ref": given.get("git_ref")}
    elif given.get("git_ref"):
        says = "`--git-ref` is of a repository, and none is given"
        raise Problems(Problem("usage/flag-value", says, hint="name it with `--git-url`"))
    over: dict[str, Any] = {key: value for key, value in top.items() if value is not None}
    picked = {key: value for key, value in resources.items() if value is not None}
    if picked:
        over["resources"] = picked
    for kind, flag in (("envs", "env"), ("secrets", "secret")):
        found: dict[str, str] = {}
        for path in given.get(f"{flag}_file") or ():
            found.update(env_file(path))
        for text in given.get(flag) or ():
            key, value = assignment(text, flag)
            found[key] = value
        if found:
            over[kind] = found
    return over


def assignment(text: str, flag: str) -> tuple[str, str]:
    """`KEY=VALUE`, or `KEY` with its value from the environment."""
    key, equals, value = text.partition("=")
    if not _NAME.match(key):
        shown = text if flag == "env" else key
        raise Problems(
            Problem("usage/bad-variable", f"`--{flag} {shown}` does not begin with a variable's name")
        )
    if equals:
        return key, value
    if key not in os.environ:
        raise Problems(
            Problem(
                "usage/not-in-environment",
                f"`--{flag} {key}` takes the value from your environment, and `{key}` is not set there",
                hint=f"export {key}=..., or give it here: --{flag} {key}=VALUE",
            )
        )
    return key, os.environ[key]


def env_file(word: str) -> dict[str, str]:
    """`KEY=VALUE` lines of a file: comments, `export`, and quotes around a value are understood."""
    try:
        text = Path(word).expanduser().read_bytes().decode()
    except (OSError, ValueError) as error:
        says = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Problems(Problem("usage/bad-env-file", f"`{word}` cannot be read: {says}")) from None
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ").lstrip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not _NAME.match(key):
            # The line itself is not shown: it may be part of a secret.
            raise Problems(Problem("usage/bad-env-file", f"line {number} of `{word}` is not KEY=VALUE"))
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].rstrip()
        found[key] = value
    return found
