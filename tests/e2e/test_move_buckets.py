"""Checkpoints go from the bucket of one cloud into that of another: S3 by moto, Cloud Storage by an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problems
from compiler.spec import StackSpec
from stacks import checkpoints
from stacks.checkpoints import MANIFEST, PARTS, Bucket, Folder, carry
from tests.agent.stores import Emulator, emulator
from tests.e2e.control_fakes import House, order, until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Emulator]]:
    """Both, in a process each."""
    with ExitStack() as started:
        folder = tmp_path_factory.mktemp("stores")
        yield {kind: started.enter_context(emulator(kind, folder)) for kind in ("s3", "gcs")}


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Two files, a link and an empty file, in parts of four bytes."""
    monkeypatch.setattr(checkpoints, "PART", 4)
    folder = tmp_path / "saved"
    (folder / "step-7").mkdir(parents=True)
    (folder / "step-7" / "weights").write_bytes(b"0123456789" * 3)
    (folder / "step-7" / "run.sh").write_text("x")
    (folder / "step-7" / "run.sh").chmod(0o755)
    (folder / "empty").touch()
    (folder / "latest").symlink_to("step-7")
    return Folder(folder)


def bucket(one: Emulator, prefix: str) -> Bucket:
    return Bucket(one.store(prefix), one.env)


def test_from_cloud_to_cloud_and_back_to_a_folder(
    clouds: dict[str, Emulator], saved: Folder, tmp_path: Path
) -> None:
    first, second = bucket(clouds["s3"], "moves/1"), bucket(clouds["gcs"], "moves/1")
    last = Folder(tmp_path / "last")
    (last.path / "old").mkdir(parents=True)
    brought = [carry(saved, first), carry(first, second), carry(second, last), carry(second, last)]
    assert len(set(brought)) == 1
    assert brought[0] is not None
    assert (brought[0].files, brought[0].bytes) == (4, 31)
    assert sorted(path.name for path in last.path.iterdir()) == ["empty", "latest", "step-7"]
    assert (last.path / "latest" / "weights").read_bytes() == b"0123456789" * 3
    assert (last.path / "step-7" / "run.sh").stat().st_mode & 0o777 == 0o755
    # One of an earlier stay is replaced, parts and all.
    (saved.path / "step-7" / "weights").write_bytes(b"8")
    carry(saved, second)
    assert second.manifest() == saved.manifest()
    assert len(second.objects.list(f"{PARTS}/")) == 2


def test_what_is_not_whole_does_not_count(clouds: dict[str, Emulator], saved: Folder) -> None:
    first, second = bucket(clouds["s3"], "moves/2"), bucket(clouds["gcs"], "moves/2")
    carry(saved, first)
    part = first.objects.list(f"{PARTS}/")[0]
    first.objects.put(part, b"other")
    with pytest.raises(Problems, match="did not come over as it was"):
        carry(first, second)
    assert second.manifest() is None
    first.objects.delete([part])
    with pytest.raises(Problems, match="is missing"):
        carry(first, second)
    second.objects.put(f"{PARTS}/{part.rpartition('/')[2]}", b"of a write that was cut off")
    with pytest.raises(Problems, match="reads differently"):
        carry(saved, second)
    assert second.manifest() is None
    assert carry(saved, second) is not None, "the wrong part was taken out"
    first.objects.put(MANIFEST, b'{"version": 1, "files": [{"path": "../x", "link": "y"}]}')
    with pytest.raises(Problems, match="its manifest cannot be read"):
        carry(first, second)


def test_control_moves_from_one_cloud_to_the_other(
    clouds: dict[str, Emulator], saved: Folder, tmp_path: Path
) -> None:
    house = House(tmp_path / "house")
    first, second = bucket(clouds["s3"], "moves/3"), bucket(clouds["gcs"], "moves/3")
    stores = {"aws": first.store.to_data(), "gcp": second.store.to_data()}
    carried_out = house.operations._carry_out

    def with_bucket(request: Any) -> dict[str, Any]:
        return {**carried_out(request), "store": stores[request.spec.cloud]}

    house.operations._carry_out = with_bucket  # type: ignore[method-assign]
    house.scripts = {0: lambda _: None}
    try:
        client = house.open()
        client.launch(between(order(checkpoint="~/kept", zones=("us-a", "eu-a"), env=clouds["s3"].env)))
        until(lambda: client.deployment("hello")["state"] == "running", "it runs")
        carry(saved, first)
        client.move("hello", "gcp eu-a spot", {})
        until(lambda: client.deployment("hello")["where"] == "gcp eu-a", "it has moved")
        until(lambda: client.runs("hello")[0]["attempt"] == 2, "it goes on")
        assert second.manifest() == saved.manifest() == first.manifest()
        events = client.follow("hello", 0, 0)["events"]
        [proved] = [event["data"] for event in events if event["data"].get("sha256")]
        manifest = saved.manifest()
        assert manifest is not None
        assert proved["sha256"] == manifest.digest
    finally:
        house.end()


def between(told: dict[str, Any]) -> dict[str, Any]:
    """The order with its first place in `aws` and its second in `gcp`."""
    for choice, cloud in zip(told["choices"], ("aws", "gcp"), strict=True):
        spec = replace(StackSpec.from_data(choice["spec"]), cloud=cloud, checkpoint="~/kept")
        spec = replace(spec, stack=f"hello-{cloud}-{spec.region}")
        choice |= {"spec": spec.to_data(), "where": f"{cloud} {spec.zone}"}
    told["spec"], told["plan"]["where"] = told["choices"][0]["spec"], told["choices"][0]["where"]
    return told
