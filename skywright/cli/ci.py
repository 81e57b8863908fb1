"""`ci github`: writes the workflows that preview, apply and watch over stacks in GitHub Actions."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright import __version__
from skywright.cli import screen
from skywright.cli.arguments import Values

if TYPE_CHECKING:
    from skywright.config import Config
    from skywright.review.workflow_steps import Facts

LOGINS = ("aws", "gcp", "azure")
"""Clouds that take a job's own identity."""
TASKS = frozenset({"run", "setup", "resources", "service"})
"""A task has at least one of these fields."""
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*\Z")
RUNNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def run(values: Values) -> int:
    """Print the workflows, or with --write write them. Raises Problems usage/..., machine/cannot-write."""
    if values.action != "github":
        says = f"`ci` writes workflows for `github`, not for `{screen.printable(values.action)[:40]}`"
        raise Problems(Problem("usage/unknown-action", says, hint="github"))
    from skywright import config
    from skywright.review import workflows

    root = _root()
    settings = config.read(root)
    facts, left = _facts(values, root, settings)
    wanted = workflows.render(facts)
    found = {name: _read(root / name) for name in wanted}
    states = {name: workflows.state(found[name], text) for name, text in wanted.items()}
    if values.write:
        _write(root, wanted, states, force=bool(values.force))
    _tell(values, wanted, states, workflows.variables(facts), left)
    return int(Exit.FINE)


def _tell(
    values: Values,
    wanted: Mapping[str, str],
    states: Mapping[str, Any],
    variables: tuple[str, ...],
    left: tuple[str, ...],
) -> None:
    from skywright.review.workflows import State

    written = {
        State.ABSENT: "written",
        State.SAME: "unchanged",
        State.OLDER: "updated",
        State.EDITED: "replaced",
    }
    would = {
        State.ABSENT: "new",
        State.SAME: "unchanged",
        State.OLDER: "differs",
        State.EDITED: "edited by hand",
    }
    says = {name: (written if values.write else would)[states[name]] for name in wanted}
    if values.json:
        files = [{"file": name, "state": says[name], "text": text} for name, text in wanted.items()]
        screen.data({"files": files, "variables": list(variables), "left": list(left)})
        return
    for name, text in wanted.items():
        screen.out(f"{name}: {says[name]}" if values.write else f"# {name}: {says[name]}\n{text}")
    for one in left:
        screen.say(f"  by hand: {one}")
    screen.say(f"variables of the repository that they read: {', '.join(variables)}")
    if not values.write:
        screen.say("write them: " + screen.PROGRAM + " ci github --write")


def _root() -> Path:
    """The checkout that we are in."""
    here = Path.cwd().absolute()
    for folder in (here, *here.parents):
        if (folder / ".git").exists():
            return folder
    raise Problems(Problem("usage/no-repository", "this folder is in no git repository", hint="git init"))


def _facts(values: Values, root: Path, settings: Config) -> tuple[Facts, tuple[str, ...]]:
    """What the workflows are made of, and what is left to be done by hand."""
    from skywright.review.workflow_steps import Facts
    from skywright.review.workflows import PINNED, RELEASE

    tasks, left = _tasks(values.tasks, root)
    documents = [data for name in _matching(tasks, root) for data in _documents(root / name)]
    clouds = settings.clouds or _clouds(documents) or LOGINS
    logins = tuple(name for name in LOGINS if name in clouds)
    if "kubernetes" in clouds:
        left = (*left, "kubernetes: a step that writes the KUBECONFIG of the cluster, after the login")
    release, branch, runner = values.release, values.branch or "main", values.runner
    for flag, text, form in (
        ("release", release, RELEASE),
        ("branch", branch, BRANCH),
        ("runner", runner, RUNNER),
    ):
        if text is not None and not form.match(text):
            says = f"`--{flag}` cannot be {screen.printable(text)[:80]!r}"
            raise Problems(Problem("usage/flag-value", says))
    if release is None:
        left = (
            *left,
            f"the variable SKYWRIGHT_RELEASE: what pip installs, pinned (this is {__version__}); or --release",
        )
    elif not PINNED.search(release):
        says = f"`--release` is not pinned: {release[:80]}"
        hint = "NAME==VERSION, an address with #sha256=..., or git+https://...@COMMIT"
        raise Problems(Problem("usage/flag-value", says, hint=hint))
    if runner is None:
        left = (*left, "recovery: --runner LABEL, of a machine that stays and keeps what control knows")
    given = settings.given.get("gcp")
    regions = settings.regions.get("aws")
    facts = Facts(
        tasks,
        logins,
        release,
        branch,
        _folders(documents),
        runner,
        regions[0] if regions else None,
        given.account if given else None,
    )
    return facts, left


