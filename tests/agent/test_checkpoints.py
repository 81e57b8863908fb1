"""The checkpoint folder of nodes with a bucket: kept there, brought back to a replaced node, one for all ranks."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtime import checkpoint, saved
from runtime.checkpoint import Checkpoint
from runtime.mounts import Misfit
from stacks.checkpoints import MANIFEST, PARTS, Bucket, Folder, carry
from tests.agent import stores

KINDS = ("s3", "gcs", "azblob")


class Cloud:
    """A deployment's part of a bucket, and nodes that reach it; each has a control of its own."""

    def __init__(self, folder: Path, emulator: stores.Emulator, relay: stores.Relay) -> None:
        self.folder, self.relay = folder, relay
        self.bucket = Bucket(emulator.store(f"{folder.name}/x"), emulator.env)
        self.link = {"carrier": "http", "store": relay.link(self.bucket.store)}

    def manifest(self, name: str) -> dict[str, Any]:
        """Of a node that is only its folders."""
        home, state = self.folder / name / "home", self.folder / name / "agent"
        for path in (home, state):
            path.mkdir(parents=True, exist_ok=True)
        return {"home": str(home), "state": str(state), "link": self.link}

    def saved(self) -> dict[str, tuple[str, ...]]:
        """Parts by path, as control reads them."""
        found = self.bucket.manifest()
        return {one.path: one.parts for one in found.files} if found else {}


@pytest.fixture
def cloud(
    request: pytest.FixtureRequest, tmp_path: Path, emulators: Callable[[str], stores.Emulator]
) -> Iterator[Cloud]:
    emulator = emulators(getattr(request, "param", "s3"))
    with stores.Relay(emulator) as relay:
        yield Cloud(tmp_path, emulator, relay)


@pytest.fixture
def seat(control: Any, node: Any, cloud: Cloud, tmp_path: Path) -> Iterator[Callable[[str], tuple[Any, Any]]]:
    """Makes a node, which is not started, with its control."""
    made: list[tuple[Any, Any]] = []

    def make(name: str) -> tuple[Any, Any]:
        desk = type(control)(tmp_path / f"{name}.json")
        desk.start()
        one = type(node)(tmp_path / name, desk, node.agent)
        del one.manifest["kept"]
        one.manifest["link"]["store"] = cloud.link["store"]
        made.append((desk, one))
        return desk, one

    yield make
    for desk, one in made:
        one.close()
        desk.stop()
        assert desk.wrong == []


