"""For every test: a home of its own, the real cache (an engine is built once), no settings of the caller."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import plugin

if TYPE_CHECKING:
    from tests.components.cluster import Cluster

CACHE = os.environ.get("SKYWRIGHT_CACHE") or str(
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skywright"
)

FOREIGN = ("PULUMI_", "AWS_", "GOOGLE_", "AZURE_", "ARM_", "SKYPILOT_", "SKYWRIGHT_", "KUBE")
"""Settings of whoever runs the tests that would reach into them."""


def need(there: object, what: str) -> None:
    """Skip where this machine lacks `what`; under CI it is there or the test fails."""
    if there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="also run the tests that repeat many times")
    plugin.options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(plugin.Faults(config), "faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        return
    skip = pytest.mark.skip(reason="soak: run with ./invoke test --soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HOME and SKYWRIGHT_HOME in a folder of this test's own."""
    folder = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("SKYWRIGHT_HOME", str(folder / ".skywright"))
    monkeypatch.setenv("SKYWRIGHT_CACHE", CACHE)
    return folder


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real Kubernetes API, one for the session. What it is built of must have been made before: it takes minutes."""
    from tests.components import cluster as real

    missing = [part.name for part in real.parts() if not part.here]
    need(not missing, f"{', '.join(missing)} (python -m tests.components makes them, with Go)")
    yield from real.running(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of this session's own."""
    from tests.standins.postgres import serving

    # Not below pytest's folder: another session closes that to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="skywright-") as folder, serving(Path(folder)) as url:
        yield url


@pytest.fixture
def postgres_place(postgres_server: str) -> Callable[[], str]:
    """Gives URLs of empty schemas on it: each call another."""
    import psycopg

    def fresh() -> str:
        name = f"s{os.urandom(6).hex()}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
        return f"{postgres_server}&options=-csearch_path%3D{name}"

    return fresh
