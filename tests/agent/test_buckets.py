"""Buckets of a run, by the real rclone against an emulated S3: copied, mounted, kept mounted, uploaded, taken off."""

from __future__ import annotations

import datetime
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from runtime import supplies
from runtime.buckets import Buckets
from runtime.machine import Ended
from tests.agent import stores
from tests.components import rclone
from tests.components.building import Missing, ensure
from tests.conftest import need

CANARY = "canary-5c1f7d-of-a-key"


@pytest.fixture(scope="module")
def programs() -> Path:
    why = ""
    try:
        return ensure(rclone.component()) / "bin"
    except Missing as error:
        why = str(error)
    need(False, f"rclone and fuse3 ({why})")
    raise AssertionError


@pytest.fixture
def s3(emulators: Callable[[str], stores.Emulator]) -> Iterator[Any]:
    """A client of the emulator, with its address as `url`."""
    import boto3

    emulator = emulators("s3")
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=emulator.url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    content = {
        "in/a.txt": "one",
        "in/deep/b.txt": "two",
        "in/deep/c.txt": "no",
        "in/d.log": "no",
        "in/e": "no",
    }
    for name, text in content.items():
        client.put_object(Bucket=stores.BUCKET, Key=name, Body=text.encode())
    yield client
    client.close()


@pytest.fixture
def ready(node: Any, programs: Path) -> Any:
    node.environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return node


def bucket(target: str, mode: str, path: str, name: str = stores.BUCKET, **more: Any) -> dict[str, Any]:
    base = {"target": target, "uri": f"s3://{name}/{path}", "store": "S3", "bucket": name, "path": path}
    return {**base, "mode": mode, "read_only": False, "options": {}, **more}


def secrets(s3: Any) -> dict[str, str]:
    said = {"access_key_id": "testing", "secret_access_key": CANARY, "endpoint": s3.meta.endpoint_url}
    return {"SKYWRIGHT_BUCKETS_S3": json.dumps(said)}


def has_mounts(node: Any) -> bool:
    return str(node.folder) in Path("/proc/self/mountinfo").read_text()


def body(s3: Any, key: str) -> str | None:
    try:
        return str(s3.get_object(Bucket=stores.BUCKET, Key=key)["Body"].read().decode())
    except s3.exceptions.NoSuchKey:
        return None