def part(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run(attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "attempt": attempt, "task_id": "t", "num_nodes": 2, "checkpoint": "~/kept", **more}


def never() -> bool:
    return False


def flushed(one: Checkpoint, attempt: int = 1, within_s: float = 30.0) -> Any:
    end = time.monotonic() + within_s
    return one.flush((1, attempt), lambda: end, time.monotonic)


@pytest.mark.fault("node lost")
def test_every_rank_goes_on_where_the_lost_ones_were(cloud: Cloud, seat: Any, kit: Any) -> None:
    saves = (
        "cd $CHECKPOINT_DIR; mkdir rank-$SKYPILOT_NODE_RANK; cd rank-$SKYPILOT_NODE_RANK;"
        " echo seven > step; chmod 750 step; ln -s step latest; sleep 600"
    )
    looks = "cd $CHECKPOINT_DIR; cat rank-0/latest rank-1/step; stat -c %a rank-0/step"
    seats = [seat(f"rank-{rank}") for rank in range(2)]
    for rank, (desk, node) in enumerate(seats):
        desk.want(kit.order(saves, checkpoint="~/kept", rank=rank, num_nodes=2))
        node.start(rank=rank)
    names = {f"rank-{rank}/{name}" for rank in range(2) for name in ("step", "latest")}
    kit.until(lambda: cloud.saved().keys() == names, "both ranks to save")
    lost = seats[0][1]
    lost.close()
    shutil.rmtree(lost.home)
    (seats[1][1].home / "kept" / "unsent").touch()
    again = [seat("replaced"), seats[1]]
    again[0][1].start()
    for rank, (desk, _) in enumerate(again):
        desk.want(kit.order(looks, checkpoint="~/kept", rank=rank, num_nodes=2, attempt=2))
        assert desk.ended(attempt=2)["phase"] == "succeeded"
        assert desk.whole_log(attempt=2) == b"seven\nseven\n750\n"
    assert cloud.saved().keys() == {*names, "unsent"}


@pytest.mark.fault("spot notice")
@pytest.mark.carried("s3")
def test_what_is_saved_on_a_notice_is_in_the_bucket_before_the_node_is_drained(
    control: Any, node: Any, kit: Any, tmp_path: Path
) -> None:
    notice = tmp_path / "notice"
    notice.mkdir()
    script = (
        "trap 'head -c 3000000 /dev/zero > $CHECKPOINT_DIR/last; exit 0' TERM; echo up;"
        " while :; do sleep 0.05; done"
    )
    del node.manifest["kept"]
    with serving(notice) as url:
        control.want(kit.order(script, checkpoint="~/kept"))
        probe = {"url": f"{url}/given", "every_s": 0.1, "member": "action", "values": ["terminate"]}
        node.start(probe=probe)
        kit.until(lambda: control.log())
        (notice / "draft").write_text('{"action": "terminate"}')
        (notice / "draft").rename(notice / "given")
        kit.until(lambda: control.kinds("drained"))
    last = control.ended()
    assert (last["phase"], last["uploads"]["files_left"]) == ("preempted", 0)
    saving = Bucket(control.carrying.store, control.carrying.emulator.env).manifest()
    assert saving is not None
    assert [(one.path, one.parts) for one in saving.files] == [("last", (part(bytes(3000000)),))]


@pytest.mark.fault("agent killed")
def test_killed_in_an_upload_the_one_before_stays_whole(cloud: Cloud, seat: Any, kit: Any) -> None:
    desk, node = seat("first")
    script = (
        "cd $CHECKPOINT_DIR; echo 1 > a; echo one > b; while [ ! -e ~/go ]; do sleep 0.02; done;"
        " echo 2 > a; echo two > b"
    )
    desk.want(kit.order(script, checkpoint="~/kept"))
    node.start()
    before = {"a": (part(b"1\n"),), "b": (part(b"one\n"),)}
    kit.until(lambda: cloud.saved() == before)
    refusals = [(part(b"two\n"), 503, {})] * 1000
    cloud.relay.refuse += refusals
    (node.home / "go").touch()
    kit.until(lambda: len(cloud.relay.refuse) < 1000, "the upload to come to the second file")
    assert f"{PARTS}/{part(b'2' + chr(10).encode())}" in cloud.bucket.objects.list(PARTS)
    node.kill()
    assert cloud.saved() == before
    other, replacement = seat("second")
    other.want(kit.order("cat $CHECKPOINT_DIR/?", checkpoint="~/kept", attempt=2))
    replacement.start()
    assert other.ended(attempt=2)["phase"] == "succeeded"
    assert other.whole_log(attempt=2) == b"1\none\n"
    # The first one comes back, ends its upload after all, and says how the run ended.
    cloud.relay.refuse.clear()
    node.start()
    assert desk.ended()["phase"] == "succeeded"


@pytest.mark.parametrize("cloud", KINDS, indirect=True)
def test_ranks_that_write_at_once_lose_nothing(cloud: Cloud, tmp_path: Path) -> None:
    ranks = [Checkpoint(cloud.manifest(f"rank-{rank}")) for rank in range(4)]
    homes = [tmp_path / f"rank-{rank}" / "home" / "kept" for rank in range(4)]
    for one in ranks:
        one.restore(run(), never)

    def work(rank: int) -> None:
        for step in range(3):
            (homes[rank] / f"{rank}-{step}").write_text("the same in all ranks")
            if step:
                (homes[rank] / f"{rank}-{step - 1}").unlink()
            assert flushed(ranks[rank]).files == 0

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cloud.saved() == {f"{rank}-2": (part(b"the same in all ranks"),) for rank in range(4)}
    # What control carries is what a node has, in both directions.
    folder = Folder(tmp_path / "carried")
    assert carry(cloud.bucket, folder) is not None
    (folder.path / "more").write_text("from elsewhere")
    carry(folder, cloud.bucket)
    (homes[0] / "0-2").write_text("not sent yet")
    ranks[0].restore(run(attempt=2), never)
    assert (homes[0] / "more").read_text() == "from elsewhere"
    assert (homes[0] / "0-2").read_text() == "not sent yet"
    # A part that nothing names goes after a while; of an old attempt nothing is taken any more.
    (homes[0] / "more").unlink()
    assert flushed(ranks[0], 2).files == 0
    assert f"{PARTS}/{part(b'from elsewhere')}" in cloud.bucket.objects.list(PARTS)
    (homes[1] / "late").touch()
    assert flushed(ranks[1]).files == 0
    assert "late" not in cloud.saved()


def test_parts_that_nothing_names_go_after_a_while(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, kept = Checkpoint(cloud.manifest("one")), tmp_path / "one" / "home" / "kept"
    one.restore(run(), never)
    monkeypatch.setattr(saved, "PART", 4)
    for content in ("00001111", "00002222", "00003333"):
        (kept / "weights").write_text(content)
        assert flushed(one).files == 0
    assert len(cloud.bucket.objects.list(PARTS)) == 4
    monkeypatch.setattr(saved, "OLD_S", -60.0)
    (kept / "weights").write_text("00004444")
    assert flushed(one).files == 0
    named = {f"{PARTS}/{part(name)}" for name in (b"0000", b"4444")}
    assert set(cloud.bucket.objects.list(PARTS)) == named


def test_what_cannot_be_sent_or_read_is_said(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, kept = Checkpoint(cloud.manifest("one")), tmp_path / "one" / "home" / "kept"
    one.restore(run(), never)
    (kept / "a").write_text("content")
    cloud.relay.cut = True
    left = flushed(one, within_s=0.5)
    assert (left.files, left.says.partition(":")[0]) == (1, "checkpoint folder")
    monkeypatch.setattr(checkpoint, "STUCK_S", 0.3)
    assert flushed(one, within_s=3600).files == 1, "a store that never answers is not waited for"
    cloud.relay.cut = False
    assert flushed(one).files == 0
    cloud.bucket.objects.put(f"{PARTS}/{part(b'content')}", b"other")
    monkeypatch.setattr(checkpoint, "STUCK_S", 0.0)
    with pytest.raises(Misfit, match="a part of a is missing or damaged"):
        Checkpoint(cloud.manifest("two")).restore(run(2), never)
    cloud.bucket.objects.put(MANIFEST, b'{"version": 1, "files": [{"path": "../x", "link": "y"}]}')
    with pytest.raises(Misfit, match="is not a file of it"):
        Checkpoint(cloud.manifest("three")).restore(run(2), never)
    assert os.listdir(tmp_path / "three" / "home" / "kept") == [checkpoint.INCOMING]


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a folder's files."""
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass
