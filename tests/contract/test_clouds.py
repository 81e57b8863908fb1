"""What every cloud keeps: the protocol of stacks/cloud.py, its stacks built under Pulumi's mocks."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.catalog import tariffs
from compiler.offer import Accelerator, Capability, Market
from compiler.problem import Problems
from compiler.spec import Foundation, Given, StackSpec
from stacks import CLOUDS, cloud
from stacks.boot import Store
from stacks.cloud import Check, Cloud, Failure, Probe
from stacks.provider import agents
from stacks.rules import judging, reading
from stacks.rules.facts import Acting, Address, Disk, Machine, MadeRole, Opening, Resource, Tags
from stacks.rules.ordered import Ordered
from stacks.rules.policy import Policy
from tests.contract.samples import NASTY, sample

every_cloud = pytest.mark.parametrize("name", CLOUDS)
A_SECRET, ANOTHER = "HF_TOKEN_OF_NLP", "WANDB_KEY_OF_NLP"


class Builder:
    """One process per cloud that builds stacks: SDKs take seconds to import, and mocks are for a whole process."""

    def __init__(self, name: str) -> None:
        self.name, self.sample = name, sample(name)
        self.known: dict[str, dict[str, Any]] = {}
        command = [sys.executable, str(Path(__file__).with_name("building.py"))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **self.sample.env},
        )

    def spec(self, market: Market = Market.SPOT, **changes: Any) -> StackSpec:
        known = self.sample
        values: dict[str, Any] = {
            "project": "proj",
            "stack": f"train-{self.name}",
            "deployment": "train",
            "cloud": self.name,
            "region": known.region,
            "zone": known.zone,
            "instance_type": known.machine,
            "market": market,
            "nodes": 2,
            "agent": agents.digest(),
            "labels": {"team": "nlp"},
            "image": known.image,
            "network": known.network,
            **changes,
        }
        return StackSpec(**values)

    def build(self, spec: StackSpec | Foundation, fresh: bool = False) -> dict[str, Any]:
        """Resources and outputs of a stack, or its problem."""
        if fresh or spec.digest not in self.known:
            asked = {
                "spec": spec.to_data(),
                "answers": self.sample.answers,
                "outputs": self.sample.outputs,
            }
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            assert line, "the process that builds stacks ended"
            self.known[spec.digest] = json.loads(line)
        return self.known[spec.digest]

    def made(self, spec: StackSpec | Foundation) -> list[dict[str, Any]]:
        found = self.build(spec)
        assert "problem" not in found, found
        return [one for one in found["made"] if not one["type"].startswith("pulumi:providers:")]

    def nodes(self, spec: StackSpec) -> list[dict[str, Any]]:
        """A resource for each rank, or the one of which the cloud's own controllers make all."""
        begins = "nodes" if self.numbers else "node-"
        return [one for one in self.made(spec) if one["name"].startswith(begins)]

    @property
    def numbers(self) -> bool:
        return hasattr(cloud(self.name), "present")

    def end(self) -> None:
        with self.process:  # closes its pipes, and waits
            assert self.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


@pytest.fixture(scope="module")
def builders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Builder]]:
    made: dict[str, Builder] = {}
    with pytest.MonkeyPatch.context() as patch:
        # The agent's archive is kept in skywright's home.
        patch.setenv("SKYWRIGHT_HOME", str(tmp_path_factory.mktemp("home")))
        made = {name: Builder(name) for name in CLOUDS}
    yield made
    for builder in made.values():
        builder.end()


@pytest.fixture
def builder(builders: dict[str, Builder], name: str) -> Builder:
    return builders[name]


def able(name: str, *wanted: Capability) -> None:
    lacking = [one.value for one in wanted if one not in cloud(name).CAPABILITIES]
    if lacking:
        pytest.skip(f"{name} does not claim {', '.join(lacking)}")


# The protocol.


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
    assert offers == module.offers()
    for offer in offers:
        assert offer.cloud == name
        assert offer.price >= 0
        assert offer.cpus > 0
        assert offer.memory_gb > 0
        assert offer.disk_gb is None or offer.disk_gb > 0
    markets = {offer.market for offer in offers}
    assert not offers or (Market.SPOT in markets) == (Capability.SPOT in module.CAPABILITIES)


@every_cloud
def test_check_says_something(name: str) -> None:
    lines = cloud(name).check()
    assert lines
    assert all(isinstance(line, Check) and line.says for line in lines)
    assert all(line.hint for line in lines if not line.ok)


