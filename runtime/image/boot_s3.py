"""The boot stub's half for S3 and EC2: signed requests with the credentials of the instance's role, from IMDSv2."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.request
from typing import Any

META = "http://169.254.169.254/latest/"


def ask(url: str, headers: dict[str, str], method: str = "GET") -> bytes:
    asked = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310
    past = [urllib.request.ProxyHandler({})] if url.startswith(META) else []
    with urllib.request.build_opener(*past).open(asked, timeout=30) as answer:
        return bytes(answer.read())


def meta(path: str) -> Any:
    token = ask(META + "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT").decode()
    return ask(META + path, {"X-aws-ec2-metadata-token": token}).decode()


def whoami() -> dict[str, Any]:
    me = json.loads(meta("dynamic/instance-identity/document"))
    return {
        "node": me["instanceId"],
        "address": me["privateIp"],
        "region": me["region"],
        "zone": me["availabilityZone"],
    }


def fetch(store: dict[str, str], name: str) -> bytes:
    role = "meta-data/iam/security-credentials/"
    keys = json.loads(meta(role + meta(role).split()[0]))
    region, bucket = store["region"], store["bucket"]
    base = store.get("endpoint") or "https://s3.%s.amazonaws.com%s" % (
        region,
        ".cn" if region.startswith("cn-") else "",
    )
    path = "/%s/%s/%s" % (bucket, store["prefix"], name)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    empty = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": base.split("//")[1],
        "x-amz-content-sha256": empty,
        "x-amz-date": stamp,
        "x-amz-security-token": keys["Token"],
    }
    names = ";".join(headers)
    lines = "".join("%s:%s\n" % item for item in headers.items())
    asked = hashlib.sha256(("GET\n%s\n\n%s\n%s\n%s" % (path, lines, names, empty)).encode()).hexdigest()
    scope = "%s/%s/s3/aws4_request" % (stamp[:8], region)
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in [*scope.split("/"), "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (stamp, scope, asked)]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        keys["AccessKeyId"],
        scope,
        names,
        key.hex(),
    )
    return ask(base + path, headers)
