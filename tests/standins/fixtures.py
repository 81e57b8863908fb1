"""Fixtures for tests at the stand-ins, imported by a conftest: bench, moto (with moto_of_worker), store.

`store` is a file of stand-ins for one test; `moto` an empty moto behind AWS_ENDPOINT_URL; `bench` runs programs
through the real engine with the stand-ins as its providers, in the home of this test.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Market
from compiler.problem import Problems
from compiler.spec import StackSpec
from stacks import backend, engine, home
from stacks import install as engine_install
from stacks import program as declaring
from stacks.refusal import Refused
from tests.standins import moto_server
from tests.standins.install import install
from tests.standins.store import VARIABLE, Store

Program = Callable[[], None]
PROJECT, STACK = "proj", "standin"


@dataclass(frozen=True)
class Moto:
    """The moto of this worker, as it is for one test."""

    url: str
    clients: dict[tuple[str, str], Any]

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """One of boto3's, kept for later tests."""
        if (service, region) not in self.clients:
            import boto3

            self.clients[service, region] = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
        return self.clients[service, region]

    def instances(self, region: str = "us-east-1") -> list[dict[str, Any]]:
        """Those that are not terminated."""
        pages = self.client("ec2", region).describe_instances()["Reservations"]
        found = [one for each in pages for one in each["Instances"]]
        return [one for one in found if one["State"]["Name"] not in ("terminated", "shutting-down")]

    def lose(self, node: str, region: str = "us-east-1") -> None:
        """Take an instance away, as a spot interruption does."""
        self.client("ec2", region).terminate_instances(InstanceIds=[node])


@pytest.fixture(scope="session")
def moto_of_worker() -> Iterator[Moto]:
    with moto_server.serving() as url:
        made = Moto(url, {})
        yield made
        for client in made.clients.values():
            client.close()


@pytest.fixture
def moto(moto_of_worker: Moto, store: Store, monkeypatch: pytest.MonkeyPatch) -> Moto:
    moto_server.reset(moto_of_worker.url)
    settings = {
        "AWS_ENDPOINT_URL": moto_of_worker.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return moto_of_worker


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    path = tmp_path / "standins.sqlite"
    monkeypatch.setenv(VARIABLE, str(path))
    return Store(path)


@dataclass(frozen=True)
class Run:
    """What one run of the engine said: (operation, URN) of every resource that was not the stack or a provider.

    `differ`: (URN, path of a property) of what is not as it was.
    """

    steps: tuple[tuple[str, str], ...]
    differ: tuple[tuple[str, str], ...]
    diagnostics: tuple[str, ...]

    @property
    def changes(self) -> dict[str, int]:
        return dict(Counter(op for op, _ in self.steps if op not in ("same", "read", "refresh")))

    def of(self, op: str) -> list[str]:
        """Names of the resources with this operation."""
        return [urn.rpartition("::")[2] for done, urn in self.steps if done == op]


@dataclass
class Bench:
    """Programs of one stack at the real engine."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    cli: Path
    runs: int = 0

    def preview(self, program: Program, replace: Sequence[str] = ()) -> Run:
        return self._run(program, lambda session, hear: session.preview(hear, replace))

    def up(self, program: Program, replace: Sequence[str] = ()) -> Run:
        return self._run(program, lambda session, hear: session.up(hear, replace))

    def refresh(self, program: Program) -> Run:
        return self._run(program, lambda session, hear: session.refresh(hear))

    def destroy(self, program: Program) -> Run:
        return self._run(program, lambda session, hear: session.destroy(hear))

    def refused(self, program: Program) -> str:
        """The engine's words about an `up` that must fail."""
        with pytest.raises((Refused, Problems)) as caught:
            self.up(program)
        return str(caught.value)

    def resources(self) -> dict[str, dict[str, Any]]:
        """Name -> what the state holds of it; neither the stack nor providers."""
        path = home.home() / "state" / ".pulumi" / "stacks" / PROJECT / f"{STACK}.json"
        listed = json.loads(path.read_text())["checkpoint"]["latest"].get("resources") or ()
        return {
            one["urn"].rpartition("::")[2]: one
            for one in listed
            if one.get("custom") and not one["type"].startswith("pulumi:")
        }

    def _session(self, program: Program) -> engine.Session:
        self.monkeypatch.setattr(declaring, "declare", lambda spec: program())
        settled = backend.settle({"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"})
        spec = StackSpec(
            project=PROJECT,
            stack=STACK,
            deployment=STACK,
            cloud="local",
            instance_type="any",
            market=Market.SPOT,
            nodes=1,
            agent="5ta9d1",
        )
        self.runs += 1
        made = engine.Session(self.cli, spec, settled, self.root / str(self.runs))
        if self.runs == 1:
            made.init()
        return made

    def _run(self, program: Program, call: Callable[[engine.Session, Callable[[Any], None]], None]) -> Run:
        steps: list[tuple[str, str]] = []
        differ: list[tuple[str, str]] = []
        said: list[str] = []

        def hear(event: dict[str, Any]) -> None:
            if (pre := event.get("resourcePreEvent")) is not None:
                of = pre["metadata"]
                if not of["type"].startswith("pulumi:"):
                    steps.append((of["op"], of["urn"]))
                    differ.extend((of["urn"], path) for path in of.get("detailedDiff") or ())
            if (diagnostic := event.get("diagnosticEvent")) is not None:
                said.append(diagnostic.get("message", ""))

        loops: list[asyncio.AbstractEventLoop] = []

        def looped() -> None:
            loops.append(asyncio.get_running_loop())
            program()

        try:
            call(self._session(looped), hear)
        finally:
            # After a failure the SDK leaves it to the end of the process.
            deadline = time.monotonic() + 20
            for loop in loops:
                while loop.is_running():
                    assert time.monotonic() < deadline, "the program runs on after its engine ended"
                    time.sleep(0.01)
                loop.close()
        return Run(tuple(steps), tuple(differ), tuple(said))


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, request: pytest.FixtureRequest
) -> Bench:
    """With the providers that the test's module names in PROVIDERS."""
    found = engine_install.find()
    assert found is not None, "these tests need the engine: `./invoke engine` gets it"
    install(home.home() / "pulumi", request.module.PROVIDERS)
    return Bench(tmp_path / "bench", monkeypatch, found.path)


def touch(*names: str) -> None:
    """Import SDK classes (`pulumi_aws.ec2.Instance`) in this thread: lazily in several it goes wrong."""
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDKs' own, about classes that nobody here uses
    for name in names:
        module, _, member = name.rpartition(".")
        package, _, part = module.partition(".")
        found: Any = importlib.import_module(package)
        for step in (*part.split("."), member):
            found = getattr(found, step) if step else found
