"""How states are encrypted: by a passphrase of the team or a key of a cloud, never by a default that nobody shares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from desk import Desk

from compiler.problem import Problems
from skywright.cli import settings
from stacks import backend
from tests.standins.fixtures import Moto

pytestmark = pytest.mark.engine
SHARED = ("s3://b", "gs://b", "azblob://b?storage_account=a", "postgres://u:secret@h/d", "file:///srv/state")


@pytest.mark.parametrize("url", SHARED)
def test_a_shared_backend_without_a_word_on_secrets_is_refused(url: str) -> None:
    with pytest.raises(Problems) as caught:
        backend.settle({"PULUMI_BACKEND_URL": url})
    (problem,) = caught.value.problems
    assert problem.code == "engine/no-secrets-provider"
    assert "secret@" not in problem.message
    assert "SKYWRIGHT_SECRETS_PROVIDER=awskms://" in (problem.hint or "")


def test_the_embedded_one_has_a_passphrase_of_its_own_and_pulumi_cloud_keeps_keys_itself() -> None:
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in backend.settle({}).env
    cloud = backend.settle({"PULUMI_BACKEND_URL": "https://api.pulumi.com"})
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in cloud.env


def test_credentials_of_the_cloud_that_keeps_the_key_reach_the_engine() -> None:
    shell = {"SKYWRIGHT_SECRETS_PROVIDER": "awskms://alias/state", "AWS_PROFILE": "team", "OTHER": "x"}
    assert settings.engine_env(shell) == {name: shell[name] for name in list(shell)[:2]}


def test_a_key_of_kms_opens_a_stack_and_nothing_else_does(desk: Desk, moto: Moto, tmp_path: Path) -> None:
    """Pulumi's own engine at moto's KMS: data keys are made, wrapped and unwrapped there."""
    kms = moto.client("kms")
    key = kms.create_key(Description="state")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/state", TargetKeyId=key)
    state = tmp_path / "shared"
    state.mkdir()
    env = {
        "PULUMI_BACKEND_URL": f"file://{state}",
        "SKYWRIGHT_SECRETS_PROVIDER": "awskms://alias/state?region=us-east-1",
        "AWS_ENDPOINT_URL_KMS": moto.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }
    desk.well("up", desk.spec(1), env=env)
    (path,) = state.glob(".pulumi/stacks/proj/train-local.json")
    said = json.loads(path.read_text())["checkpoint"]["latest"]["secrets_providers"]
    assert said["type"] == "cloud"
    assert said["state"]["url"] == "awskms://alias/state?region=us-east-1"
    again = {name: value for name, value in env.items() if name != "SKYWRIGHT_SECRETS_PROVIDER"}
    assert desk.well("up", desk.spec(1), env={**again, "PULUMI_CONFIG_PASSPHRASE": ""})["changes"] == {
        "same": 1
    }, "what the state says counts, not what this shell would take for a new stack"
    refused = desk.run("up", desk.spec(1), env={**env, "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:9"})
    assert not refused["ok"]
    assert refused["problem"]["code"] == "engine/no-key", refused["problem"]
    desk.well("destroy", desk.spec(1), env=env)
