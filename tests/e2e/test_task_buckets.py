"""Buckets of a task on a local node through the whole product: its own mounts, a killed agent, no key kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.components import rclone
from tests.components.building import Missing, ensure
from tests.conftest import need
from tests.e2e.conftest import Sky
from tests.standins import moto_server

pytestmark = pytest.mark.engine

CANARY = "canary-9d41aa-of-a-secret-key"


@pytest.fixture
def s3(sky: Sky) -> Iterator[Any]:
    """A client of an S3 with a bucket `task-data`; `sky` has keys for it in its environment."""
    import boto3

    why = ""
    try:
        sky.env["PATH"] = f"{ensure(rclone.component()) / 'bin'}{os.pathsep}{sky.env['PATH']}"
    except Missing as error:
        why = f" ({error})"
    need(not why and os.geteuid() == 0 and Path("/dev/fuse").exists(), "root, /dev/fuse and rclone" + why)
    with moto_server.serving() as url:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=url, **keys)
        client.create_bucket(Bucket="task-data")
        client.put_object(Bucket="task-data", Key="in/words.txt", Body=b"from the bucket\n")
        sky.env.update(AWS_ACCESS_KEY_ID="AKIDOFTESTS", AWS_SECRET_ACCESS_KEY=CANARY, AWS_ENDPOINT_URL_S3=url)
        yield client
        client.close()


TASK = """
name: fed
resources: {infra: local}
file_mounts:
  /data/copied: s3://task-data/in
  /data/mounted: {source: s3://task-data/in}
  ~/out: {source: s3://task-data/out, mode: MOUNT_CACHED}
setup: cat /data/copied/words.txt
run: |
  cat /data/mounted/words.txt
  env | grep -e SKYWRIGHT_BUCKETS -e canary && exit 9
  touch ~/begun
  until [ -e ~/go ]; do sleep 0.05; done
  cat /data/mounted/words.txt
  echo result > ~/out/result.txt
"""


def test_a_task_reads_and_writes_buckets_while_its_agent_is_killed(sky: Sky, s3: Any) -> None:
    up = sky.start("up", "--keep", sky.task(TASK))
    sky.wait(lambda: list(sky.home.glob("local/nodes/*/home/begun")), "the task has begun")
    (home,) = (path.parent for path in sky.home.glob("local/nodes/*/home/begun"))
    mounted = Path("/proc/mounts").read_text()
    assert str(home) not in mounted, "what a node mounts nobody else sees"
    sky.run("chaos", "kill-agent", "fed")
    (home / "go").touch()
    out, err = up.communicate(timeout=120)
    assert up.returncode == 0, out + err + sky.diary()
    assert out == "from the bucket\n" * 3
    found = s3.get_object(Bucket="task-data", Key="out/result.txt")["Body"].read()
    assert found == b"result\n"

    wrong = sky.task(
        "resources: {infra: local}\nfile_mounts: {/x: s3://no-such-data}\nrun: echo never\n", "w.yaml"
    )
    failed = sky.run("up", "-c", "fed", wrong, code=100)
    assert "bucket s3://no-such-data cannot be read: there is no such bucket" in failed.stdout + failed.stderr

    for path in sky.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert CANARY.encode() not in path.read_bytes(), path
    sky.run("down", "-y", "fed")
    assert sky.nodes() == {}
    assert not any("rclone" in command for _pid, command in sky.processes())
