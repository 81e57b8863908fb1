"""The dialect of Azure Blob Storage, with the token of the machine's managed identity."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote, urlsplit

from runtime.store import Ask, Dialect, Passport, metadata, told

METADATA = "http://169.254.169.254"
VERSION = "2021-12-02"


class AzBlob(Dialect):
    """`where`: account, bucket (the container), prefix; `client` names one of several identities; `endpoint` else."""

    TAKEN: tuple[int, ...] = (409, 412)

    def __init__(self, where: dict[str, Any]) -> None:
        super().__init__(where)
        self.passport = Passport(lambda: self._token("https://storage.azure.com/"))
        self.vault = Passport(lambda: self._token("https://vault.azure.net"))

    def address(self) -> str:
        return str(self.where.get("endpoint") or f"https://{self.where['account']}.blob.core.windows.net")

    def ask(self, verb: str, key: str, body: bytes, mark: str, now: float) -> Ask:
        path = quote(f"/{self.where['bucket']}/{self.where['prefix']}/{key}", safe="/-._~")
        headers = {"Authorization": f"Bearer {self.passport.get()}", "x-ms-version": VERSION}
        headers["x-ms-date"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
        if mark:
            headers["If-Match" if verb == "swap" else "If-None-Match"] = mark
        if verb == "remove":
            return Ask("DELETE", path, headers)
        if verb in ("get", "size"):
            return Ask("GET" if verb == "get" else "HEAD", path, headers)
        if verb == "new":
            headers["If-None-Match"] = "*"
        return Ask("PUT", path, {**headers, "x-ms-blob-type": "BlockBlob"})

    def secret(self, name: str, now: float) -> str:
        """From Key Vault; `name` is `https://VAULT.vault.azure.net/secrets/NAME`, which knows no underscore."""
        parts = urlsplit(name)
        path = f"{parts.path.replace('_', '-')}?api-version=7.4"
        headers = {"Authorization": f"Bearer {self.vault.get()}"}
        return str(told(f"{parts.scheme}://{parts.netloc}", "GET", path, headers)["value"])

    def forget(self) -> None:
        self.passport.forget()
        self.vault.forget()

    def _token(self, resource: str) -> tuple[str, float]:
        service = self.where.get("metadata", METADATA)
        asked = f"api-version=2018-02-01&resource={quote(resource, safe='')}"
        url = f"{service}/metadata/identity/oauth2/token?{asked}"
        if self.where.get("client"):
            url += f"&client_id={quote(self.where['client'])}"
        found = json.loads(metadata(url, {"Metadata": "true"}))
        return str(found["access_token"]), max(60.0, float(found["expires_on"]) - time.time())


def dialect(where: dict[str, Any]) -> Dialect:
    return AzBlob(where)
