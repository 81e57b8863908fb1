"""The dialect of Google Cloud Storage: its JSON interface, with the token of the instance's service account."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from runtime.store import Ask, Dialect, Passport, metadata, told

METADATA = "http://169.254.169.254"
ADDRESS = "https://storage.googleapis.com"


class Gcs(Dialect):
    """`where`: bucket, prefix; `endpoint` for another address than Google's own."""

    MARK = "x-goog-generation"

    def __init__(self, where: dict[str, Any]) -> None:
        super().__init__(where)
        self.passport = Passport(self._token)

    def address(self) -> str:
        return str(self.where.get("endpoint") or ADDRESS)

    def ask(self, verb: str, key: str, body: bytes, mark: str, now: float) -> Ask:
        name, bucket = quote(f"{self.where['prefix']}/{key}", safe=""), quote(self.where["bucket"], safe="")
        headers = {"Authorization": f"Bearer {self.passport.get()}"}
        if verb == "get":
            known = f"&ifGenerationNotMatch={mark}" if mark else ""
            return Ask("GET", f"/storage/v1/b/{bucket}/o/{name}?alt=media{known}", headers)
        if verb == "size":
            return Ask("GET", f"/storage/v1/b/{bucket}/o/{name}?fields=size", headers)
        if verb == "remove":
            return Ask("DELETE", f"/storage/v1/b/{bucket}/o/{name}", headers)
        headers["Content-Type"] = "application/octet-stream"
        first = f"&ifGenerationMatch={mark or 0}" if verb in ("new", "swap") else ""
        return Ask("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}{first}", headers)

    def secret(self, name: str, now: float) -> str:
        """From Secret Manager; `name` is `projects/PROJECT/secrets/NAME`."""
        headers = {"Authorization": f"Bearer {self.passport.get()}"}
        base = self.where.get("endpoint") or "https://secretmanager.googleapis.com"
        found = told(base, "GET", f"/v1/{name}/versions/latest:access", headers)
        return base64.b64decode(found["payload"]["data"]).decode()

    def proof(self, node: str, now: float) -> str:
        """A token in which Google says which instance asked for it."""
        service = self.where.get("metadata", METADATA)
        url = f"{service}/computeMetadata/v1/instance/service-accounts/default/identity"
        return metadata(f"{url}?audience=skywright&format=full", {"Metadata-Flavor": "Google"}).strip()

    def forget(self) -> None:
        self.passport.forget()

    def _token(self) -> tuple[str, float]:
        service = self.where.get("metadata", METADATA)
        url = f"{service}/computeMetadata/v1/instance/service-accounts/default/token"
        found = json.loads(metadata(url, {"Metadata-Flavor": "Google"}))
        return str(found["access_token"]), float(found["expires_in"])


def dialect(where: dict[str, Any]) -> Dialect:
    return Gcs(where)
