"""Ejecting: what a recorded value becomes in the program, what is refused, and that equal stacks give equal bytes."""

from __future__ import annotations

import ast
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Market
from compiler.problem import Exit, Problems
from compiler.spec import StackSpec
from skywright.cli import eject, operating
from skywright.cli.arguments import Values, parse
from skywright.cli.verbs import find
from stacks.eject.printing import Call, Entries, Items, literal, written
from stacks.eject.project import project
from stacks.eject.recording import SIGNATURE, flat, plain

SPEC = StackSpec(
    project="proj",
    stack="train-aws-us-east-1",
    deployment="train",
    cloud="aws",
    region="us-east-1",
    instance_type="g5.xlarge",
    market=Market.SPOT,
    nodes=1,
    agent="a1",
)
PROVIDER = "urn:pulumi:s::proj::pulumi:providers:aws::aws"
ROLE = "urn:pulumi:s::proj::aws:iam/role:Role::role"
SCRIPT = "#!/bin/sh\n" + "echo hello\n" * 60


def row(order: int, kind: str, name: str, urn: str, **more: Any) -> dict[str, Any]:
    module, made = kind.split(":")
    empty: dict[str, Any] = {"id": name, "inputs": {}, "outputs": {}, "needs": {}, "after": [], "options": {}}
    return {
        "order": order,
        "class": f"{module}:{made}",
        "type": urn.split("::")[2],
        "name": name,
        "urn": urn,
    } | {
        **empty,
        **more,
    }


def recording(**inputs: Any) -> dict[str, Any]:
    resources = [
        row(0, "pulumi_aws.provider:Provider", "aws", PROVIDER, inputs={"region": "us-east-1"}),
        row(
            1,
            "pulumi_aws.iam.role:Role",
            "role",
            ROLE,
            id="role-of-train",
            inputs={"assumeRolePolicy": '{"Version": "2012-10-17"}', "name": "role-of-train"},
            outputs={"arn": "arn:aws:iam::1:role/role-of-train", "name": "role-of-train"},
            options={"provider": PROVIDER, "protect": True},
        ),
        row(
            2,
            "pulumi_aws.iam.instance_profile:InstanceProfile",
            "pass",
            "urn:pulumi:s::proj::aws:iam/instanceProfile:InstanceProfile::pass",
            inputs={"role": "role-of-train", "tags": {"b": "2", "a": "1"}, **inputs},
            needs={"role": [ROLE]},
            options={"provider": PROVIDER, "ignore_changes": ["namePrefix"]},
        ),
    ]
    return {
        "resources": resources,
        "exports": {"who": "role-of-train"},
        "encryption": {"encryptionsalt": "v1:x"},
    }


def program(found: dict[str, Any]) -> tuple[str, dict[str, bytes]]:
    files = dict(project(SPEC, found, "export PULUMI_BACKEND_URL=...").files)
    text = files["__main__.py"].decode()
    ast.parse(text)
    return text, files


def test_arguments_references_and_options() -> None:
    text, files = program(recording())
    assert "role=role.name," in text
    assert 'assume_role_policy=\'{"Version": "2012-10-17"}\',' in text
    assert 'tags={"a": "1", "b": "2"},' in text
    assert "opts=pulumi.ResourceOptions(provider=aws_provider, protect=True)" in text
    assert 'ignore_changes=["name_prefix"]' in text
    assert "pass_2 = aws.iam.InstanceProfile(" in text
    assert 'pulumi.export("who", role.name)' in text
    assert "skywright" not in text.replace("skywright:", "")
    assert files["Pulumi.train-aws-us-east-1.yaml"] == b"encryptionsalt: v1:x\n"
    assert all("==" in line for line in files["requirements.txt"].decode().splitlines())
    assert program(recording()) == (text, files), "equal stacks give equal bytes"


