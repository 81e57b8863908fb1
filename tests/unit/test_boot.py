"""User data: small, the same everywhere, without secrets, and honest where an image has no Python."""

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from compiler.problem import Problems
from stacks.boot import LIMIT, Boot, Store, user_data
from stacks.cloud import Probe
from tests import bootpack

ROOT = Path(__file__).resolve().parents[2]
NOTICE = Probe(
    url="http://169.254.169.254/latest/meta-data/spot/instance-action",
    every_s=5,
    member="action",
    values=("terminate", "stop", "hibernate"),
    deadline="time",
    token={
        "url": "http://169.254.169.254/latest/api/token",
        "method": "PUT",
        "headers": {"X-aws-ec2-metadata-token-ttl-seconds": "21600"},
        "header": "X-aws-ec2-metadata-token",
    },
)
STORES = {
    "s3": Store("s3", "skywright-0123456789abcdef", "proj/train-llama", region="eu-central-1"),
    "gcs": Store("gcs", "skywright-0123456789abcdef", "proj/train-llama"),
    "azblob": Store("azblob", "proj-train", "train-llama", account="sky0123456789", client="c" * 36),
}
BOOT = Boot(
    cloud="aws",
    project="proj",
    deployment="train-llama",
    rank=3,
    agent="0123456789abcdef" * 4,
    store=STORES["s3"],
    deadman_s=600,
    probes=(NOTICE,),
    most_s=86400,
    secrets="skywright/proj/train-llama/",
    labels={"team": "it's ours", "cost": "ü"},
)


def parts(content: bytes, folder: Path) -> tuple[str, dict[str, object]]:
    """The stub's source and the constants, as the shell hands them to Python."""
    python = folder / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] || printf "%s\\0%s" "$2" "$3"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh"], input=content, env={"PATH": str(folder)}, capture_output=True, check=True
    )
    code, constants = done.stdout.split(b"\0")
    packed = re.search(r'b85decode\("([^"]+)"\)', code.decode())
    assert packed
    return zlib.decompress(base64.b85decode(packed[1])).decode(), json.loads(constants)


@pytest.mark.parametrize("kind", sorted(STORES))
def test_the_packed_stub_is_the_one_that_is_written(kind: str, tmp_path: Path) -> None:
    source, _ = parts(user_data(replace(BOOT, store=STORES[kind])), tmp_path)
    told = "run `python -m tests.bootpack`"
    assert ast.dump(ast.parse(source)) == ast.dump(ast.parse(bootpack.source(kind))), told
    # Also where Python is as old as an image may bring it.
    ast.parse(source, feature_version=(3, 9))


@pytest.mark.parametrize("kind", sorted(STORES))
def test_user_data_is_small_and_says_what_the_rank_is(kind: str, tmp_path: Path) -> None:
    content = user_data(replace(BOOT, store=STORES[kind]))
    assert len(content) <= LIMIT
    assert content.startswith(b"#!/bin/sh\n")
    assert content == user_data(replace(BOOT, store=STORES[kind], labels=dict(reversed(BOOT.labels.items()))))
    said = parts(content, tmp_path)[1]
    assert said["link"] == {
        "carrier": "bucket",
        "store": STORES[kind].to_data(),
        "secrets": "skywright/proj/train-llama/",
    }
    assert said["labels"] == {"cost": "ü", "team": "it's ours"}
    assert Store.from_data(STORES[kind].to_data()) == STORES[kind]
    # With what the node finds out itself it is a whole manifest.
    assert said.pop("agent") == BOOT.agent
    own = {"version": 1, "node": "i-1", "address": "10.0.0.1", "home": "/h", "state": "/s"}
    schema = json.loads((ROOT / "schemas" / "manifest.v1.json").read_text())
    jsonschema.Draft202012Validator(schema).validate({**said, **own})


def test_nodes_dial_a_control_that_listens_for_them(tmp_path: Path) -> None:
    said = parts(user_data(replace(BOOT, control="https://control.example.com")), tmp_path)[1]
    # The agent still comes from the store, and its identity there is what proves who the node is.
    link = {"carrier": "http", "url": "https://control.example.com", "store": STORES["s3"].to_data()}
    assert said["link"] == link


def test_ranks_differ_in_nothing_but_their_number() -> None:
    first, second = (user_data(replace(BOOT, rank=rank)) for rank in (3, 4))
    assert first.replace(b'"rank":3', b'"rank":4') == second


def test_labels_without_end_are_refused() -> None:
    with pytest.raises(Problems, match="of which 4096 are allowed"):
        user_data(replace(BOOT, labels={f"label{n}": "x" * 60 for n in range(40)}))


def test_an_image_without_python_says_so(tmp_path: Path) -> None:
    script = tmp_path / "user-data"
    script.write_bytes(user_data(BOOT).replace(b"/dev/console", b"/dev/null"))
    (tmp_path / "tee").symlink_to("/usr/bin/tee")
    done = subprocess.run(
        ["/bin/sh", str(script)], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no Python 3.9 or newer in this image" in done.stdout
