"""The provider plugin: the process the engine starts, its answers, and what operations make of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from stacks import local as cloud
from stacks import process
from stacks.provider import nodes, plugin, server

URN = f"urn:pulumi:stack::proj::{plugin.TOKEN}::node-0"
INPUTS: dict[str, Any] = {
    "project": "proj",
    "deployment": "train",
    "rank": 0,
    "agent": "standin",
    "market": "spot",
    "deadman_s": 600,
    "labels": {"team": "a"},
}


def struct(data: dict[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(data)
    return made


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    plugin.write(tmp_path / "plugin")
    return tmp_path / "plugin" / plugin.EXECUTABLE


@pytest.fixture
def stub(executable: Path, local: Any, tmp_path: Path) -> Iterator[Any]:
    # Another folder with a package of the same name in it, as a user's checkout may have.
    (tmp_path / "elsewhere" / "stacks").mkdir(parents=True)
    (tmp_path / "elsewhere" / "stacks" / "__init__.py").write_text("raise ImportError('the wrong one')")
    running = subprocess.Popen(
        [executable, "127.0.0.1:1"],
        stdout=subprocess.PIPE,
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "elsewhere")},
        text=True,
    )
    assert running.stdout is not None
    port = int(running.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    running.kill()
    running.wait()
    running.stdout.close()


def test_the_life_of_a_node_in_the_engines_words(stub: Any, local: Any) -> None:
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == plugin.VERSION
    assert stub.Configure(provider_pb2.ConfigureRequest()).supportsPreview

    checked = stub.Check(provider_pb2.CheckRequest(urn=URN, news=struct(INPUTS)))
    assert not checked.failures
    planned = stub.Create(provider_pb2.CreateRequest(urn=URN, properties=checked.inputs, preview=True))
    assert (planned.id, planned.properties["address"]) == ("", server.UNKNOWN)
    assert cloud.inventory() == ()

    made = stub.Create(provider_pb2.CreateRequest(urn=URN, properties=checked.inputs))
    (node,) = nodes.existing()
    assert (made.id, made.properties["address"]) == (node.node, node.address)

    read = stub.Read(
        provider_pb2.ReadRequest(id=made.id, urn=URN, properties=made.properties, inputs=checked.inputs)
    )
    assert (read.id, read.properties, read.inputs) == (made.id, made.properties, checked.inputs)
    assert not stub.Diff(
        provider_pb2.DiffRequest(id=made.id, urn=URN, olds=read.properties, news=checked.inputs)
    ).diffs

    assert node.init is not None
    process.end(node.init)
    gone = stub.Read(provider_pb2.ReadRequest(id=made.id, urn=URN, properties=made.properties))
    assert gone.id == ""

    stub.Delete(provider_pb2.DeleteRequest(id=made.id, urn=URN, properties=made.properties))
    stub.Delete(provider_pb2.DeleteRequest(id=made.id, urn=URN, properties=made.properties))
    assert nodes.existing() == ()


def test_an_import_is_refused_with_a_sentence(stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match=r"cloud/import-refused.* cannot be imported"):
        stub.Read(provider_pb2.ReadRequest(id="train-0-abcdef", urn=URN))


def test_a_refused_creation_names_its_code_and_leaves_nothing(stub: Any) -> None:
    wanted = struct({**INPUTS, "agent": "0123"})
    with pytest.raises(grpc.RpcError, match="cloud/agent-missing"):
        stub.Create(provider_pb2.CreateRequest(urn=URN, properties=wanted))
    assert nodes.existing() == ()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS: noticed within half a second, by polling")
def test_a_plugin_ends_with_the_engine_that_started_it(executable: Path) -> None:
    engine = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "plugin = subprocess.Popen([sys.argv[1], '127.0.0.1:1'], stdout=subprocess.PIPE)\n"
            "plugin.stdout.readline()\n"
            "print(plugin.pid, flush=True)\n"
            "time.sleep(600)\n",
            str(executable),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert engine.stdout is not None
    who = process.identity(int(engine.stdout.readline()))
    assert process.alive(who)
    engine.kill()
    engine.wait()
    engine.stdout.close()
    deadline = time.monotonic() + 20
    while process.alive(who):
        assert time.monotonic() < deadline, "the plugin outlives its engine"
        time.sleep(0.01)


def test_wrong_inputs_are_each_named() -> None:
    _, wrong = server.check({**INPUTS, "rank": 1.5, "market": "futures", "labels": {"a": 1}, "gpus": 8})
    assert {name for name, _ in wrong} == {"rank", "market", "labels", "gpus"}
    _, wrong = server.check({"market": "spot"})
    assert {name for name, _ in wrong} == {"project", "deployment", "rank", "agent", "deadman_s"}
    checked, wrong = server.check({**INPUTS, "labels": None, "rank": 2.0, "project": server.UNKNOWN})
    assert (checked["labels"], checked["rank"], wrong) == ({}, 2, [])


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"labels": {}}, False),
        ({"deadman_s": 3600.0}, False),
        ({"rank": 1}, True),
        ({"market": "on-demand"}, True),
        ({"cpus": 2.0}, True),
        ({"memory_gb": 4.0}, True),
        ({"deployment": "other"}, True),
    ],
)
def test_what_a_change_means(change: dict[str, Any], replaces: bool) -> None:
    old = {**INPUTS, "address": "127.1.1.1", "created": "2026-01-01T00:00:00Z"}
    assert server.differences(old, {**INPUTS, **change}, frozenset()) == {next(iter(change)): replaces}
    assert server.differences(old, {**INPUTS, **change}, frozenset(change)) == {}


@pytest.mark.engine
def test_labels_and_a_newer_agent_leave_a_living_node_alone(desk: Any) -> None:
    up = desk.well("up", desk.spec(2))
    before = nodes.existing()
    changed = desk.spec(2, labels={"team": "a"})
    preview = desk.well("preview", changed)
    assert {step["op"] for step in preview["steps"]} == {"update"}
    assert desk.well("up", changed)["nodes"] == up["nodes"]
    after = nodes.existing()
    assert [node.init for node in after] == [node.init for node in before]
    assert [node.labels for node in after] == [{"team": "a"}] * 2
    assert desk.well("preview", desk.spec(2, labels={"team": "a"}, agent="newer"))["changes"] == {"same": 2}


@pytest.mark.engine
def test_a_refresh_notices_a_node_that_was_lost_and_up_makes_only_that_one(desk: Any) -> None:
    first = desk.well("up", desk.spec(2))["nodes"]
    lost = nodes.get(first[0]["id"])
    assert lost is not None
    assert lost.init is not None
    os.kill(lost.init.pid, signal.SIGKILL)
    assert desk.well("refresh", desk.spec(2))["resources"] == 1
    up = desk.well("up", desk.spec(2))
    assert up["changes"] == {"create": 1, "same": 1}
    second = up["nodes"]
    assert second[1] == first[1]
    assert second[0]["id"] != first[0]["id"]
    assert desk.nodes() == [(row["rank"], row["id"], True) for row in second]
    desk.well("destroy", desk.spec(2))
    assert os.listdir(nodes.root()) == []


@pytest.mark.engine
def test_growing_keeps_the_nodes_that_are_there(desk: Any) -> None:
    (one,) = desk.well("up", desk.spec(1))["nodes"]
    two = desk.well("up", desk.spec(2))["nodes"]
    assert two[0] == one
    assert [node.rank for node in nodes.existing()] == [0, 1]
    assert desk.well("up", desk.spec(1))["nodes"] == [one]
    assert [node.node for node in nodes.existing()] == [one["id"]]