@every_cloud
def test_errors_are_sorted_into_the_five_words(name: str) -> None:
    module = cloud(name)
    assert module.sort("something nobody has ever heard of") is Failure.OTHER
    assert module.sort("") is Failure.OTHER


@every_cloud
def test_without_credentials_nobody_is_asked(name: str) -> None:
    module = cloud(name)
    assert module.configured() is (not module.ENV)


@every_cloud
def test_its_probes_tell_a_lost_node_from_one_that_stays(name: str) -> None:
    from runtime.probe import Probe as Watcher

    module, known = cloud(name), sample(name)
    assert {number for number, _ in known.lost} == set(range(len(module.PROBES)))

    def judge(probe: Probe, answer: Any) -> float | None:
        watcher = Watcher(probe.to_data(), lambda left, source: None)
        watcher._acknowledge = lambda row: None  # type: ignore[method-assign]
        text = answer if isinstance(answer, str) else json.dumps(answer)
        watcher._get = lambda: (200, text)  # type: ignore[method-assign]
        return watcher.look()

    for number, answer in known.lost:
        assert judge(module.PROBES[number], answer) is not None, answer
    for number, answer in known.kept:
        assert judge(module.PROBES[number], answer) is None, answer


# Its stacks.


@every_cloud
def test_a_stack_exports_its_nodes(name: str, builder: Builder) -> None:
    nodes = builder.build(builder.spec())["exported"]["nodes"]
    assert [node["rank"] for node in nodes] == [0, 1]
    assert all(set(node) == {"rank", "id", "address"} for node in nodes)
    assert all(node["id"] and node["address"] for node in nodes)
    assert len({node["id"] for node in nodes}) == 2


@every_cloud
def test_every_node_is_found_again_by_its_tags(name: str, builder: Builder) -> None:
    ranked = [json.dumps(resource["inputs"]) for resource in builder.nodes(builder.spec())]
    assert len(ranked) == (1 if builder.numbers else 2)
    for rank, inputs in enumerate(ranked):
        assert '"proj"' in inputs
        assert '"train"' in inputs
        assert "nlp" in inputs, "labels reach the node"
        assert str(rank) in inputs


@every_cloud
def test_everything_is_tagged(name: str, builder: Builder) -> None:
    known = builder.sample
    spec = builder.spec(secrets=(A_SECRET,), ports=("8080",), owner="ann", task="train")
    made = builder.made(spec)
    if cloud(name).FOUNDATION:
        made += builder.made(Foundation.of("proj", name, known.region))
    for one in made:
        if one["type"] not in known.untagged:
            tags = one["inputs"].get(known.tags) if known.tags else one["inputs"]
            assert '"proj"' in json.dumps(tags), one


@every_cloud
@pytest.mark.parametrize("market", Market)
def test_the_market_that_was_asked_for_is_the_one_that_is_used(
    name: str, builder: Builder, market: Market
) -> None:
    able(name, *([Capability.SPOT] if market is Market.SPOT else []))
    for node in builder.nodes(builder.spec(market)):
        assert (builder.sample.spot in json.dumps(node["inputs"])) == (market is Market.SPOT)


@every_cloud
def test_the_same_spec_makes_the_same_resources(name: str, builder: Builder) -> None:
    spec = builder.spec(secrets=(A_SECRET,), ports=("8080",), disk_gb=100.0)
    assert builder.build(spec) == builder.build(spec, fresh=True)


@every_cloud
def test_nothing_that_a_recovery_changes_is_in_a_node(name: str, builder: Builder) -> None:
    """One more node leaves the inputs of the others as they are; so does another set of zones to choose from."""
    if builder.numbers:
        pytest.skip("its nodes are one resource")
    two, three = builder.nodes(builder.spec(nodes=2)), builder.nodes(builder.spec(nodes=3))
    assert three[:2] == two


@every_cloud
def test_no_secret_is_in_the_stack_but_by_name(name: str, builder: Builder) -> None:
    spec = builder.spec(secrets=(A_SECRET, ANOTHER))
    named = {one["type"] for one in builder.made(spec) if A_SECRET in json.dumps(one)}
    assert named <= builder.sample.containers
    with_value = [one for one in builder.made(spec) if "secretString" in json.dumps(one).lower()]
    assert with_value == [], "values are written beside Pulumi"