def test_a_run_reads_and_writes_its_buckets_while_agent_and_mount_are_killed(
    ready: Any, control: Any, kit: Any, s3: Any
) -> None:
    need(Path("/dev/fuse").exists() and os.geteuid() == 0, "/dev/fuse, and root")
    script = """
      cat ~/copied/deep/b.txt ~/one.txt ~/mounted/a.txt; echo
      echo straight > ~/mounted/straight.txt
      env | grep -c SKYWRIGHT_BUCKETS
      touch ~/begun
      until [ -e ~/go ]; do sleep 0.05; done
      until cat ~/mounted/a.txt 2>/dev/null; do sleep 0.05; done; echo
      for n in 1 2 3; do head -c 300000 /dev/zero > ~/cached/$n.bin; done
      echo last > ~/cached/last.txt
    """
    buckets = [
        bucket("~/copied", "COPY", "in", include=["*.txt"], exclude=["deep/c.*", "*.log"]),
        bucket("~/one.txt", "COPY", "in/a.txt", exclude=["*.txt"]),
        bucket("~/mounted", "MOUNT", "in"),
        bucket("~/cached", "MOUNT_CACHED", "out"),
    ]
    ready.start()
    control.want(kit.order(script, setup="cat ~/mounted/deep/b.txt", buckets=buckets, secrets=secrets(s3)))
    kit.until(lambda: (ready.home / "begun").exists(), "the run to begin")
    ready.kill()
    (record,) = [
        data
        for path in ready.state.glob("buckets/*/mount.json")
        if (data := json.loads(path.read_text()))["place"].endswith("/mounted")
    ]
    os.kill(record["pid"], signal.SIGKILL)
    ready.start()
    (ready.home / "go").touch()
    end = control.ended()
    assert end["phase"] == "succeeded", end
    assert end["uploads"]["files_left"] == 0
    assert control.whole_log(phase="setup") == b"two"
    assert control.whole_log().decode().split() == ["twooneone", "0", "one"]
    assert body(s3, "in/straight.txt") == "straight\n"
    assert body(s3, "out/last.txt") == "last\n"
    sizes = {n: s3.head_object(Bucket=stores.BUCKET, Key=f"out/{n}.bin")["ContentLength"] for n in (1, 2, 3)}
    assert set(sizes.values()) == {300000}
    kit.until(lambda: not has_mounts(ready) and not ready.processes(), "the mounts to be gone")
    kit.until(lambda: not (ready.home / "mounted").exists(), "the place of a mount to be gone")
    copied = {str(path.relative_to(ready.home)) for path in ready.home.glob("copied/**/*") if path.is_file()}
    assert copied == {"copied/a.txt", "copied/deep/b.txt"}
    assert not list((ready.state / "buckets").glob("*/mount.json"))
    assert not list((ready.state / "buckets").glob("*/cache"))
    for path in ready.folder.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "no-such-bucket"}, "bucket s3://no-such-bucket/in cannot be read: there is no such bucket"),
        ({"target": "~/taken"}, "cannot be mounted on ~/taken: it is not empty"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_named(
    ready: Any, control: Any, kit: Any, s3: Any, wrong: dict[str, str], says: str
) -> None:
    (ready.home / "taken").mkdir()
    (ready.home / "taken" / "mine").touch()
    asked = {"target": "~/data", "mode": "MOUNT", "path": "in", **wrong}
    ready.start()
    control.want(kit.order("true", buckets=[bucket(**asked)], secrets=secrets(s3)))
    end = control.ended()
    assert end["phase"] == "failed"
    assert says in end["message"]
    assert "fetch: bucket s3://" in end["message"]
    assert not has_mounts(ready)


def test_a_node_without_rclone_says_how_to_get_it(node: Any, control: Any, kit: Any, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    node.environment["PATH"] = str(tmp_path / "bare")
    node.start(isolation="namespaces")
    control.want(kit.order("true", buckets=[bucket("~/data", "COPY", "in")]))
    assert "apt install rclone" in control.ended()["message"]


def test_where_nothing_can_be_mounted_copying_is_named(ready: Any, control: Any, kit: Any, s3: Any) -> None:
    ready.start(isolation="directory")
    control.want(kit.order("true", buckets=[bucket("~/data", "MOUNT", "in")], secrets=secrets(s3)))
    assert "`mode: COPY` works without" in control.ended()["message"]


def test_a_notice_leaves_time_for_uploads(ready: Any, control: Any, kit: Any, s3: Any) -> None:
    need(Path("/dev/fuse").exists() and os.geteuid() == 0, "/dev/fuse, and root")
    script = (
        "trap 'echo saved > ~/cached/saved.txt; exit 0' TERM; touch ~/begun; while :; do sleep 0.05; done"
    )
    buckets = [bucket("~/cached", "MOUNT_CACHED", "spot")]
    ready.start()
    order = kit.order(script, buckets=buckets, secrets=secrets(s3))
    control.want(order)
    kit.until(lambda: (ready.home / "begun").exists(), "the run to begin")
    control.want(order, drain=True)
    end = control.ended()
    assert end["phase"] == "preempted"
    assert end["uploads"]["files_left"] == 0
    assert body(s3, "spot/saved.txt") == "saved\n"
    kit.until(lambda: not has_mounts(ready), "the mounts to be gone")


def test_files_that_are_not_uploaded_in_time_fail_a_run_that_had_succeeded(tmp_path: Path) -> None:
    folder = tmp_path / "buckets" / "one"
    notes = folder / "cache" / "vfsMeta" / "BUCKET" / "tests"
    notes.mkdir(parents=True)
    (notes / "kept.bin").write_text(json.dumps({"Dirty": True}))
    (notes / "sent.bin").write_text(json.dumps({"Dirty": False}))
    data = {"run": 1, "attempt": 2, "place": "/nowhere", "cached": True, "pid": 0, "start": 0, "boot_id": "b"}
    (folder / "mount.json").write_text(json.dumps(data))
    (folder / "log").write_text("2026/01/01 10:00:00 ERROR : kept.bin: Failed to copy: AccessDenied: no\n")
    there = Buckets({"state": str(tmp_path)}, "b")
    left = there.flush((1, 2), by=lambda: 0.0, now=lambda: 1.0)
    assert (left.files, left.says) == (1, "kept.bin: Failed to copy: AccessDenied: no")
    assert there.flush((1, 1), by=lambda: 0.0, now=lambda: 1.0).files == 0
    told = supplies.told(Ended(1, 2, "run", {"exit_code": 0}), left)
    assert told.error == "1 file was not uploaded: kept.bin: Failed to copy: AccessDenied: no"
    assert told.facts == {"uploads": {"files_left": 1, "waited_s": 0.0}}
    there.release()
    assert (notes / "kept.bin").exists(), "what is not uploaded stays for the next mount"


@pytest.mark.parametrize("kind", ["gcs", "azblob"])
def test_other_stores_are_copied_from_too(
    ready: Any, control: Any, kit: Any, emulators: Callable[[str], stores.Emulator], kind: str
) -> None:
    emulator = emulators(kind)
    _fill(emulator, "in/words.txt", b"from elsewhere\n")
    if kind == "gcs":
        said = {"endpoint": f"{emulator.url}/storage/v1/"}
        asked = bucket("~/data", "COPY", "in", store="GCS")
    else:
        said = {"sas_url": _signed(emulator)}
        asked = bucket("~/data", "COPY", "in", store="AZURE", account=stores.ACCOUNT)
    names = {f"SKYWRIGHT_BUCKETS_{asked['store']}": json.dumps(said)}
    ready.start()
    control.want(kit.order("cat ~/data/words.txt", buckets=[asked], secrets=names))
    assert control.ended()["phase"] == "succeeded", control.ended()
    assert control.whole_log() == b"from elsewhere\n"


def _signed(emulator: stores.Emulator) -> str:
    """The container's address with a signature that may read it."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    may = ContainerSasPermissions(read=True, list=True)
    words = generate_container_sas(stores.ACCOUNT, stores.BUCKET, stores.KEY, permission=may, expiry=until)
    return f"{emulator.url}/{stores.ACCOUNT}/{stores.BUCKET}?{words}"


def _fill(emulator: stores.Emulator, name: str, content: bytes) -> None:
    if emulator.kind == "gcs":
        address = f"{emulator.url}/upload/storage/v1/b/{stores.BUCKET}/o?uploadType=media&name={quote(name, safe='')}"
        urlopen(Request(address, data=content, method="POST"), timeout=10).close()
        return
    from azure.storage.blob import ContainerClient

    with ContainerClient(emulator.store("").endpoint, stores.BUCKET, credential=stores.KEY) as container:
        container.upload_blob(name, content, overwrite=True)
