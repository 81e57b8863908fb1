"""Networks that stand without a deployment: which, who uses them, what they cost, and that used ones stay."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stacks
from compiler.offer import Market
from compiler.problem import Problems
from compiler.spec import Foundation, StackSpec
from skywright.cli import down, foundation, operating
from skywright.cli.arguments import Values, parse
from skywright.cli.verbs import find
from stacks import home, standing
from stacks.cloud import Idle


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, str]]]:
    cloud = ModuleType("toy_with_networks")

    def idle(spec: Foundation) -> tuple[Idle, ...]:
        return (Idle(f"network {spec.name} in {spec.region}", 1.5, "an address"),)

    vars(cloud).update(NAME="toy", ENV=("TOY_",), EXTRA="toy", idle=idle)
    monkeypatch.setitem(sys.modules, "toy_with_networks", cloud)
    monkeypatch.setitem(stacks.OURS, "toy", "toy_with_networks")
    monkeypatch.setenv("TOY_KEY", "k")
    ended: list[tuple[str, str, dict[str, str]]] = []

    def carry_out(kind: Any, spec: Foundation, env: dict[str, str], tell: Any) -> dict[str, Any]:
        ended.append((kind.value, spec.stack, env))
        return {}

    monkeypatch.setattr(operating, "carry_out", carry_out)
    return ended


def stand(*names: str) -> Path:
    folder = home.home() / "state" / ".pulumi" / "stacks" / "skywright"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.json").write_text("{}")
    return folder


def values(*words: str) -> Values:
    verb = find(words[0])
    assert verb is not None
    return parse(verb, words[1:])


def test_what_stands_and_who_uses_it(capsys: pytest.CaptureFixture[str]) -> None:
    stand("foundation-toy-us-1", "foundation-toy-eu-1", "train-toy-us-1", "train-local", "notes")
    assert foundation.run(values("foundation", "ls", "--json")) == 0
    rows = json.loads(capsys.readouterr().out)["foundations"]
    assert [(row["where"], row["users"], row["monthly"]) for row in rows] == [
        ("toy/eu-1", [], 1.5),
        ("toy/us-1", ["train-toy-us-1"], 1.5),
    ]
    assert rows[0]["network"] == "skywright-skywright"
    assert foundation.run(values("foundation", "ls")) == 0
    assert "$1.50 a month" in capsys.readouterr().out


def test_only_unused_ones_are_removed(
    toy: list[tuple[str, str, dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    stand("foundation-toy-us-1", "foundation-toy-eu-1", "train-toy-us-1")
    with pytest.raises(Problems) as used:
        foundation.run(values("foundation", "down", "toy/us-1", "--yes"))
    assert used.value.problems[0].code == "lock/foundation-in-use"
    with pytest.raises(Problems, match="no foundation stands"):
        foundation.run(values("foundation", "down", "toy/nowhere", "--yes"))
    assert toy == []
    assert foundation.run(values("foundation", "down", "--yes")) == 0
    assert "train-toy-us-1 lives there" in capsys.readouterr().err
    assert [(kind, stack, env["TOY_KEY"]) for kind, stack, env in toy] == [
        ("destroy", "foundation-toy-eu-1", "k")
    ]


def test_nothing_is_said_where_nothing_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert foundation.run(values("foundation", "ls")) == 0
    assert "nothing stands" in capsys.readouterr().out
    with pytest.raises(Problems, match="knows no `up`"):
        foundation.run(values("foundation", "up"))


def test_down_says_what_stays() -> None:
    spec = {
        "version": 1,
        "project": "p",
        "stack": "train-toy-us-1",
        "deployment": "train",
        "cloud": "toy",
        "region": "us-1",
    }
    spec |= {"instance_type": "t", "market": "spot", "nodes": 1, "agent": "a", "network": "skywright-p"}
    one = down.stands_after({"spec": spec})
    assert one is not None
    assert foundation.say_stands(one).startswith("stands: network skywright-p in us-1 · $1.50 a month · ")
    assert down.stands_after({"spec": {name: spec[name] for name in spec if name != "network"}}) is None


def test_a_backend_without_a_folder_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"PULUMI_BACKEND_URL": "s3://bucket", "PULUMI_CONFIG_PASSPHRASE": "x"}
    monkeypatch.setattr(standing, "_asked", lambda settled, project: ("foundation-toy-us-1",))
    [one] = standing.foundations(env, "skywright", {})
    assert one.where == "toy/us-1"
    assert standing.foundations(env, "skywright", {}, ask=False) == ()


STORES = {
    "aws": (
        {"kind": "s3", "bucket": "sky-1", "prefix": "p"},
        "bucket s3://sky-1",
        "aws s3 rb --force s3://sky-1",
    ),
    "gcp": (
        {"kind": "gcs", "bucket": "sky-1", "prefix": "p"},
        "bucket gs://sky-1",
        "gcloud storage rm --recursive gs://sky-1",
    ),
    "azure": (
        {"kind": "azblob", "bucket": "c", "prefix": "p", "account": "sky1"},
        "storage account sky1 in resource group skywright-p-d-",
        "az group delete --name skywright-p-d-",
    ),
}


@pytest.mark.parametrize("cloud", STORES)
def test_storage_that_a_checkpoint_keeps_is_told_with_its_price_and_its_end(
    cloud: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store, what, command = STORES[cloud]
    spec = StackSpec(
        project="p",
        stack="d-1",
        deployment="d",
        cloud=cloud,
        region="us-east-1",
        instance_type="m",
        market=Market.SPOT,
        nodes=1,
        agent="0" * 64,
        checkpoint="~/ckpt",
        network="n",
    )
    gone = {"name": "d", "kept": None, "spent": 1.0, "spec": spec.to_data(), "stores": [store]}
    down._say(gone, purge=True)
    said = capsys.readouterr().err
    assert f"kept: {what}" in said
    assert command in said
    assert "~/ckpt" in said
    assert "USD per GB and month" in said
    down._say({**gone, "spec": replace(spec, checkpoint=None).to_data()}, purge=False)
    assert "kept" not in capsys.readouterr().err