def _tasks(words: tuple[str, ...], root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names or patterns from the root, and remarks about files that cannot be named in a workflow."""
    from skywright.review.workflows import WORD

    if words:
        bad = [word for word in words if not WORD.match(word) or ".." in word.split("/")]
        if bad:
            says = f"{screen.printable(bad[0])[:80]!r} cannot be a task file's name or pattern in a workflow"
            hint = "from the repository's root: letters, digits, `-`, `_`, `.`, `/` and `*`"
            raise Problems(Problem("usage/flag-value", says, hint=hint))
        return tuple(dict.fromkeys(words)), ()
    found = [name for name in _matching(("**/*.yaml", "**/*.yml"), root) if any(_documents(root / name))]
    named = tuple(name for name in found if WORD.match(name) and "*" not in name)
    left = tuple(f"{name!r} has a name that no workflow can say" for name in found if name not in named)
    if not named:
        hint = "name them: ci github 'tasks/*.yaml'"
        raise Problems(Problem("usage/no-tasks", "no task file is known to git here", hint=hint))
    return named, left


def _matching(patterns: Iterable[str], root: Path) -> list[str]:
    """Files that git knows, or would after `git add`, in order of their names."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    try:
        done = subprocess.run(
            [*words, *(f":(glob){pattern}" for pattern in patterns)],
            cwd=root,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        says = "git cannot list the files of this repository"
        detail = getattr(error, "stderr", b"") or b""
        hint = screen.printable(detail.decode(errors="replace"))[:200] or "is git installed?"
        raise Problems(Problem("usage/no-repository", says, hint=hint)) from None
    names = {name.decode(errors="surrogateescape") for name in done.stdout.split(b"\0") if name}
    return sorted(name for name in names if not name.startswith(".") and (root / name).is_file())


def _documents(path: Path) -> Iterator[Mapping[str, Any]]:
    """The tasks in a file; none of one that is something else, or cannot be read."""
    import schemas
    from compiler import source

    known = set(schemas.load("task.v1.json")["properties"])
    try:
        for document in source.parse_all(path.read_bytes(), str(path)):
            data = document.data
            ours = isinstance(data, dict) and set(data) <= known and bool(set(data) & TASKS)
            if ours:
                yield data
    except (Problems, OSError):
        return


def _clouds(documents: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Clouds that tasks name; none as soon as one task may go anywhere."""
    from compiler.catalog import clouds

    named: set[str] = set()
    for data in documents:
        resources = data.get("resources")
        wishes = [resources] if isinstance(resources, dict) else []
        for key in ("any_of", "ordered"):
            more = wishes[0].get(key) if wishes else None
            wishes += [one for one in more if isinstance(one, dict)] if isinstance(more, list) else []
        places = [str(wish.get("infra") or wish.get("cloud") or "").partition("/")[0] for wish in wishes]
        if not any(places):
            return ()
        named.update(clouds.canonical(place) for place in places if place)
    return tuple(sorted(named))


def _folders(documents: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Folders whose content is part of a task, as filters; everything when one is the repository itself."""
    from skywright.review.workflows import WORD

    found = []
    for data in documents:
        workdir = data.get("workdir")
        if isinstance(workdir, str) and not workdir.startswith(("/", "~")) and "://" not in workdir:
            name = workdir.removeprefix("./").rstrip("/")
            found.append(
                f"{name}/**" if name not in ("", ".") and WORD.match(name) and ".." not in name else "**"
            )
    return tuple(sorted(set(found)))


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problems(
            Problem("machine/cannot-write", f"`{path}` cannot be read: {error.strerror}")
        ) from None


def _write(root: Path, wanted: Mapping[str, str], states: Mapping[str, Any], *, force: bool) -> None:
    """All or, when one was edited by hand and nobody insists, none."""
    from skywright.review.workflows import State
    from stacks import home

    edited = [name for name in wanted if states[name] is State.EDITED]
    if edited and not force:
        says = f"`{edited[0]}` was edited by hand, or is not ours; nothing was written"
        hint = "--force replaces it; or keep your own steps in a workflow beside it"
        raise Problems(Problem("usage/edited-by-hand", says, hint=hint))
    try:
        for name, text in wanted.items():
            path = root / name
            if states[name] is not State.SAME:
                path.parent.mkdir(parents=True, exist_ok=True)
                home.write(path, text.encode(), mode=0o644)
    except OSError as error:
        says = f"`{error.filename or root}` cannot be written: {error.strerror}"
        raise Problems(Problem("machine/cannot-write", says)) from None
