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
