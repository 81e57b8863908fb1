"""Leases beside the state of every kind of backend: conditional, fenced, taken over when their holder is gone."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import backends
import pytest

from compiler.problem import Problems
from stacks import carriers, lease
from stacks.carriers import Carrier
from tests.agent.stores import ACCOUNT

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),  # Google's own, once
]
KEY = "proj/train-aws"


@pytest.fixture(scope="module", params=backends.KINDS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL of an empty backend, and what its client finds in the environment."""
    with backends.serving(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def backend(served: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> str:
    url, env = served
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return url


def opened(url: str) -> Carrier:
    return carriers.carrier(Path(url.removeprefix("file://")) if url.startswith("file://") else None, url)


@pytest.fixture
def carrier(backend: str) -> Iterator[Carrier]:
    made = opened(backend)
    yield made
    if (left := made.read(KEY)) is not None:
        assert made.remove(KEY, left.content)


def test_every_write_is_conditional(carrier: Carrier) -> None:
    assert carrier.read(KEY) is None
    assert not carrier.write(KEY, b"x", expected=b"never there")
    assert carrier.write(KEY, b"one", expected=None)
    assert not carrier.write(KEY, b"two", expected=None), "it is there"
    assert not carrier.write(KEY, b"two", expected=b"another")
    assert carrier.write(KEY, b"two", expected=b"one")
    found = carrier.read(KEY)
    assert found is not None
    assert found.content == b"two"
    assert 0 <= found.age_s < 60
    assert not carrier.remove(KEY, b"one")
    assert carrier.remove(KEY, b"two")
    assert carrier.read(KEY) is None


def test_of_many_that_write_at_once_one_wins(carrier: Carrier, backend: str) -> None:
    """Each through a way of its own to the store."""
    ways = [opened(backend) for _ in range(4)]
    with ThreadPoolExecutor(len(ways)) as pool:
        for turn in range(5):
            now = carrier.read(KEY)
            expected = now.content if now else None
            done = list(
                pool.map(lambda i: ways[i].write(KEY, f"{turn} {i}".encode(), expected), range(len(ways)))  # noqa: B023
            )
            assert done.count(True) == 1
            found = carrier.read(KEY)
            assert found is not None
            assert found.content == f"{turn} {done.index(True)}".encode()


def test_a_held_lease_is_refused_and_a_killed_holder_s_is_taken_over(carrier: Carrier, backend: str) -> None:
    script = """
        import sys, signal
        from pathlib import Path
        from stacks import carriers, lease
        url = sys.argv[1]
        folder = Path(url.removeprefix("file://")) if url.startswith("file://") else None
        held = lease.acquire(carriers.carrier(folder, url), "proj", "train-aws", "up of train")
        print(held.token, flush=True)
        signal.pause()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), backend], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        token = int(child.stdout.readline())
        with pytest.raises(Problems) as caught:
            lease.acquire(carrier, "proj", "train-aws", "destroy of train")
        assert caught.value.problems[0].code == "lock/held"
        assert "up of train" in caught.value.problems[0].message
    finally:
        child.kill()
        child.communicate()
    held = lease.acquire(carrier, "proj", "train-aws", "destroy of train")
    assert held.token > token
    assert held.previous is not None, "the one that was killed has left something to clean up"
    held.release()
    found = carrier.read(KEY)
    assert found is not None
    assert json.loads(found.content)["owner"] is None
    held = lease.acquire(carrier, "proj", "train-aws", "up of train")
    held.forget()
    assert carrier.read(KEY) is None


def test_a_holder_elsewhere_is_waited_for_until_its_lease_ends(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(lease, "place", lambda: "another-host 0 0")
        theirs = lease.acquire(carrier, "proj", "train-aws", "up of train")
    with pytest.raises(Problems):
        lease.acquire(carrier, "proj", "train-aws", "destroy of train")
    monkeypatch.setattr(lease, "EXPIRES_S", 0.0)
    monkeypatch.setattr(lease, "SILENT_S", 0.0)
    mine = lease.acquire(carrier, "proj", "train-aws", "destroy of train")
    assert mine.token > theirs.token
    with pytest.raises(Problems) as caught:
        theirs.note_engine(None)
    assert caught.value.problems[0].code == "lock/lost"
    mine.forget()


def test_a_store_that_does_not_answer_is_an_error_of_the_system(backend: str) -> None:
    if backend.startswith("file://"):
        pytest.skip("a folder always answers")
    broken = {
        "s3": "s3://no-such-bucket-of-ours?region=us-east-1&endpoint=http://127.0.0.1:9",
        "gs": None,
        "azblob": f"azblob://x?storage_account={ACCOUNT}&protocol=http&domain=127.0.0.1:9&localemu=true",
        "postgres": "postgres://nobody@127.0.0.1:9/none?connect_timeout=1",
    }[backend.partition("://")[0]]
    if broken is None:
        pytest.skip("its address is the environment's")
    with pytest.raises(OSError, match=r".+"):
        opened(broken).read(KEY)
