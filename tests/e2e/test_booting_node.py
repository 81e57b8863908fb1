"""Nodes on AWS that really boot: the product's own user data, machines for moto's instances, and a bucket between."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CACHE, need
from tests.standins import metal as data_centre
from tests.standins import moto_server
from tests.standins.install import install
from tests.standins.metal import Metal
from tests.standins.store import VARIABLE

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

CANARY = "canary-4711-pear"
TASK = """
name: boots
resources:
  infra: aws/us-east-1
  image_id: ami-12c6146b
  use_spot: true
  cpus: 2
num_nodes: 2
workdir: code
run: |
  trap 'echo rank $SKYPILOT_NODE_RANK saves; exit 0' TERM
  echo rank $SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES on $(hostname) with $(cat word)
  printf %s "$PEAR" | sha256sum
  while [ ! -e /tmp/end ]; do sleep 0.1; done
  exit 7
"""


@pytest.fixture
def metal(sky, tmp_path: Path) -> Iterator[Metal]:
    """An account on moto whose instances are machines; `sky` has the credentials."""
    need(data_centre.possible(), "root on Linux, with network namespaces")
    with moto_server.serving() as url, Metal(url, tmp_path / "metal") as made:
        sky.env |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            VARIABLE: str(tmp_path / "standins.sqlite"),
        }
        install(sky.home / "pulumi", ("aws",), Path(CACHE))
        yield made
        sky.run("down", "--all", "--yes", code=None)  # while there still is a cloud
    assert made.trouble == []
    assert made.front.refused == []


def kept(sky, metal: Metal) -> Iterator[tuple[str, bytes]]:
    """Every object of the account, and every file of the user and of the machines."""
    s3 = metal.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        for item in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
            yield item["Key"], s3.get_object(Bucket=bucket["Name"], Key=item["Key"])["Body"].read()
    for folder in (sky.home, metal.folder):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    yield str(path), path.read_bytes()


def of_rank(sky, rank: int) -> str:
    """The instance that holds a rank now."""
    found = [
        node for node in sky.deployment("boots")["nodes"] if node["rank"] == rank and node["state"] == "live"
    ]
    return str(found[0]["node"]) if found else ""


def running(sky, attempt: int) -> bool:
    run = sky.deployment("boots")["run"]
    return bool(run and run["status"] == "RUNNING" and run["attempt"] == attempt)


@pytest.mark.fault("node lost")
def test_nodes_boot_are_lost_and_come_back(sky, metal: Metal) -> None:
    (sky.folder / "code").mkdir()
    (sky.folder / "code" / "word").write_text("apples\n")
    with sky.start("up", "--yes", "--secret", f"PEAR={CANARY}", sky.task(TASK)) as process:
        try:
            the_story(sky, metal, process)
        finally:
            process.kill()


def the_story(sky, metal: Metal, process: subprocess.Popen[str]) -> None:
    # Two engine operations one after the other on a busy machine: the deadline is only for what never comes.
    wait = functools.partial(sky.wait, patience_s=200.0)
    out: list[str] = []
    reader = threading.Thread(target=lambda: out.extend(process.stdout), daemon=True)
    reader.start()
    wait(lambda: running(sky, 1), "both ranks run")
    first = [of_rank(sky, rank) for rank in (0, 1)]
    assert sorted(metal.machines) == sorted(first)
    for rank, node in enumerate(first):
        said = f"rank {rank} of 2 on {node} with apples"
        wait(lambda said=said: said in "".join(out), f"`{said}` in the log")

    # The secret went through the cloud's own store: it is in no object, no disk of a node, no file of the user's.
    canary = hashlib.sha256(CANARY.encode()).hexdigest()
    wait(lambda: canary in "".join(out), "the hash of the secret in the log")
    for name, content in kept(sky, metal):
        assert CANARY.encode() not in content, name

    # Control is killed: the next command starts another one, which goes on with what is in the bucket.
    sky.run("chaos", "kill-control")
    assert running(sky, 1)

    # A notice at the metadata service: the task saves, this instance is replaced, and no other.
    metal.notice(first[1], 60)
    wait(lambda: running(sky, 2), "the gang runs again after the notice")
    second = [of_rank(sky, rank) for rank in (0, 1)]
    assert second[0] == first[0]
    assert second[1] not in ("", *first)
    wait(lambda: first[1] not in metal.machines, "the announced instance is gone")
    wait(lambda: "rank 1 saves" in "".join(out), "what it said at the end is in the log")

    # No notice at all.
    metal.lose(second[0])
    wait(lambda: running(sky, 3), "the gang runs again after the silent loss")
    third = [of_rank(sky, rank) for rank in (0, 1)]
    assert third[1] == second[1]
    assert third[0] not in ("", *first, *second)
    assert sorted(metal.booted) == sorted([*first, second[1], third[0]]), metal.ended

    for machine in list(metal.machines.values()):
        (machine.root / "tmp" / "end").touch()
    process.wait(200)
    reader.join()
    assert process.returncode == 100, process.stderr.read()
    run = sky.deployment("boots")["run"]
    assert (run["status"], run["exit_code"], run["recoveries"]) == ("FAILED", 7, 2)
    for rank, node in enumerate(third):
        assert f"rank {rank} of 2 on {node} with apples" in "".join(out)
    sky.run("down", "--yes", "boots")
    assert metal.machines == {}
