"""The compiled folder works with plain `pulumi`, without our command line or a path of this machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from attached import attached

from compiler.folder import files
from compiler.load import load
from compiler.lower import lower
from compiler.offer import Market
from compiler.search import plan
from stacks import home, local, plugins

pytestmark = pytest.mark.engine


@pytest.fixture
def folder(desk, tmp_path: Path) -> Path:
    """What `compile` writes for two spot nodes."""
    task = load(b"num_nodes: 2\nresources: {use_spot: true}\nrun: date\n", "train.yaml", clouds=["local"])
    found = plan(task, local.offers(), name="train", enabled=("local",))
    spec = lower(task, found.chosen, name="train", project="proj", agent="5ta9d1")
    assert spec.market is Market.SPOT
    place = tmp_path / "compiled"
    place.mkdir()
    for name, content in files(found, [spec], project="proj").items():
        (place / name).write_bytes(content)
    return place


def test_plain_pulumi_previews_and_makes_what_we_would(desk, cli, folder: Path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    plugins.keep(home.home() / "pulumi")
    (stack,) = (path.name[len("Pulumi.") : -len(".yaml")] for path in folder.glob("Pulumi.*.yaml"))
    desk.state.mkdir()
    settings = {
        "PULUMI_HOME": str(home.home() / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{desk.state}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }

    def pulumi(*arguments: str, **more: str) -> str:
        done = subprocess.run(
            [cli.path, "--non-interactive", *arguments],
            cwd=folder,
            env={**os.environ, **settings, **more},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pulumi("stack", "init", f"organization/proj/{stack}", "--no-select")
    with attached(folder) as runtime:
        said = pulumi("preview", "--stack", stack, "--json", **runtime)
    steps = [step["urn"].rpartition("::")[2] for step in json.loads(said)["steps"] if step["op"] == "create"]
    assert {"node-0", "node-1"} <= set(steps)
    assert desk.nodes() == []
    unchanged = {name: (folder / name).read_bytes() for name in before if name != f"Pulumi.{stack}.yaml"}
    assert unchanged.items() <= before.items()
    assert not any(str(folder.parent).encode() in content for content in before.values())


def test_our_operation_and_the_compiled_folder_mean_the_same(desk, cli, folder: Path):
    """What we made previews without a change in the folder: both run the same program on the same spec."""
    config = (folder / "Pulumi.train-local.yaml").read_text()
    spec = desk.spec(2)
    for line in ("deployment: train", "nodes: 2", "market: spot"):
        assert line in config
    up = desk.well("up", spec, env={"PULUMI_CONFIG_PASSPHRASE": ""})
    settings = {
        "PULUMI_HOME": str(home.home() / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{desk.state}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    with attached(folder) as runtime:
        done = subprocess.run(
            [
                cli.path,
                "--non-interactive",
                "preview",
                "--stack",
                "train-local",
                "--json",
                "--expect-no-changes",
            ],
            cwd=folder,
            env={**os.environ, **settings, **runtime},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert desk.nodes() == [(row["rank"], row["id"], True) for row in up["nodes"]]
