"""Finds the Pulumi CLI, or gets it: PATH, our cache, the SDK's installer, or a build of the Go module."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from compiler.problem import Problem, Problems
from stacks import home

VERSION = "3.259.0"
"""The version of the SDK in pyproject.toml: both are raised together."""

INSTALLER = "https://get.pulumi.com/install.sh"
INSTALLER_LIMIT_S = 600.0
BUILD_LIMIT_S = 1800.0
TICK_S = 5.0
"""How often a long step says that it still runs."""

Progress = Callable[[str], None]


class Way(str, Enum):
    """How an engine came to be here."""

    PATH = "on PATH"
    INSTALLER = "downloaded by the SDK's installer"
    BUILD = "built from the Go module"


@dataclass(frozen=True, slots=True)
class Engine:
    """A Pulumi CLI that can be used. `why` is a sentence for `invoke engine`."""

    path: Path
    version: str
    how: Way
    why: str


def find() -> Engine | None:
    """The engine operations will use, or None. Starts a process only for a CLI on PATH it has not met.

    Raises Problems machine/cache-unusable.
    """
    with _usable():
        return _on_path()[0] or _cached()[0]


def ways() -> tuple[str, ...]:
    """What could give an engine here, without trying it: of `PATH`, `cache`, `Go build`, the first is taken.

    No network, no process but that of `find`. The installer is never among them: whether it can be reached shows
    only when it is tried, and it is tried before a build. Raises Problems machine/cache-unusable.
    """
    with _usable():
        found = (("PATH", _on_path()[0]), ("cache", _cached()[0]), ("Go build", shutil.which("go")))
    return tuple(name for name, there in found if there)


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Problems(home.unusable(error, home.cache() / "engine", "SKYWRIGHT_CACHE")) from None


def ensure(progress: Progress = lambda text: None) -> Engine:
    """`find`, or get one; `progress` is called with lines of text.

    Raises Problems engine/missing, machine/cache-unusable, machine/disk-full.
    """
    with _usable():
        on_path, path_says = _on_path()
        if on_path:
            return on_path
        cached, cache_says = _cached()
        if cached:
            return cached
        with _only_one(progress):
            cached, cache_says = _cached()
            return cached or _get(progress, [f"PATH: {path_says}", f"cache: {cache_says}"])


def _get(progress: Progress, said: list[str]) -> Engine:
    for way, fill, limit in (
        (Way.INSTALLER, _download, INSTALLER_LIMIT_S),
        (Way.BUILD, _build, BUILD_LIMIT_S),
    ):
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=_folder()))
        try:
            fill(making, progress, limit)
            version = _ask(making / "bin" / "pulumi")
            if version != VERSION:
                raise _Refused(f"it gave version {version or 'unknown'}, not {VERSION}")
            home.write_json(making / "engine.json", {"version": version, "how": way.value})
            target = _folder() / VERSION
            shutil.rmtree(target, ignore_errors=True)
            os.rename(making, target)
        except _Refused as refused:
            said.append(f"{_NAMES[way]}: {refused}")
        else:
            progress(f"engine: pulumi {VERSION}, {way.value}")
            engine, why = _cached()
            if engine is None:
                raise Problems(Problem("engine/missing", f"the engine was made but {why}"))
            return engine
        finally:
            shutil.rmtree(making, ignore_errors=True)
    raise Problems(
        Problem(
            "engine/missing",
            f"no Pulumi engine {VERSION} here, and none of four ways gave one:\n  " + "\n  ".join(said),
            hint=f"install Pulumi {VERSION} or newer and put it on PATH (https://www.pulumi.com/docs/install),\n"
            "or install Go and make a module proxy reachable (GOPROXY), then run this again",
        )
    )


_NAMES = {Way.INSTALLER: "installer", Way.BUILD: "Go build"}


class _Refused(Exception):
    """One way did not work; the text says why in a few words."""


# What is there already.


def _folder() -> Path:
    folder = home.cache() / "engine"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _on_path() -> tuple[Engine | None, str]:
    found = shutil.which("pulumi")
    if not found:
        return None, "no `pulumi` there"
    path = Path(found).resolve()
    version = _remembered(path)
    if not version:
        return None, f"{found} does not tell its version"
    if not _new_enough(version):
        return None, f"{found} is {version}, needed is {VERSION} or newer of the same major version"
    return Engine(path, version, Way.PATH, f"{found} is on PATH and new enough (>= {VERSION})"), ""


def _new_enough(version: str) -> bool:
    have, need = (_numbers(text) for text in (version, VERSION))
    return have[:1] == need[:1] and have >= need


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(int(part) for part in match.groups()) if match else (0, 0, 0)


def _remembered(path: Path) -> str | None:
    """Asking a CLI for its version takes 0.2 s: the answer is kept until the file changes."""
    note = _folder() / "path.json"
    facts = path.stat()
    key = [str(path), facts.st_size, facts.st_mtime_ns]
    try:
        known = home.read_json(note)
        if known and known["file"] == key:
            return str(known["version"])
    except (ValueError, KeyError, TypeError):
        pass
    version = _ask(path)
    if version:
        with contextlib.suppress(OSError):
            home.write_json(note, {"file": key, "version": version})
    return version


def _cached() -> tuple[Engine | None, str]:
    root = _folder() / VERSION
    path = root / "bin" / "pulumi"
    if not os.access(path, os.X_OK):
        return None, f"no {VERSION} in {root.parent}"
    try:
        record = home.read_json(root / "engine.json")
        how = Way(record["how"])
    except (ValueError, KeyError, TypeError):
        return None, f"{root} is incomplete"
    return Engine(path, VERSION, how, f"{how.value}, kept in {root}"), ""


def _ask(path: Path) -> str | None:
    env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run([path, "version"], capture_output=True, text=True, env=env, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().removeprefix("v") if done.returncode == 0 else None


# Getting it.


@contextlib.contextmanager
def _only_one(progress: Progress) -> Iterator[None]:
    """Two calls must not both build for minutes: the second waits for the first."""
    with open(_folder() / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress("another command is getting the engine: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in _folder().glob(".making-*"):  # of a call that was killed: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        yield


def _download(root: Path, progress: Progress, limit: float) -> None:
    import urllib.request  # 20 ms that a command with an engine in the cache does not pay

    try:
        with urllib.request.urlopen(INSTALLER, timeout=4) as answer:
            answer.read(1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _Refused(f"{INSTALLER} does not answer ({reason})") from None
    command = [sys.executable, "-c", "import sys; from stacks.engine import download; download(sys.argv[1])"]
    _run([*command, str(root)], root, dict(os.environ), f"downloading pulumi {VERSION}", progress, limit)


def _build(root: Path, progress: Progress, limit: float) -> None:
    go = shutil.which("go")
    if not go:
        raise _Refused("no `go` on PATH")
    work = root / "build"
    shutil.copytree(
        Path(__file__).parent / "engine_build",
        work,
        ignore=lambda _, names: set(names) - {"go.mod", "go.sum"},
    )
    module = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
    # Without the version flag the CLI does not know its own version, and refuses inline programs.
    flags = f"-w -s -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION}"
    # Debug information would not be linked: compiling none is less work.
    lean = ["-gcflags=all=-dwarf=false", "-pgo=off", "-trimpath", "-tags", "osusergo,grpcnotrace"]
    command = [go, "build", *lean, "-ldflags", flags]
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    what = f"building pulumi {VERSION} from its Go module (3 to 4 minutes the first time)"
    _run([*command, "-o", str(root / "bin" / "pulumi"), module], work, env, what, progress, limit)
    shutil.rmtree(work)


def _run(
    command: list[str], cwd: Path, env: dict[str, str], what: str, progress: Progress, limit: float
) -> None:
    """Run one long command in a process group of its own, saying now and then that it still runs."""
    started = time.monotonic()
    progress(f"{what} …")
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    child.wait(TICK_S)
                    break
                except subprocess.TimeoutExpired:
                    elapsed = time.monotonic() - started
                    if elapsed > limit:
                        raise _Refused(f"gave up after {limit / 60:.0f} min") from None
                    progress(f"{what} … {_clock(elapsed)}")
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            raise _Refused(lines[-1][:300] if lines else f"exit code {child.returncode}")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
