"""Objects in Google Cloud Storage: its JSON interface over google-auth, which shows the store's clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO
from urllib.parse import quote

from stacks.boot import Store
from stacks.objects import Found, Objects, Unavailable

ADDRESS = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
PATIENCE_S = 30.0


class Gcs:
    """One prefix of a bucket."""

    def __init__(self, store: Store, session: Any, address: str) -> None:
        self.prefix, self.session = f"{store.prefix}/", session
        self.objects = f"{address}/storage/v1/b/{quote(store.bucket, safe='')}/o"
        self.uploads = f"{address}/upload/storage/v1/b/{quote(store.bucket, safe='')}/o"

    def get(self, key: str, mark: str = "") -> Found | None:
        known = f"&ifGenerationNotMatch={mark}" if mark else ""
        answer = self._call("GET", f"{self._one(key)}?alt=media{known}", good=(200, 304, 404))
        if answer.status_code == 404:
            return None
        if answer.status_code == 304:
            return Found(None, mark, 0.0)
        now = answer.headers["x-goog-generation"]
        then, date = answer.headers.get("Last-Modified"), answer.headers.get("Date")
        age = (
            (parsedate_to_datetime(date) - parsedate_to_datetime(then)).total_seconds()
            if then and date
            else 0.0
        )
        return Found(None if now == mark else answer.content, now, max(0.0, age))

    def put(self, key: str, content: bytes) -> None:
        self._call("POST", self._upload(key), content)

    def new(self, key: str, content: bytes | BinaryIO) -> bool:
        answer = self._call("POST", f"{self._upload(key)}&ifGenerationMatch=0", content, (200, 412))
        return bool(answer.status_code == 200)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._call("DELETE", self._one(key), good=(200, 204, 404))

    def list(self, start: str = "") -> list[str]:
        found: list[str] = []
        page = ""
        while True:
            query = f"?fields=items/name,nextPageToken&prefix={quote(self.prefix + start, safe='')}{page}"
            answer = self._call("GET", self.objects + query, good=(200, 404))
            said = json.loads(answer.content) if answer.status_code == 200 else {}
            found += [item["name"][len(self.prefix) :] for item in said.get("items", ())]
            if "nextPageToken" not in said:
                return sorted(found)
            page = f"&pageToken={quote(said['nextPageToken'], safe='')}"

    def _one(self, key: str) -> str:
        return f"{self.objects}/{quote(self.prefix + key, safe='')}"

    def _upload(self, key: str) -> str:
        return f"{self.uploads}?uploadType=media&name={quote(self.prefix + key, safe='')}"

    def _call(
        self, method: str, url: str, content: bytes | BinaryIO | None = None, good: tuple[int, ...] = (200,)
    ) -> Any:
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        kind = {"Content-Type": "application/octet-stream"} if content is not None else {}
        try:
            answer = self.session.request(method, url, data=content, headers=kind, timeout=PATIENCE_S)
        except (GoogleAuthError, RequestException) as error:
            raise Unavailable(str(error), isinstance(error, GoogleAuthError)) from None
        if answer.status_code not in good:
            says = f"{method} of an object was answered {answer.status_code}: {answer.text[:200]}"
            raise Unavailable(says, answer.status_code in (401, 403))
        return answer


def open_objects(store: Store, env: Mapping[str, str]) -> Objects:
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession
    from requests import Session

    if store.endpoint:  # an emulator: it asks for no credentials
        return Gcs(store, Session(), store.endpoint)
    try:
        if path := env.get("GOOGLE_APPLICATION_CREDENTIALS"):
            credentials, _ = google.auth.load_credentials_from_file(path, scopes=[SCOPE])
        else:
            credentials, _ = google.auth.default(scopes=[SCOPE])
    except GoogleAuthError as error:
        raise Unavailable(str(error), True) from None
    return Gcs(store, AuthorizedSession(credentials), ADDRESS)
