"""The product as its user has it: the console script, a home of its own, the real engine, control, nodes and agents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SKYWRIGHT = Path(sys.executable).with_name("skywright")
PATIENCE_S = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `team` run on PostgreSQL too; with --soak all do, but those marked `file_rows`."""
    if "rows" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker
        team = marked("team") or (metafunc.config.getoption("--soak") and not marked("file_rows"))
        metafunc.parametrize("rows", ["sqlite", "postgresql"] if team else ["sqlite"], indirect=True)


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> str | None:
    """Where control keeps its rows: None is a file of its home."""
    if request.param == "sqlite":
        return None
    fresh: Callable[[], str] = request.getfixturevalue("postgres_place")
    return fresh()


class Sky:
    """One user with an empty home."""

    def __init__(self, folder: Path, cache: str) -> None:
        self.folder = folder
        self.home = folder / "home" / ".skywright"
        (folder / "home").mkdir(parents=True)
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "CI") if key in os.environ}
        self.env = {
            **kept,
            "HOME": str(folder / "home"),
            "SKYWRIGHT_HOME": str(self.home),
            "SKYWRIGHT_CACHE": cache,
            "SKYWRIGHT_PROJECT": "e2e",
        }

    def start(self, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """A command in the background; stdout and stderr are pipes of text."""
        return subprocess.Popen(
            [str(SKYWRIGHT), *args],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *args: str, code: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command to its end; `code` is the exit code it must have (None: any)."""
        process = self.start(*args, env=env)
        out, err = process.communicate(timeout=2 * PATIENCE_S)
        done = subprocess.CompletedProcess(args, process.returncode, out, err)
        if code is not None:
            assert done.returncode == code, (
                f"{args} exited {done.returncode}\n--- out\n{out}\n--- err\n{err}\n{self.diary()}"
            )
        assert "Traceback" not in err, err
        return done

    def json(self, *args: str, code: int | None = 0) -> Any:
        return json.loads(self.run(*args, "--json", code=code).stdout)

    def task(self, text: str, name: str = "task.yaml") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def deployment(self, name: str) -> dict[str, Any]:
        found = [d for d in self.json("status")["deployments"] if d["name"] == name]
        return found[0] if found else {"name": name, "state": "gone", "nodes": [], "run": None}

    def wait(self, what: Callable[[], Any], says: str, patience_s: float = PATIENCE_S) -> Any:
        """Poll until `what()` is true and return it."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if value := what():
                return value
            time.sleep(0.1)
        pytest.fail(f"never came true: {says}\n{self.diary()}")

    def wait_run(self, name: str, *statuses: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            run = self.deployment(name)["run"]
            return run if run and run["status"] in statuses else None

        return self.wait(found, f"{name} is {statuses}")  # type: ignore[no-any-return]

    def control(self) -> dict[str, Any]:
        return json.loads((self.home / "control" / "control.json").read_text())  # type: ignore[no-any-return]

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Node folders that exist now, by node id."""
        folder = self.home / "local" / "nodes"
        found = {}
        for path in folder.glob("*/node.json"):
            try:
                found[path.parent.name] = json.loads(path.read_text())
            except FileNotFoundError:
                continue
        return found

    def processes(self) -> list[tuple[int, str]]:
        """Every process that names this home in its command line or runs a task below it."""
        mine = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(self.home) in command or f"SKYWRIGHT_HOME={self.home}".encode() in environ:
                mine.append((int(entry.name), command))
        return mine

    def stacks(self) -> list[str]:
        return [path.stem for path in (self.home / "state" / ".pulumi" / "stacks").glob("*/*.json")]

    def diary(self) -> str:
        """What is worth reading when a test failed."""
        parts = []
        for path in [
            self.home / "control" / "log.txt",
            *self.home.glob("local/nodes/*/*.log"),
            *self.home.glob("local/nodes/*/agent/*.log"),
        ]:
            if path.exists():
                parts.append(f"--- {path.name}\n" + path.read_text(errors="replace")[-3000:])
        return "\n".join(parts)

    def end(self) -> None:
        """Leave no process of this user behind, whatever the test did."""
        self.run("down", "--all", "--yes", code=None)
        for _ in range(50):
            left = self.processes()
            for pid, _command in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if not left:
                return
            time.sleep(0.1)


@pytest.fixture
def sky(tmp_path: Path) -> Iterator[Sky]:
    cache = os.environ.get("SKYWRIGHT_CACHE") or str(Path.home() / ".cache" / "skywright")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A suite in the background is told to ignore Ctrl-C, and would hand that on to the commands.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    user = Sky(tmp_path, cache)
    yield user
    user.end()
