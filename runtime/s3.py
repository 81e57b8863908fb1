"""The dialect of S3: requests signed (SigV4) with the credentials of the instance's role, from IMDSv2."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import quote, urlsplit

from runtime.store import Ask, Dialect, Passport, metadata, told

METADATA = "http://169.254.169.254"
CALLER_IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


class S3(Dialect):
    """`where`: bucket, region, prefix; `endpoint` for another address than AWS's own."""

    def __init__(self, where: dict[str, Any]) -> None:
        super().__init__(where)
        self.passport = Passport(self._credentials)
        own = f"s3.{where['region']}.amazonaws.com{'.cn' if where['region'].startswith('cn-') else ''}"
        endpoint = where.get("endpoint")
        # A bucket with dots in its name does not fit the certificate, and other stores may know no such hosts.
        by_host = not endpoint and "." not in where["bucket"]
        self.base = endpoint or (f"https://{where['bucket']}.{own}" if by_host else f"https://{own}")
        self.start = "/" if by_host else f"/{where['bucket']}/"

    def address(self) -> str:
        return self.base

    def ask(self, verb: str, key: str, body: bytes, mark: str, now: float) -> Ask:
        path = quote(f"{self.start}{self.where['prefix']}/{key}", safe="/-._~")
        headers = {"host": urlsplit(self.base).netloc}
        if mark:
            headers["if-match" if verb == "swap" else "if-none-match"] = mark
        if verb == "new":
            headers["if-none-match"] = "*"
        method = {"get": "GET", "size": "HEAD", "remove": "DELETE"}.get(verb, "PUT")
        keys = self.passport.get()
        return Ask(method, path, signed(method, path, headers, body, keys, self.where["region"], "s3", now))

    def secret(self, name: str, now: float) -> str:
        """From Secrets Manager."""
        region = self.where["region"]
        own = f"https://secretsmanager.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        base = self.where.get("endpoint") or own
        body = json.dumps({"SecretId": name}).encode()
        headers = {
            "host": urlsplit(base).netloc,
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "secretsmanager.GetSecretValue",
        }
        keys = self.passport.get()
        asked = signed("POST", "/", headers, body, keys, region, "secretsmanager", now)
        return str(told(base, "POST", "/", asked, body)["SecretString"])

    def proof(self, node: str, now: float) -> str:
        """The headers of a request to STS that only this instance can sign, bound to `node`; STS says who signed."""
        region = self.where["region"]
        host = f"sts.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        if self.where.get("endpoint"):
            host = urlsplit(self.where["endpoint"]).netloc
        headers = {"host": host, "content-type": FORM, "x-skywright-node": node}
        keys = self.passport.get()
        return json.dumps(signed("POST", "/", headers, CALLER_IDENTITY, keys, region, "sts", now))

    def forget(self) -> None:
        self.passport.forget()

    def _credentials(self) -> tuple[dict[str, str], float]:
        service = self.where.get("metadata", METADATA)
        token = {
            "X-aws-ec2-metadata-token": metadata(
                f"{service}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "PUT"
            )
        }
        roles = f"{service}/latest/meta-data/iam/security-credentials/"
        found = json.loads(metadata(roles + metadata(roles, token).split()[0], token))
        ends = calendar.timegm(time.strptime(found["Expiration"], "%Y-%m-%dT%H:%M:%SZ"))
        return found, max(60.0, ends - time.time())


def signed(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    keys: dict[str, str],
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """`headers` (lower case, `host` among them) with what SigV4 adds. `path` is quoted and has no query."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    content = hashlib.sha256(body).hexdigest()
    held = {**headers, "x-amz-date": stamp, "x-amz-security-token": keys["Token"]}
    if service == "s3":
        held["x-amz-content-sha256"] = content
    names = ";".join(sorted(held))
    lines = "".join(f"{name}:{held[name].strip()}\n" for name in sorted(held))
    asked = f"{method}\n{path}\n\n{lines}\n{names}\n{content}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = f"AWS4{keys['SecretAccessKey']}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    held["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return held


def dialect(where: dict[str, Any]) -> Dialect:
    return S3(where)