@every_cloud
def test_no_port_is_open_that_was_not_asked_for(name: str, builder: Builder) -> None:
    able(name, Capability.PORTS)

    def opened(spec: StackSpec) -> list[str]:
        return [port for one in builder.made(spec) for port in builder.sample.opens(one)]

    assert opened(builder.spec()) == []
    assert opened(builder.spec(nodes=1)) == []
    assert opened(builder.spec(ports=("8080", "9000-9010"))) == ["8080", "9000-9010"]


CLAIMS: dict[Capability, dict[str, Any]] = {
    Capability.MULTI_NODE: {"nodes": 3},
    Capability.SPOT: {"market": Market.SPOT},
    Capability.LABELS: {"labels": {"team": "nlp", "cost-center": "7"}},
    Capability.CHECKPOINT: {"checkpoint": "~/checkpoints"},
    Capability.PORTS: {"ports": ("80", "8000-8100")},
    Capability.IMAGE: {"image": "an-image-of-the-team"},
    Capability.CONTAINER: {"container": "pytorch/pytorch:2.5"},
    Capability.DISK_TIER: {"disk_tier": "best", "disk_gb": 500.0},
    Capability.NETWORK_TIER: {"network_tier": "best"},
}
"""What a spec says when a task uses a capability; the others leave no trace in it."""


@every_cloud
@pytest.mark.parametrize("capability", list(CLAIMS))
def test_every_claimed_capability_builds(name: str, builder: Builder, capability: Capability) -> None:
    able(name, capability)
    changes = dict(CLAIMS[capability])
    if capability is Capability.IMAGE and builder.sample.image:
        changes["image"] = builder.sample.image
    plain = builder.made(builder.spec(Market.ON_DEMAND, nodes=1, labels={}, image=builder.sample.image))
    market = changes.pop("market", Market.ON_DEMAND)
    asked = builder.spec(market, **{"nodes": 1, "labels": {}, **changes})
    built = builder.made(asked)
    unseen = {Capability.CHECKPOINT, Capability.IMAGE} | (
        {Capability.NETWORK_TIER} if asked.nodes == 1 else set()
    )
    if not builder.numbers:  # on machines the agent runs it, as its run says
        unseen.add(Capability.CONTAINER)
    assert built != plain or capability in unseen


@every_cloud
@pytest.mark.parametrize("tier", ["low", "medium", "high", "ultra", "best", None])
def test_every_disk_tier_builds(name: str, builder: Builder, tier: str | None) -> None:
    able(name, Capability.DISK_TIER)
    if not tariffs.has_tier(name, tier):
        pytest.skip(f"no plan has a disk of tier {tier} there")
    assert builder.nodes(builder.spec(disk_tier=tier, disk_gb=500.0))


@every_cloud
def test_accelerators_build(name: str, builder: Builder) -> None:
    if name == "local":
        pytest.skip("sells none")
    assert builder.nodes(builder.spec(accelerator=Accelerator("A10G", 1)))


@every_cloud
def test_what_the_team_owns_is_looked_up_and_never_made(name: str, builder: Builder) -> None:
    able(name, Capability.NETWORKING)
    given = builder.sample.given
    ours = {one["type"] for one in builder.made(builder.spec())}
    theirs = builder.made(builder.spec(network=None, given=given, encrypted_with=given.key))
    assert {one["type"] for one in theirs} < ours, "fewer kinds of things than without"
    by_network = builder.spec(network=None, nodes=1, given=Given(network=given.network))
    assert {one["type"] for one in builder.made(by_network)} <= ours


def test_a_network_of_another_google_project_is_not_opened_by_us(builders: dict[str, Builder]) -> None:
    builder = builders["gcp"]
    network = Given(account="our-project", network="projects/host-project/global/networks/team")
    problem = builder.build(builder.spec(network=None, given=network))["problem"]
    assert problem["code"] == "cloud/no-access"
    assert "security_groups" in problem["hint"]
    tagged = replace(network, security_groups=("team-tag",))
    kinds = {one["type"] for one in builder.made(builder.spec(network=None, given=tagged, ports=("80",)))}
    assert "gcp:compute/firewall:Firewall" not in kinds, "the team's firewalls say who may come in"
    own = builder.spec(network=None, given=replace(network, network="team"))
    assert "gcp:compute/firewall:Firewall" in {one["type"] for one in builder.made(own)}


