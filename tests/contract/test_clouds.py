"""What every cloud keeps: the protocol of stacks/cloud.py, its stacks built under Pulumi's mocks."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from compiler.offer import Capability, Market, Offer
from compiler.spec import StackSpec
from stacks import CLOUDS, cloud
from stacks.cloud import Check, Cloud, Failure

every_cloud = pytest.mark.parametrize("name", CLOUDS)

BUILD = """
import json, sys
import pulumi
from compiler.spec import StackSpec
from stacks import cloud

made, exported = [], {}

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        made.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        return [f"id-of-{args.name}", {**args.inputs, "address": f"address-of-{args.name}"}]

    def call(self, args):
        return {}

spec = StackSpec.from_data(json.load(sys.stdin))
pulumi.runtime.set_mocks(Mocks(), project=spec.project, stack=spec.stack, preview=False)
really_export = pulumi.export
pulumi.export = lambda name, value: exported.__setitem__(name, value)

@pulumi.runtime.test
def build():
    cloud(spec.cloud).build(spec)
    return pulumi.Output.from_input(exported).apply(lambda values: exported.update(values))

build()
print(json.dumps({"made": made, "exported": exported}))
"""


def offer_of(module: Cloud, market: Market) -> Offer:
    return next(offer for offer in module.offers() if offer.market is market)


def build(name: str, market: Market = Market.SPOT, **changes: Any) -> dict[str, Any]:
    """Resources and outputs of a stack, built in a process of its own (mocks are for the whole process)."""
    offer = offer_of(cloud(name), market)
    values: dict[str, Any] = {
        "project": "proj",
        "stack": f"train-{name}",
        "deployment": "train",
        "cloud": name,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "market": market,
        "nodes": 2,
        "agent": "0123abcd",
        "labels": {"team": "nlp"},
        **changes,
    }
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        input=json.dumps(StackSpec(**values).to_data()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    result["made"].sort(key=lambda resource: (resource["type"], resource["name"]))
    return result


@every_cloud
def test_it_has_all_names_of_the_protocol(name: str) -> None:
    module = cloud(name)
    assert name == module.NAME
    wanted = [member for member in vars(Cloud) if not member.startswith("_")]
    assert [member for member in wanted if not callable(getattr(module, member))] == []
    assert module.CAPABILITIES
    assert all(isinstance(capability, Capability) for capability in module.CAPABILITIES)


@every_cloud
def test_importing_it_imports_no_sdk(name: str) -> None:
    script = (
        f"import sys, {CLOUDS[name]}\n"
        "heavy = {'pulumi', 'grpc', 'boto3', 'google', 'azure', 'kubernetes', 'yaml', 'jsonschema'}\n"
        "print(sorted(heavy & {module.partition('.')[0] for module in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@every_cloud
def test_its_offers_make_sense_and_stay_the_same(name: str) -> None:
    module = cloud(name)
    offers = module.offers()
    assert offers
    assert offers == module.offers()
    for offer in offers:
        assert offer.cloud == name
        assert offer.price >= 0
        assert offer.cpus > 0
        assert offer.memory_gb > 0
        assert offer.disk_gb is None or offer.disk_gb > 0
    markets = {offer.market for offer in offers}
    assert (Market.SPOT in markets) == (Capability.SPOT in module.CAPABILITIES)


@every_cloud
def test_check_says_something(name: str) -> None:
    lines = cloud(name).check()
    assert lines
    assert all(isinstance(line, Check) and line.says for line in lines)
    assert all(line.hint for line in lines if not line.ok)


@every_cloud
def test_a_stack_exports_its_nodes(name: str) -> None:
    nodes = build(name)["exported"]["nodes"]
    assert [node["rank"] for node in nodes] == [0, 1]
    assert all(set(node) == {"rank", "id", "address"} for node in nodes)
    assert all(node["id"] and node["address"] for node in nodes)
    assert len({node["id"] for node in nodes}) == 2


@every_cloud
def test_every_node_is_found_again_by_its_tags(name: str) -> None:
    made = build(name)["made"]
    ranked = [json.dumps(resource["inputs"]) for resource in made if resource["name"].startswith("node-")]
    assert len(ranked) == 2
    for rank, inputs in enumerate(ranked):
        assert '"proj"' in inputs
        assert '"train"' in inputs
        assert "nlp" in inputs, "labels reach the node"
        assert str(rank) in inputs


@every_cloud
@pytest.mark.parametrize("market", Market)
def test_the_market_that_was_asked_for_is_the_one_that_is_used(name: str, market: Market) -> None:
    made = build(name, market)["made"]
    other = Market.SPOT if market is Market.ON_DEMAND else Market.ON_DEMAND
    assert any(market.value in json.dumps(resource["inputs"]) for resource in made)
    assert not any(other.value in json.dumps(resource["inputs"]) for resource in made)


@every_cloud
def test_the_same_spec_makes_the_same_resources(name: str) -> None:
    assert build(name) == build(name)


@every_cloud
def test_secrets_are_not_in_the_stack(name: str) -> None:
    assert "A_SECRET_NAME" not in json.dumps(build(name, secrets=("A_SECRET_NAME",))["made"])


@every_cloud
def test_nodes_that_do_not_exist_are_no_trouble(name: str) -> None:
    module = cloud(name)
    assert module.inventory("no-such-project") == ()
    module.remove("hello-0-000000")
    assert not module.verify("hello-0-000000", "proof")


@every_cloud
def test_errors_are_sorted_into_the_five_words(name: str) -> None:
    module = cloud(name)
    assert module.sort("something nobody has ever heard of") is Failure.OTHER
    assert module.sort("") is Failure.OTHER
