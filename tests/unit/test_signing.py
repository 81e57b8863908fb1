"""Requests that a node signs, held against botocore's own signatures: moto takes any."""

from __future__ import annotations

import calendar
import importlib.util
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtime.s3 import signed

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG", "Token": "session+token/="}


def theirs(service: str, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> dict[str, str]:
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    who = Credentials(KEYS["AccessKeyId"], KEYS["SecretAccessKey"], KEYS["Token"])
    asked = AWSRequest(method, url, dict(headers), body)
    if service == "s3":
        asked.context["client_config"] = None
        asked.context["payload_signing_enabled"] = True
    (S3SigV4Auth if service == "s3" else SigV4Auth)(who, service, "eu-central-1").add_auth(asked)
    return {name.lower(): value for name, value in asked.headers.items()}


@pytest.mark.parametrize(
    ("service", "method", "path", "headers", "body"),
    [
        ("s3", "GET", "/bucket/proj/d/down/n/desired", {"if-none-match": '"abc"'}, b""),
        ("s3", "PUT", "/bucket/proj/d/up/i-0/logs/1.1.run/000000000000000", {"if-none-match": "*"}, b"bytes"),
        ("s3", "HEAD", "/bucket/a%20name/with%2Bplus", {}, b""),
        ("secretsmanager", "POST", "/", {"x-amz-target": "secretsmanager.GetSecretValue"}, b"{}"),
    ],
)
def test_a_signature_is_the_one_that_botocore_makes(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    host = f"{service}.eu-central-1.amazonaws.com"
    wanted = theirs(service, method, f"https://{host}{path}", headers, body)
    now = float(calendar.timegm(time.strptime(wanted["x-amz-date"], "%Y%m%dT%H%M%SZ")))
    found = signed(method, path, {"host": host, **headers}, body, KEYS, "eu-central-1", service, now)
    assert found["x-amz-date"] == wanted["x-amz-date"]
    assert found["authorization"] == wanted["authorization"]


def stub() -> ModuleType:
    found = importlib.util.spec_from_file_location("boot_s3", ROOT / "runtime" / "image" / "boot_s3.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_boot_stub_signs_as_botocore_does(monkeypatch: pytest.MonkeyPatch) -> None:
    module, asked = stub(), []

    def meta(path: str) -> str:
        return json.dumps(KEYS) if path.endswith("node-role") else "node-role"

    def ask(url: str, headers: dict[str, str], method: str = "GET") -> bytes:
        asked.append((url, headers))
        return b"content"

    monkeypatch.setattr(module, "meta", meta)
    monkeypatch.setattr(module, "ask", ask)
    store = {"kind": "s3", "bucket": "bucket", "prefix": "proj/d", "region": "eu-central-1"}
    while True:
        assert module.fetch(store, "down/agents/00ff") == b"content"
        (url, ours) = asked.pop()
        assert url == "https://s3.eu-central-1.amazonaws.com/bucket/proj/d/down/agents/00ff"
        wanted = theirs("s3", "GET", url, {})
        if wanted["x-amz-date"] == ours["x-amz-date"]:  # else a second began between the two
            break
    assert ours["authorization"] == wanted["authorization"]


def identity(answers: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found = importlib.util.spec_from_file_location(
        f"boot_{kind}", ROOT / "runtime" / "image" / f"boot_{kind}.py"
    )
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module, "meta", lambda path: answers[path])
    return dict(module.whoami())


def test_a_node_learns_who_it_is_from_its_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {
        "instanceId": "i-1",
        "privateIp": "10.0.0.7",
        "region": "us-east-1",
        "availabilityZone": "us-east-1a",
    }
    said = identity({"dynamic/instance-identity/document": json.dumps(document)}, "s3", monkeypatch)
    assert said == {"node": "i-1", "address": "10.0.0.7", "region": "us-east-1", "zone": "us-east-1a"}
    google = {
        "id": "4711",
        "network-interfaces/0/ip": "10.0.0.8",
        "zone": "projects/12/zones/europe-west4-b",
    }
    said = identity(google, "gcs", monkeypatch)
    assert said == {"node": "4711", "address": "10.0.0.8", "region": "europe-west4", "zone": "europe-west4-b"}
    azure = {
        "compute": {"vmId": "02aab8a4", "location": "westeurope", "zone": "2"},
        "network": {"interface": [{"ipv4": {"ipAddress": [{"privateIpAddress": "10.0.0.9"}]}}]},
    }
    said = identity({"instance?api-version=2021-02-01": azure}, "azblob", monkeypatch)
    assert said == {"node": "02aab8a4", "address": "10.0.0.9", "region": "westeurope", "zone": "2"}
