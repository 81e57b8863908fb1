"""What a stand-in says to inputs and to changes, asked as the engine asks it, without the engine."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pulumi  # noqa: F401 (the whole of it, before `wire` takes less)
import pytest

from stacks.provider.server import wire
from tests.conftest import CACHE
from tests.standins import plugin, schema
from tests.standins.kind import Refusal
from tests.standins.shape import Shapes
from tests.standins.store import Store


@pytest.fixture(scope="module")
def shapes() -> dict[str, Shapes]:
    found = {}
    for package, name in plugin.MODULES.items():
        cloud = importlib.import_module(name).CLOUD
        file = schema.ensure(package, list(cloud.kinds), list(cloud.functions), Path(CACHE) / "standins")
        found[package] = Shapes(json.loads(file.read_text()))
    return found


class Asked:
    """One provider, asked in its own words."""

    def __init__(self, package: str, shapes: Shapes, store: Store) -> None:
        cloud = importlib.import_module(plugin.MODULES[package]).CLOUD
        self.provider = plugin.Provider(cloud, shapes, store, "0.0.0")
        self.messages, _ = wire()

    def wrong(self, token: str, inputs: dict[str, Any]) -> dict[str, str]:
        """Property -> why it is refused."""
        request = self.messages.CheckRequest(urn=urn(token), randomSeed=b"12345678")
        request.news.update(inputs)
        return {one.property: one.reason for one in self.provider.check(request).failures}

    def make(self, token: str, inputs: dict[str, Any], **config: Any) -> str:
        """Create one as the engine does; its id."""
        self.provider.config |= config
        request = self.messages.CheckRequest(urn=urn(token), randomSeed=b"12345678")
        request.news.update(inputs)
        checked = self.provider.check(request)
        assert not checked.failures, checked.failures
        made = self.provider.create(self.messages.CreateRequest(urn=urn(token), properties=checked.inputs))
        return str(made.id)

    def change(self, token: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, bool]:
        """Path of what differs -> does it take a new resource?"""
        request = self.messages.DiffRequest(urn=urn(token), id="some-id")
        request.old_inputs.update(old)
        request.olds.update(old)
        request.news.update(new)
        answer = self.provider.diff(request)
        kinds = self.messages.PropertyDiff
        replacing = (kinds.ADD_REPLACE, kinds.DELETE_REPLACE, kinds.UPDATE_REPLACE)
        assert bool(answer.replaces) == any(one.kind in replacing for one in answer.detailedDiff.values())
        return {path: one.kind in replacing for path, one in answer.detailedDiff.items()}


def urn(token: str) -> str:
    return f"urn:pulumi:stack::proj::{token}::thing"


@pytest.fixture
def asked(shapes: dict[str, Shapes], tmp_path: Path) -> Any:
    return lambda package: Asked(package, shapes[package], Store(tmp_path / "standins.sqlite"))


INSTANCE = "aws:ec2/instance:Instance"
GOOD = {"ami": "ami-12c6146b", "instanceType": "p5.48xlarge"}


@pytest.mark.parametrize(
    ("inputs", "named", "says"),
    [
        ({}, "ami", "must be specified"),
        ({**GOOD, "ami": "image"}, "ami", "expecting"),
        ({**GOOD, "tenancy": "sometimes"}, "tenancy", "expected one of"),
        ({**GOOD, "ebsOptimized": "yes"}, "ebsOptimized", "expected bool"),
        ({**GOOD, "colour": "red"}, "colour", "Unexpected property"),
        ({**GOOD, "rootBlockDevice": {"encryptd": True}}, "rootBlockDevice.encryptd", "Unexpected"),
        ({**GOOD, "rootBlockDevice": {"volumeSize": "big"}}, "rootBlockDevice.volumeSize", "expected int"),
        ({**GOOD, "rootBlockDevice": {"volumeSize": 1.5}}, "rootBlockDevice.volumeSize", "expected int"),
        ({**GOOD, "vpcSecurityGroupIds": "sg-1"}, "vpcSecurityGroupIds", "expected list"),
        ({**GOOD, "tags": {"rank": 1}}, "tags.rank", "expected str"),
        (
            {**GOOD, "instanceMarketOptions": {"marketType": "spoot"}},
            "instanceMarketOptions.marketType",
            "spoot",
        ),
        ({**GOOD, "userData": "x" * 16385}, "userData", "16384"),
        ({**GOOD, "userData": "x", "userDataBase64": "eA=="}, "userData", "conflicts"),
        ({**GOOD, "metadataOptions": {"httpTokens": "yes"}}, "metadataOptions.httpTokens", "required"),
        (
            {**GOOD, "ebsBlockDevices": [{"volumeSize": 1}]},
            "ebsBlockDevices[0].deviceName",
            "Missing required",
        ),
    ],
)
def test_an_instance_that_aws_would_not_take(
    asked: Any, inputs: dict[str, Any], named: str, says: str
) -> None:
    wrong = asked("aws").wrong(INSTANCE, inputs)
    assert says in wrong[named]


def test_unknown_values_of_a_preview_are_taken(asked: Any) -> None:
    from tests.standins.shape import UNKNOWN

    inputs = {**GOOD, "subnetId": UNKNOWN, "vpcSecurityGroupIds": [UNKNOWN], "rootBlockDevice": UNKNOWN}
    assert asked("aws").wrong(INSTANCE, inputs) == {}


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"tags": {"team": "nlp"}}, {"tags": False}),
        ({"userData": "echo"}, {"userData": False}),
        (
            {"userData": "echo", "userDataReplaceOnChange": True},
            {"userData": True, "userDataReplaceOnChange": False},
        ),
        ({"instanceType": "p4d.24xlarge"}, {"instanceType": False}),
        ({"ami": "ami-aaaaaaaa"}, {"ami": True}),
        ({"subnetId": "subnet-1"}, {"subnetId": True}),
        ({"instanceMarketOptions": {"marketType": "spot"}}, {"instanceMarketOptions": True}),
        ({"rootBlockDevice": {"volumeSize": 200}}, {"rootBlockDevice": False}),
        ({"placementGroup": "gang"}, {"placementGroup": True}),
        ({"iamInstanceProfile": "other"}, {"iamInstanceProfile": False}),
    ],
)
def test_what_a_change_of_an_instance_means_on_aws(
    asked: Any, change: dict[str, Any], replaces: dict[str, bool]
) -> None:
    assert asked("aws").change(INSTANCE, GOOD, {**GOOD, **change}) == replaces


def test_the_order_of_security_groups_means_nothing(asked: Any) -> None:
    one, other = ({**GOOD, "vpcSecurityGroupIds": list(ids)} for ids in ("ab", "ba"))
    assert asked("aws").change(INSTANCE, one, other) == {}


GOOGLE = "gcp:compute/instance:Instance"
SPOT = {"provisioningModel": "SPOT", "automaticRestart": False, "onHostMaintenance": "TERMINATE"}
GOOGLES: dict[str, Any] = {
    "name": "train-0",
    "zone": "us-central1-a",
    "machineType": "a3-highgpu-8g",
    "bootDisk": {"initializeParams": {"image": "family/one"}},
    "networkInterfaces": [{"network": "default"}],
    "scheduling": SPOT,
}


@pytest.mark.parametrize(
    ("inputs", "named", "says"),
    [
        ({"name": "Train_0"}, "name", "match"),
        ({"labels": {"Rank": "0"}}, "labels.Rank", "label"),
        ({"labels": {"task": "Big Run"}}, "labels.task", "label"),
        ({"tags": ["no_underscores"]}, "tags", "network tag"),
        ({"scheduling": {**SPOT, "provisioningModel": "SPOOT"}}, "scheduling.provisioningModel", "SPOOT"),
        ({"scheduling": {**SPOT, "spot": True}}, "scheduling.spot", "Unexpected"),
        ({"metadata": {"user-data": "x" * 262145}}, "metadata.user-data", "262144"),
        ({"networkInterfaces": [{"nicType": "GVNIC"}]}, "networkInterfaces", "must be provided"),
        ({"networkInterfaces": None}, "networkInterfaces", "Missing required"),
    ],
)
def test_an_instance_that_google_would_not_take(
    asked: Any, inputs: dict[str, Any], named: str, says: str
) -> None:
    assert asked("gcp").wrong(GOOGLE, GOOGLES) == {}
    assert says in asked("gcp").wrong(GOOGLE, {**GOOGLES, **inputs})[named]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"scheduling": {**SPOT, "automaticRestart": True}}, "automaticRestart"),
        ({"scheduling": {**SPOT, "onHostMaintenance": "MIGRATE"}}, "live migration"),
        ({"scheduling": {"instanceTerminationAction": "STOP"}}, "termination action"),
        ({"networkInterfaces": [{"subnetwork": "nobodys"}]}, "cannot be found"),
        ({"resourcePolicies": "nobodys"}, "cannot be found"),
        ({"guestAccelerators": [{"type": "nvidia-tesla-t4", "count": 1}]}, "N1 machine types"),
    ],
)
def test_what_googles_interface_refuses_at_creation(asked: Any, inputs: dict[str, Any], says: str) -> None:
    one = asked("gcp")
    one.make("gcp:compute/network:Network", {"name": "default"}, project="ours", region="us-central1")
    with pytest.raises(Refusal, match=says):
        one.make(GOOGLE, {**GOOGLES, **inputs})
    one.make(GOOGLE, GOOGLES)
    with pytest.raises(Refusal, match="already exists"):
        one.make(GOOGLE, GOOGLES)


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"labels": {"team": "nlp"}}, {"labels": False}),
        ({"metadata": {"user-data": "x"}}, {"metadata": False}),
        ({"tags": ["gang"]}, {"tags": False}),
        ({"machineType": "a3-megagpu-8g"}, {"machineType": False}),
        ({"zone": "us-central1-b"}, {"zone": True}),
        ({"scheduling": {**SPOT, "provisioningModel": "STANDARD"}}, {"scheduling.provisioningModel": True}),
        ({"bootDisk": {"initializeParams": {"image": "two"}}}, {"bootDisk.initializeParams.image": True}),
        ({"resourcePolicies": "together"}, {"resourcePolicies": True}),
        ({"metadataStartupScript": "x"}, {"metadataStartupScript": True}),
    ],
)
def test_what_a_change_of_an_instance_means_on_google(
    asked: Any, change: dict[str, Any], replaces: dict[str, bool]
) -> None:
    assert asked("gcp").change(GOOGLE, GOOGLES, {**GOOGLES, **change}) == replaces


AZURE = "azure-native:compute:VirtualMachine"
AZURES: dict[str, Any] = {
    "resourceGroupName": "train",
    "vmName": "train-0",
    "priority": "Spot",
    "evictionPolicy": "Delete",
    "hardwareProfile": {"vmSize": "Standard_ND96isr_H100_v5"},
    "osProfile": {"computerName": "train-0", "customData": "eA=="},
}


@pytest.mark.parametrize(
    ("inputs", "named", "says"),
    [
        ({"priority": "Spoot"}, "priority", "expected one of"),
        ({"evictionPolicy": "Stop"}, "evictionPolicy", "expected one of"),
        ({"zones": "1"}, "zones", "expected list"),
        ({"osProfile": {"customData": "no base64!"}}, "osProfile.customData", "base64"),
        ({"osProfile": {"customdata": "eA=="}}, "osProfile.customdata", "Unexpected"),
        ({"osProfile": {"customData": "eHh4" * 21846}}, "osProfile.customData", "65535"),
        ({"hardwareProfile": {"vmSize": "p5.48xlarge"}}, "hardwareProfile.vmSize", "no size"),
        ({"vmName": "train_0_" + "x" * 60}, "vmName", "match"),
        ({"tags": {"a/b": "c"}}, "tags.a/b", "tag"),
        ({"resourceGroupName": None}, "resourceGroupName", "Missing required"),
        ({"storageProfile": {"osDisk": {}}}, "storageProfile.osDisk.createOption", "Missing required"),
    ],
)
def test_a_machine_that_azure_would_not_take(
    asked: Any, inputs: dict[str, Any], named: str, says: str
) -> None:
    assert asked("azure-native").wrong(AZURE, AZURES) == {}
    assert says in asked("azure-native").wrong(AZURE, {**AZURES, **inputs})[named]


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"tags": {"team": "nlp"}}, {"tags": False}),
        ({"userData": "eA=="}, {"userData": False}),
        ({"hardwareProfile": {"vmSize": "Standard_B2s"}}, {"hardwareProfile.vmSize": False}),
        ({"vmName": "train-1"}, {"vmName": True}),
        ({"location": "westus"}, {"location": True}),
    ],
)
def test_what_a_change_of_a_machine_means_on_azure(
    asked: Any, change: dict[str, Any], replaces: dict[str, bool]
) -> None:
    assert asked("azure-native").change(AZURE, AZURES, {**AZURES, **change}) == replaces


def test_what_exists_is_imported_by_its_id(asked: Any) -> None:
    one = asked("gcp")
    one.make("gcp:compute/network:Network", {"name": "default"}, project="ours", region="us-central1")
    name = one.make(GOOGLE, GOOGLES)
    answer = one.provider.read(one.messages.ReadRequest(id=name, urn=urn(GOOGLE)))
    assert (answer.id, answer.inputs["machineType"]) == (name, "a3-highgpu-8g")
    assert answer.properties["currentStatus"] == "RUNNING"
    assert one.provider.read(one.messages.ReadRequest(id=f"{name}-other", urn=urn(GOOGLE))).id == ""


def test_names_are_given_once_and_kept(asked: Any) -> None:
    one = asked("gcp")
    request = one.messages.CheckRequest(urn=urn("gcp:compute/network:Network"), randomSeed=b"12345678")
    given = one.provider.check(request).inputs
    later = one.messages.CheckRequest(
        urn=urn("gcp:compute/network:Network"), randomSeed=b"87654321", olds=given
    )
    assert given["name"].startswith("thing-")
    assert one.provider.check(later).inputs["name"] == given["name"]


def test_settings_of_a_provider_are_checked_too(asked: Any) -> None:
    def wrong(package: str, **news: Any) -> dict[str, str]:
        one = asked(package)
        request = one.messages.CheckRequest(urn=urn(f"pulumi:providers:{package}"))
        request.news.update(news)
        return {each.property: each.reason for each in one.provider.check_config(request).failures}

    assert wrong("aws", region="us-east-1", version="7.51.1", defaultTags='{"tags": {"a": "b"}}') == {}
    assert "Unexpected" in wrong("aws", regoin="us-east-1")["regoin"]
    assert "expected str" in wrong("aws", defaultTags='{"tags": {"a": 1}}')["defaultTags.tags.a"]


def has(schema: dict[str, Any], kind: dict[str, Any], path: str) -> bool:
    """Does an object of this kind have an input at `path`?"""
    name, _, rest = path.partition(".")
    found = kind["inputs"].get(name)
    if found is None or not rest:
        return found is not None
    found = found.get("list", found)
    return has(schema, schema["types"][found["obj"]], rest)


@pytest.mark.parametrize("package", plugin.MODULES)
def test_every_kind_and_look_up_is_one_of_the_sdk(package: str, shapes: dict[str, Shapes]) -> None:
    cloud = importlib.import_module(plugin.MODULES[package]).CLOUD
    known = shapes[package].schema
    assert set(known["resources"]) == set(cloud.kinds)
    assert set(known["functions"]) == set(cloud.functions)
    for token, kind in cloud.kinds.items():
        named = {path.partition(".")[0] for path in (*kind.replaces, *kind.sets, *kind.kept)} - {"*"}
        named |= {kind.name} if kind.name else set()
        inputs = set(known["resources"][token]["inputs"])
        common = {"region", "bucketPrefix", "namePrefix", "keyNamePrefix", "policy", "acl", "etag"}
        assert named - inputs - common == set(), token
        for path in kind.replaces:
            if path.partition(".")[0] not in common:
                assert has(known, known["resources"][token], path), f"{token} has no {path}"
