"""Leases in a bucket of Google Cloud Storage, by generation preconditions."""

from __future__ import annotations

import os
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from compiler.problem import Problem, Problems
from stacks.carriers.objects import ObjectCarrier, Where

TIMEOUT_S = 5


class Gs:
    """One bucket."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def get(self, name: str) -> tuple[bytes, str, float] | None:
        while True:
            blob = self._ask(lambda: self._bucket.get_blob(name, timeout=TIMEOUT_S))
            if blob is None:
                return None
            content = self._ask(lambda: self._content(blob))  # noqa: B023 (called at once)
            if content is not None:  # else it was written between the two calls
                return content, str(blob.generation), self._age(blob)

    def _content(self, blob: Any) -> Any:
        return blob.download_as_bytes(if_generation_match=blob.generation, timeout=TIMEOUT_S)

    def _age(self, blob: Any) -> float:
        answer = self._bucket.client._http.get(
            f"{self._bucket.client._connection.API_BASE_URL}/storage/v1/b/{self._bucket.name}?fields=name",
            timeout=TIMEOUT_S,
        )
        now = parsedate_to_datetime(answer.headers["Date"])
        return float((now - blob.updated).total_seconds())

    def put(self, name: str, content: bytes, mark: str | None) -> bool:
        blob = self._bucket.blob(name)
        generation = 0 if mark is None else int(mark)
        done = self._ask(
            lambda: (
                blob.upload_from_string(content, if_generation_match=generation, timeout=TIMEOUT_S) or True
            )
        )
        return done is not None

    def delete(self, name: str, mark: str) -> bool:
        blob = self._bucket.blob(name)
        done = self._ask(lambda: blob.delete(if_generation_match=int(mark), timeout=TIMEOUT_S) or True)
        return done is not None

    def _ask(self, call: Callable[[], Any]) -> Any:
        """The answer; None where there is no such object, or it is another version. Raises OSError."""
        from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        try:
            return call()
        except (NotFound, PreconditionFailed):
            return None
        except (GoogleAPICallError, GoogleAuthError, RequestException) as error:
            raise OSError(f"gs://{self._bucket.name}: {error}") from None


def open_carrier(url: str) -> ObjectCarrier:
    """With the credentials that Pulumi's own backend takes. STORAGE_EMULATOR_HOST is followed, with or without `http://`."""
    try:
        from google.cloud import storage
    except ImportError:
        says = "the lease of a Google Cloud Storage backend needs the Google SDK"
        hint = "./invoke setup --extra gcp"
        raise Problems(Problem("engine/backend-unreachable", says, hint=hint)) from None
    where = Where.of(url)
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    options = {"api_endpoint": emulator if "://" in emulator else f"http://{emulator}"} if emulator else None
    client = storage.Client(client_options=options, **({} if emulator else _credentials()))
    return ObjectCarrier(Gs(client.bucket(where.bucket)), where.prefix)


def _credentials() -> dict[str, Any]:
    """What the environment says before Google's default credentials count. Raises OSError."""
    if content := os.environ.get("GOOGLE_CREDENTIALS"):
        import json

        from google.oauth2.service_account import Credentials

        try:
            account = json.loads(content)
            return {
                "credentials": Credentials.from_service_account_info(account),
                "project": account["project_id"],
            }
        except (ValueError, KeyError) as error:
            raise OSError(f"GOOGLE_CREDENTIALS holds no key of a service account: {error}") from None
    if token := os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN"):
        from google.oauth2.credentials import Credentials as Token

        return {"credentials": Token(token), "project": os.environ.get("GOOGLE_CLOUD_PROJECT", "-")}
    return {}