def test_long_texts_lie_beside_the_program() -> None:
    policy = json.dumps({"Statement": ["x" * 500]})
    encoded = base64.b64encode(SCRIPT.encode()).decode()
    text, files = program(recording(name=encoded, path=policy, namePrefix=policy))
    assert files["files/pass.name.sh"] == SCRIPT.encode()
    assert 'name=encoded("pass.name.sh")' in text
    assert text.count('text("pass.') == 2, "one file for the same text"
    assert len([name for name in files if name.endswith(".json")]) == 1
    assert "x" * 80 not in text


def test_secrets_stay_encrypted() -> None:
    kept = {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}
    value = {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "value": "in-clear"}
    text, files = program(recording(path=plain(value, kept)))
    assert 'path=config.require_secret_object("pass-path")' in text
    assert b"proj:pass-path:\n    secure: v1:abc" in files["Pulumi.train-aws-us-east-1.yaml"]
    assert not any(b"in-clear" in content for content in files.values())
    assert flat({"token": value, "name": "n"}) == [("name", "n")]
    with pytest.raises(Problems) as caught:
        program(recording(path=plain(value)))
    assert caught.value.problems[0].code == "eject/secret-unknown"


def test_expressions_break_where_they_are_long() -> None:
    short = Call("f", (("a", literal(1)),), (literal("x"),))
    assert written(short) == 'f("x", a=1)'
    long = Entries((("key", Items(tuple(literal("v" * 30) for _ in range(5)))),))
    lines = written(long).splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("{", '    "key": [', "}")
    assert ast.literal_eval(written(long)) == {"key": ["v" * 30] * 5}
    assert ast.literal_eval(written(literal('it\'s "so"\n\\'))) == 'it\'s "so"\n\\'


class Control:
    """As the client, with one deployment."""

    def __init__(self, **spec: Any) -> None:
        self.data = {"name": "train", "state": "idle", "spec": {**SPEC.to_data(), **spec}}
        self.released: list[str] = []

    def deployments(self) -> list[dict[str, Any]]:
        return [self.data]

    def release(self, name: str) -> None:
        self.released.append(name)


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    made = Control()
    monkeypatch.setattr(eject, "connect", lambda: made)
    monkeypatch.setattr(eject, "ready_engine", lambda quiet: None)
    result = {"changes": {"same": 3}, "recording": recording()}
    monkeypatch.setattr(operating, "carry_out", lambda *_, **__: result)
    return made


def values(*words: str) -> Values:
    verb = find("eject")
    assert verb is not None
    return parse(verb, words)


def refused(*words: str) -> str:
    with pytest.raises(Problems) as caught:
        eject.run(values(*words))
    return caught.value.problems[0].code


def test_the_project_is_written_and_the_deployment_released_only_when_asked(
    control: Control, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert eject.run(values("train", str(out))) == Exit.FINE
    assert (out / "__main__.py").exists()
    assert control.released == []
    said = capsys.readouterr()
    assert "pulumi preview --stack train-aws-us-east-1" in said.err
    assert eject.run(values("train", str(out), "--release", "--yes", "--json")) == Exit.FINE
    assert json.loads(capsys.readouterr().out)["released"] is True
    assert control.released == ["train"]


def test_what_cannot_be_handed_over_is_refused_and_writes_nothing(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    moved = {"changes": {"same": 2, "update": 1}, "recording": recording()}
    with monkeypatch.context() as patch:
        patch.setattr(operating, "carry_out", lambda *_, **__: moved)
        assert refused("train", str(out), "--release", "--yes") == "eject/not-settled"
    assert refused("trian", str(out)) == "control/no-such-deployment"
    control.data["state"] = "provisioning"
    assert refused("train", str(out)) == "eject/not-settled"
    control.data.update(state="idle", spec={**SPEC.to_data(), "cloud": "local"})
    assert refused("train", str(out)) == "eject/own-provider"
    assert (out.exists(), control.released) == (False, [])
    out.mkdir()
    (out / "mine").write_text("")
    control.data["spec"] = SPEC.to_data()
    assert refused("train", str(out)) == "usage/folder-in-use"
