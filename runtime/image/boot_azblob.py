"""The boot stub's half for Blob Storage and Azure's machines: the token of the managed identity."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

META = "http://169.254.169.254/metadata/"


def ask(url: str, headers: dict[str, str]) -> bytes:
    past = [urllib.request.ProxyHandler({})] if url.startswith(META) else []
    asked = urllib.request.Request(url, headers=headers)  # noqa: S310
    with urllib.request.build_opener(*past).open(asked, timeout=30) as answer:
        return bytes(answer.read())


def meta(path: str) -> Any:
    return json.loads(ask(META + path, {"Metadata": "true"}))


def whoami() -> dict[str, Any]:
    me = meta("instance?api-version=2021-02-01")
    return {
        "node": me["compute"]["vmId"],
        "address": me["network"]["interface"][0]["ipv4"]["ipAddress"][0]["privateIpAddress"],
        "region": me["compute"]["location"],
        "zone": me["compute"]["zone"],
    }


def fetch(store: dict[str, str], name: str) -> bytes:
    query = "api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F"
    if store.get("client"):
        query += "&client_id=" + store["client"]
    token = meta("identity/oauth2/token?" + query)["access_token"]
    base = store.get("endpoint") or "https://%s.blob.core.windows.net" % store["account"]
    path = "/%s/%s/%s" % (store["bucket"], store["prefix"], name)
    return ask(base + path, {"Authorization": "Bearer " + token, "x-ms-version": "2021-12-02"})
