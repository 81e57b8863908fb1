"""What is asked of Google and Azure outside Pulumi, at the stand-ins' interfaces over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Market
from compiler.problem import Problem, Problems
from compiler.spec import Given, StackSpec
from stacks import answers
from stacks import cloud as cloud_of
from stacks.azure import names as azure_names
from stacks.cloud import ANYWHERE, Cloud, Scope
from stacks.gcp import names as gcp_names
from tests.standins import azure as azure_standin
from tests.standins import gcp as gcp_standin
from tests.standins import inventory, rest, rest_beside, rest_env
from tests.standins.inventory import Machine
from tests.standins.kind import Ask
from tests.standins.store import Store

SUB = rest_env.SUBSCRIPTION
PLACES = {"gcp": "us-central1-a", "azure": "1"}
REGIONS = {"gcp": "us-central1", "azure": "eastus"}
PROVIDERS = {"gcp": "gcp", "azure": "azure-native"}


def spec(cloud: str, deployment: str = "train", project: str = "proj", **more: Any) -> StackSpec:
    values = {
        "project": project,
        "stack": f"{deployment}-{cloud}",
        "deployment": deployment,
        "cloud": cloud,
        "region": REGIONS[cloud],
        "zone": PLACES[cloud],
        "instance_type": "any",
        "market": Market.SPOT,
        "nodes": 2,
        "agent": "5ta9d1",
        **more,
    }
    return StackSpec(**values)


@dataclass(frozen=True)
class Place:
    """One cloud at its stand-in: what holds things, our module for it, and how a test makes them."""

    name: str
    cloud: Cloud
    store: Store

    def make(self, token: str, config: dict[str, Any] | None = None, **inputs: Any) -> str:
        """The id of a new resource of the stand-in."""
        kinds, here = (
            (
                gcp_standin.CLOUD,
                {"project": rest_env.PROJECT, "region": "us-central1", "zone": "us-central1-a"},
            )
            if self.name == "gcp"
            else (azure_standin.CLOUD, {"subscriptionId": SUB, "location": "eastus"})
        )
        ask = Ask("urn:x::y::z::w", "", inputs, {}, {}, {**here, **(config or {})}, self.store)
        return kinds.kinds[token].create(ask).id

    def node(self, wanted: StackSpec, rank: int, spot: bool = True, zone: str | None = None) -> None:
        """A machine as the stack of `wanted` makes it."""
        made = self._instance if self.name == "gcp" else self._machine
        made(wanted, rank, spot, zone or PLACES[self.name])

    def _instance(self, wanted: StackSpec, rank: int, spot: bool, zone: str) -> None:
        if self.store.get("gcp", "Network", f"projects/{rest_env.PROJECT}/global/networks/net") is None:
            self.make("gcp:compute/network:Network", name="net")
        model = "SPOT" if spot else "STANDARD"
        scheduling = {
            "provisioningModel": model,
            "automaticRestart": not spot,
            "onHostMaintenance": "TERMINATE",
        }
        self.make(
            "gcp:compute/instance:Instance",
            {"zone": zone},
            name=f"{wanted.deployment}-{rank}",
            zone=zone,
            machineType="a2-highgpu-1g",
            bootDisk={},
            networkInterfaces=[{"network": "net"}],
            scheduling={**scheduling, **({"instanceTerminationAction": "DELETE"} if spot else {})},
            labels=gcp_names.labels(wanted, rank),
        )

    def _machine(self, wanted: StackSpec, rank: int, spot: bool, zone: str) -> None:
        group = azure_names.group(wanted)
        root = f"/subscriptions/{SUB}/resourceGroups/{group}"
        if self.store.get("azure-native", "ResourceGroup", root) is None:
            self.make("azure-native:resources:ResourceGroup", resourceGroupName=group)
            self.make(
                "azure-native:network:VirtualNetwork", resourceGroupName=group, virtualNetworkName="net"
            )
            self.make(
                "azure-native:network:Subnet",
                resourceGroupName=group,
                virtualNetworkName="net",
                subnetName="nodes",
            )
        subnet = f"{root}/providers/Microsoft.Network/virtualNetworks/net/subnets/nodes"
        name = azure_names.node(wanted, rank)
        card = self.make(
            "azure-native:network:NetworkInterface",
            resourceGroupName=group,
            networkInterfaceName=name,
            ipConfigurations=[{"name": "first", "subnet": {"id": subnet}}],
            tags=azure_names.tags(wanted, rank),
        )
        key = {"keyData": "ssh-ed25519 " + "A" * 68}
        self.make(
            "azure-native:compute:VirtualMachine",
            {"location": zone if not zone.isdigit() else "eastus"},
            resourceGroupName=group,
            vmName=name,
            **({"priority": "Spot", "evictionPolicy": "Delete"} if spot else {"priority": "Regular"}),
            hardwareProfile={"vmSize": "Standard_NC24ads_A100_v4"},
            networkProfile={"networkInterfaces": [{"id": card}]},
            storageProfile={
                "imageReference": {"id": "/images/ours"},
                "osDisk": {"createOption": "FromImage"},
            },
            osProfile={
                "computerName": name,
                "adminUsername": "skywright",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}},
            },
            tags=azure_names.tags(wanted, rank),
        )

    def machines(self) -> list[Machine]:
        return inventory.gcp(self.store) if self.name == "gcp" else inventory.azure(self.store)

    def nodes(self, project: str | None = None, scope: Scope = ANYWHERE) -> list[str]:
        """Ids by rank."""
        found = self.cloud.inventory(project, scope)
        return [one.node for one in sorted(found, key=lambda one: (one.deployment, one.rank))]

    def refused(self, call: Callable[[], Any]) -> Problem:
        with pytest.raises(Problems) as caught:
            call()
        (problem,) = caught.value.problems
        return problem


@pytest.fixture(params=("gcp", "azure"))
def place(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    pytest.importorskip("google.auth" if request.param == "gcp" else "azure.identity")
    store = Store(tmp_path / "standins.sqlite")
    monkeypatch.setattr(answers, "FIRST_S", 0.0)
    with rest.serving(store) as url:
        for name, value in rest_env.of(request.param, url).items():
            monkeypatch.setenv(name, value)
        yield Place(request.param, cloud_of(request.param), store)


def test_nodes_are_found_by_what_they_carry_on_every_page(place: Place) -> None:
    ours, other = spec(place.name), spec(place.name, "serve", "elsewhere")
    for rank in range(7):
        place.node(ours, rank)
    place.node(other, 0)
    everything = place.cloud.inventory()
    assert len(everything) == 8
    mine = sorted(place.cloud.inventory("proj"), key=lambda one: one.rank)
    assert [one.rank for one in mine] == list(range(7))
    assert len({one.node for one in mine}) == 7
    assert all(one.address.startswith("10.") for one in mine), mine
    assert len({one.address for one in mine}) == 7
    assert {(one.deployment, one.stack, one.region) for one in mine} == {
        ("train", f"train-{place.name}", REGIONS[place.name])
    }
    assert all(one.alive and not one.stopped and one.created for one in mine)
    assert place.cloud.inventory("proj", Scope(region="elsewhere")) == ()
    assert place.cloud.inventory("nobody") == ()


def test_what_only_looks_like_ours_is_no_node(place: Place) -> None:
    place.node(spec(place.name), 0)
    kind = "Instance" if place.name == "gcp" else "VirtualMachine"
    ((name, one),) = place.store.all(PROVIDERS[place.name], kind).items()
    for member in ("labels", "effectiveLabels", "tags"):
        held = one["outputs"].get(member)
        if isinstance(held, dict):
            held["skywright-rank"] = "first"
    place.store.put(PROVIDERS[place.name], kind, name, one)
    assert place.cloud.inventory() == ()


def test_a_node_is_removed_once(place: Place) -> None:
    for rank in (0, 1):
        place.node(spec(place.name), rank)
    first, second = place.nodes()
    place.cloud.remove(first)
    assert place.nodes() == [second]
    place.cloud.remove(first)
    place.cloud.remove("never-was")
    assert place.nodes() == [second]


def test_nodes_are_stopped_and_started(place: Place) -> None:
    for rank in (0, 1):
        place.node(spec(place.name), rank, spot=False)
    both = tuple(place.nodes())
    for _ in "twice":
        place.cloud.stop(both)
        assert [(one.alive, one.stopped) for one in place.cloud.inventory()] == [(False, True)] * 2
    for _ in "twice":
        place.cloud.start(both)
        assert [(one.alive, one.stopped) for one in place.cloud.inventory()] == [(True, False)] * 2
    assert place.refused(lambda: place.cloud.stop(("4711",))).code == "cloud/no-such-node"


def test_capacity_is_taken_away_with_a_notice_and_without(place: Place) -> None:
    for rank, spot in enumerate((True, True, False)):
        place.node(spec(place.name, nodes=3), rank, spot=spot)
    with_notice, at_once, kept = place.nodes()
    place.cloud.preempt(with_notice, 30.0)
    place.cloud.preempt(at_once, None)
    assert place.nodes() == [kept]
    assert place.refused(lambda: place.cloud.preempt(kept, 30.0)).code == "cloud/not-spot"
    assert place.refused(lambda: place.cloud.preempt(at_once, None)).code == "cloud/no-such-node"


def test_a_person_reaches_a_node_without_an_open_port(place: Place) -> None:
    place.node(spec(place.name), 0)
    (node,) = place.nodes()
    if place.name == "azure":
        assert place.refused(lambda: place.cloud.access(node)).code == "cloud/no-access"
    way = place.cloud.access(node, Scope(given=Given(bastion="hub/team-bastion")))
    assert way.shell[0] == {"gcp": "gcloud", "azure": "az"}[place.name]
    if place.name == "gcp":
        assert way.user is None, "OS Login names people"
        assert way.run is not None
        assert way.run[-2:] == ("--command", "{command}")
    assert "{port}" in " ".join(way.forward)
    assert "{local}" in " ".join(way.forward)


def test_a_key_that_is_given_opens_machines_of_azure(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.name != "azure":
        pytest.skip("Google's login needs none")
    place.node(spec(place.name), 0)
    (node,) = place.nodes()
    folder = tmp_path / ".ssh"
    folder.mkdir()
    (folder / "team.pub").write_text("ssh-ed25519 AAAAkey me@here\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    given = Given(bastion="hub/team-bastion", ssh_key="ssh-ed25519 AAAAkey somebody")
    shell = place.cloud.access(node, Scope(given=given)).shell
    assert shell[-6:] == (
        "--auth-type",
        "ssh-key",
        "--username",
        "skywright",
        "--ssh-key",
        str(folder / "team"),
    )


def test_an_agent_is_killed_where_the_cloud_runs_commands(place: Place) -> None:
    place.node(spec(place.name), 0)
    (node,) = place.nodes()
    if place.name == "gcp":
        assert place.refused(lambda: place.cloud.kill_agent(node)).code == "cloud/no-agent"
    else:
        assert place.cloud.kill_agent(node) == 4711


def containers(place: Place, wanted: StackSpec) -> None:
    """What the stack makes for its secrets."""
    if place.name == "gcp":
        for name in wanted.secrets:
            replicas = {"userManaged": {"replicas": [{"location": wanted.region}]}}
            place.make(
                "gcp:secretmanager/secret:Secret",
                secretId=gcp_names.secret(wanted, name),
                replication=replicas,
            )
        return
    group = azure_names.group(wanted)
    place.make("azure-native:resources:ResourceGroup", resourceGroupName=group)
    place.make(
        "azure-native:keyvault:Vault",
        resourceGroupName=group,
        vaultName="vault4f2c",
        properties={},
        tags=azure_names.tags(wanted),
    )


def written(store: Store) -> list[str]:
    return [call.operation for call in store.calls("rest") if call.service in ("PUT", "POST")]


def test_secrets_are_written_once(place: Place) -> None:
    wanted = spec(place.name, secrets=("HF_TOKEN", "WANDB_API_KEY"))
    assert (
        place.refused(lambda: place.cloud.write_secrets(wanted, {"HF_TOKEN": "x"})).code == "cloud/not-found"
    )
    containers(place, wanted)
    before = len(written(place.store))
    values = {"HF_TOKEN": "hunter2-ü", "WANDB_API_KEY": "other", "NOT_ASKED": "never"}
    place.cloud.write_secrets(wanted, values)
    assert len(written(place.store)) == before + 2
    place.cloud.write_secrets(wanted, values)
    assert len(written(place.store)) == before + 2, "what is there already is left alone"
    place.cloud.write_secrets(wanted, {**values, "HF_TOKEN": "new"})
    assert len(written(place.store)) == before + 3
    kept = [str(one) for one in place.store.all(PROVIDERS[place.name], "SecretValue").values()]
    wants = base64.b64encode(b"new").decode() if place.name == "gcp" else "new"
    assert any(wants in one for one in kept)
    assert not any("never" in one or base64.b64encode(b"never").decode() in one for one in kept)


def test_check_names_what_is_missing(place: Place) -> None:
    here, quotas = place.cloud.check()
    assert here.ok
    assert quotas.ok
    room = {"gcp": "64 NVIDIA_H100_GPUS", "azure": "96 standardNCADSA100v4Family"}[place.name]
    assert room in quotas.says, quotas
    lacking = {
        "gcp": "compute.instances.create",
        "azure": "Microsoft.Compute/virtualMachines/write",
    }[place.name]
    rest_beside.deny(place.store, PROVIDERS[place.name], lacking)
    good, bad, _ = place.cloud.check()
    assert good.ok
    assert not bad.ok
    assert bad.says.endswith(f"missing permissions: {lacking}")
    assert f"docs/clouds/{place.name}.md" in str(bad.hint)


ERRORS = {
    "gcp": {
        401: {"error": {"code": 401, "message": "Request had invalid authentication credentials.",
                        "status": "UNAUTHENTICATED"}},
        403: {"error": {"code": 403, "message": "Required 'compute.instances.list' permission for 'projects/p'",
                        "errors": [{"reason": "forbidden"}]}},
        404: {"error": {"code": 404, "message": "The resource 'projects/p' was not found"}},
        429: {"error": {"code": 429, "message": "Quota exceeded for quota metric 'Read requests'",
                        "status": "RESOURCE_EXHAUSTED"}},
    },
    "azure": {
        401: {"error": {"code": "ExpiredAuthenticationToken", "message": "The access token expiry time is past."}},
        403: {"error": {"code": "AuthorizationFailed", "message": "The client 'x' does not have authorization."}},
        404: {"error": {"code": "SubscriptionNotFound", "message": "The subscription could not be found."}},
        429: {"error": {"code": "TooManyRequests", "message": "The request was throttled."}},
    },
}  # fmt: skip
CODES = {
    401: "cloud/credentials",
    403: "cloud/credentials",
    404: "cloud/not-found",
    429: "cloud/no-answer",
}


@pytest.mark.parametrize("status", sorted(CODES))
def test_refusals_are_problems(place: Place, status: int) -> None:
    data = ERRORS[place.name][status]
    rest.refuse(place.store, "GET", status, data, times=10, **{"Retry-After": "0"})
    problem = place.refused(place.cloud.inventory)
    assert problem.code == CODES[status]
    assert problem.hint
    if status != 429:
        assert data["error"]["message"] in problem.message


PAGE = (
    "<html><head><style>a{}</style><title>Sign in</title></head><body><h1>Corporate proxy</h1></body></html>"
)


@pytest.mark.parametrize("status", [200, 403, 502])
def test_a_page_of_a_proxy_is_no_answer_of_the_cloud(place: Place, status: int) -> None:
    rest.refuse(place.store, "GET", status, PAGE, times=10)
    problem = place.refused(place.cloud.inventory)
    assert problem.code == {200: "cloud/no-answer", 403: "cloud/credentials", 502: "cloud/refused"}[status]
    assert "Sign in Corporate proxy" in problem.message
    assert "<" not in problem.message


def test_a_cloud_that_has_too_much_to_do_is_asked_again(place: Place) -> None:
    place.node(spec(place.name), 0)
    rest.refuse(place.store, "GET", 429, ERRORS[place.name][429], times=2, **{"Retry-After": "0"})
    rest.refuse(place.store, "GET", 503, PAGE, times=1)
    assert len(place.nodes()) == 1


def test_without_an_answer(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in rest_env.of(place.name, "http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    assert place.refused(place.cloud.inventory).code == "cloud/no-answer"