@every_cloud
def test_user_data_is_short_and_says_nothing_that_changes(name: str, builder: Builder) -> None:
    spec = builder.spec(secrets=(A_SECRET,), nodes=8)
    texts = [builder.sample.user_data(node) for node in builder.nodes(spec)]
    for text in texts:
        assert len(text.encode()) <= builder.sample.user_data_bytes
        assert A_SECRET not in text
    if texts[0]:
        assert len(set(texts)) == 8, "each says its rank"


@every_cloud
@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_names_fit_the_rules_of_the_cloud(name: str, builder: Builder, nasty: str) -> None:
    spec = builder.spec(
        task=nasty,
        owner=nasty,
        labels={"task": nasty, "other": "x" * 300},
        secrets=(A_SECRET,),
        network_tier="best",
    )
    named = replace(spec, deployment=nasty, stack=f"{nasty}-{name}", project="A_Project.of-the-team" * 3)
    for one in (spec, named) if name != "local" else (spec,):
        made = builder.made(one)
        assert [wrong for resource in made for wrong in builder.sample.names(resource)] == []


@every_cloud
def test_a_foundation_costs_nothing_or_says_so(name: str, builder: Builder) -> None:
    module = cloud(name)
    spec = Foundation.of("proj", name, builder.sample.region)
    if module.FOUNDATION:
        assert builder.made(spec)
        assert module.idle(spec), "`down` says what stands"
    for one in module.idle(spec):
        assert one.says
        assert one.monthly >= 0


GOLDEN = Path(__file__).parents[1] / "golden" / "stacks"
UPDATE = bool(os.environ.get("SKYWRIGHT_UPDATE_GOLDEN"))


@pytest.mark.parametrize("name", [name for name in CLOUDS if (GOLDEN / f"{name}.json").exists()])
def test_four_nodes_are_made_of_what_was_reviewed(name: str, builder: Builder) -> None:
    """SKYWRIGHT_UPDATE_GOLDEN=1 writes them anew, git shows what changed."""
    spec = builder.spec(
        nodes=4,
        ports=("8080",),
        secrets=(A_SECRET,),
        owner="ann",
        task="train",
        disk_gb=200.0,
        network_tier="best",
    )
    text = json.dumps(builder.build(spec), indent=1, sort_keys=True, ensure_ascii=False)
    text = re.sub(r'"userDataBase64": "[^"]+"', '"userDataBase64": "..."', text)
    text = text.replace(agents.digest(), "AGENT") + "\n"
    path = GOLDEN / f"{name}.json"
    if UPDATE:
        path.write_text(text)
    assert text == path.read_text(), "SKYWRIGHT_UPDATE_GOLDEN=1 writes it anew"


# Where the cloud itself is asked.


@pytest.mark.parametrize("name", [name for name in CLOUDS if not cloud(name).ENV])
def test_nodes_that_do_not_exist_are_no_trouble(name: str) -> None:
    module = cloud(name)
    assert module.inventory("no-such-project") == ()
    module.remove("hello-0-000000")
    assert not module.verify("hello-0-000000", "proof")


@pytest.mark.parametrize("name", [name for name in CLOUDS if Capability.STOP not in cloud(name).CAPABILITIES])
@pytest.mark.parametrize("verb", ["stop", "start"])
def test_what_cannot_be_stopped_says_so_and_what_can_be_done(name: str, verb: str) -> None:
    with pytest.raises(Problems) as caught:
        getattr(cloud(name), verb)(("some-node",))
    problem = caught.value.problems[0]
    assert problem.code == "cloud/cannot-stop"
    assert "down" in (problem.hint or "")


@every_cloud
def test_what_stays_for_a_checkpoint_is_said_of_tasks_that_have_one(name: str, builder: Builder) -> None:
    kept = getattr(cloud(name), "kept", None)
    if kept is None:
        pytest.skip("it keeps no checkpoint, or where nobody has to remove it")
    stores = tuple(
        Store(kind, "its-bucket", "its-prefix", account="itsaccount") for kind in ("s3", "gcs", "azblob")
    )
    assert kept(builder.spec(), stores) == ()
    assert [one.what and one.says for one in kept(builder.spec(checkpoint="~/checkpoints"), stores)]


HOLDS = {"group"}
"""What an image lies in, where clouds have that: a resource group."""


