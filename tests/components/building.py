"""Brings components into the cache, each once per machine.

A component lies in `<cache>/components/<name>/<hash of its recipe>`: a changed recipe is another folder, and what
another checkout uses stays. It is made in a folder beside, under a lock, and renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stacks import home

TICK_S = 10.0
"""How often a long step says that it still runs."""
LIMIT_S = 1800.0
STOP = threading.Event()
"""Set when the person who waits has had enough: what runs is ended."""

Progress = Callable[[str], None]


class Missing(Exception):
    """A component cannot be had here; the text says why in one sentence."""


@dataclass(frozen=True)
class Component:
    """Something real that tests start. `programs` are file names in its `bin` folder."""

    name: str
    programs: tuple[str, ...]
    recipe: Recipe

    @property
    def folder(self) -> Path:
        """Where it lies when it is here."""
        return home.cache() / "components" / self.name / self.recipe.digest()

    @property
    def here(self) -> bool:
        return all(os.access(self.program(name), os.X_OK) for name in self.programs)

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name


class Recipe(Protocol):
    """How a component is made."""

    def digest(self) -> str:
        """Names what would be made: equal recipes give equal digests."""
        ...

    def make(self, folder: Path, progress: Progress) -> None:
        """Put the programs into `folder`/bin. Raises Missing."""
        ...


def ensure(component: Component, progress: Progress = lambda text: None) -> Path:
    """The component's folder, made when it is not there. Raises Missing."""
    target = component.folder
    if component.here:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target.parent, progress):
        if component.here:
            return target
        draft = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
        started = time.monotonic()
        try:
            component.recipe.make(draft, progress)
            lacking = [name for name in component.programs if not (draft / "bin" / name).is_file()]
            if lacking:
                raise Missing(f"making {component.name} gave no {', '.join(lacking)}")
            shutil.rmtree(target, ignore_errors=True)
            os.rename(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    progress(f"{component.name}: made in {time.monotonic() - started:.0f} s")
    return target


@contextlib.contextmanager
def _only_one(folder: Path, progress: Progress) -> Iterator[None]:
    with open(folder / "lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress(f"{folder.name}: another process makes it, waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(".making-*"):  # of a process that was killed: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        yield


def run(
    command: Sequence[str | Path],
    cwd: Path,
    env: Mapping[str, str],
    what: str,
    progress: Progress,
) -> None:
    """One long command at low priority, in a process group of its own that never outlives the call."""
    started = time.monotonic()
    progress(f"{what} …")
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            ["nice", "-n", "10", *command],
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            said = started
            while child.poll() is None:
                now = time.monotonic()
                if STOP.is_set() or now - started > LIMIT_S:
                    raise Missing(f"{what}: given up after {now - started:.0f} s")
                if now - said >= TICK_S:
                    progress(f"{what} … {now - started:.0f} s")
                    said = now
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.2)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode != 0:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            raise Missing(f"{what}: {lines[-1][:300] if lines else f'exit code {child.returncode}'}")


def ensure_all(components: Sequence[Component], progress: Progress) -> dict[str, str]:
    """Make what is missing, two at a time (one links while the other compiles); name -> why it cannot be had."""
    failed: dict[str, str] = {}
    places = threading.Semaphore(2 if (os.cpu_count() or 1) > 1 else 1)

    def one(component: Component) -> None:
        with places:
            try:
                ensure(component, progress)
            except (Missing, OSError) as error:
                failed[component.name] = str(error)

    threads = [threading.Thread(target=one, args=(component,)) for component in components]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        STOP.set()
        raise
    return failed