@pytest.mark.parametrize("name", [name for name in CLOUDS if getattr(cloud(name), "BAKES", False)])
def test_an_image_is_made_of_a_machine_that_then_goes(name: str, builder: Builder) -> None:
    names, exported = {}, {}
    for stage in ("machine", "image", "kept"):
        more = {"node": "i-0123456789abcdef0"} if stage != "machine" else {}
        bake = {"name": "skywright-cpu-x86-64-0123456789", "stage": stage, **more}
        spec = builder.spec(Market.ON_DEMAND, nodes=1, bake=bake)
        names[stage] = {one["name"] for one in builder.made(spec)}
        exported[stage] = builder.build(spec)["exported"]
    assert "node-0" in names["machine"]
    assert names["image"] == names["machine"] | {"image"}
    assert names["kept"] - HOLDS == {"image"}, "nothing but the image stays"
    assert exported["kept"]["image"]


# What a team's rules are told of its stacks.


def unread(name: str) -> bool:
    """A cloud of one file, or from an entry point: what its types mean, nobody has said yet."""
    return not any(module.startswith(f"{reading.__name__}.{name}") for module in reading.READERS.values())


every_read_cloud = pytest.mark.parametrize("name", [name for name in CLOUDS if not unread(name)])


def told_of(
    rule: str, parameters: dict[str, Any], builder: Builder, spec: StackSpec
) -> list[judging.Finding]:
    """What one rule finds in a stack."""
    policy = Policy.from_data({"statements": [{"rule": rule, "said": parameters, "origin": ""}]})
    ordered = Ordered.of(spec, policy.asked)
    rows = [
        {"name": one["name"], "type": one["type"], "op": "create", "inputs": one["inputs"]}
        for one in builder.made(spec)
    ]
    return list(judging.of_all(policy, ordered, rows, datetime.date(2026, 1, 1)))


@pytest.mark.parametrize("name", [name for name in CLOUDS if unread(name)])
def test_rules_say_of_each_resource_that_nobody_reads_that_it_is_not_judged(
    name: str, builder: Builder
) -> None:
    spec = builder.spec(Market.ON_DEMAND)
    found = told_of("required-tags", {"tags": {"cost": True}}, builder, spec)
    order = [one for one in found if one.resource is None]
    assert [one.level for one in order] == ["deny"], "what is ordered is judged on any cloud"
    others = {one.resource: one for one in found if one.resource is not None}
    assert others.keys() == {one["name"] for one in builder.made(spec)}
    assert {one.level for one in others.values()} == {"unjudged"}
    assert all(one.message.startswith("not judged: ") for one in others.values())


def facts(builder: Builder, spec: StackSpec | Foundation) -> list[Any]:
    found = []
    for one in builder.made(spec):
        read = reading.read(Resource(one["name"], one["type"], "create", one["inputs"]))
        assert read is not None, f"no reader knows what {one['type']} is"
        found += read
    return found


@every_read_cloud
def test_rules_know_every_type_and_what_is_open_tagged_and_spot(name: str, builder: Builder) -> None:
    open_to_all = Capability.PORTS in cloud(name).CAPABILITIES
    spec = builder.spec(ports=("22", "8000-8010") if open_to_all else ())
    found = facts(builder, spec)
    openings = {(one.first, one.last) for one in found if isinstance(one, Opening)}
    assert openings == ({(22, 22), (8000, 8010)} if open_to_all else set())
    assert {one.tags.get("team") for one in found if isinstance(one, Tags)} == {"nlp"}
    assert {one.spot for one in found if isinstance(one, Machine)} == {True}
    assert [one for one in found if isinstance(one, Disk) and one.encrypted is False] == []
    assert any(isinstance(one, Disk) for one in found)
    calm = facts(builder, builder.spec(Market.ON_DEMAND))
    assert {one.spot for one in calm if isinstance(one, Machine)} == {False}
    assert [one for one in calm if isinstance(one, Opening)] == []
    if spec.foundation and cloud(name).FOUNDATION:
        facts(builder, spec.foundation)


@every_read_cloud
def test_rules_know_the_key_and_the_role_that_a_team_gives(name: str, builder: Builder) -> None:
    given = builder.sample.given
    if given == Given():
        pytest.skip(f"{name} takes nothing of a team's")
    found = facts(builder, builder.spec(network=None, given=given, encrypted_with=given.key))
    assert [one for one in found if isinstance(one, (Address, MadeRole))] == []
    assert (
        any(given.role.rpartition("/")[2] in one.role for one in found if isinstance(one, Acting))
        or not given.role
    )
    keys = {one.key for one in found if isinstance(one, Disk) and one.what.startswith("its ")}
    assert not given.key or None not in keys
