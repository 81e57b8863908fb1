"""Leases in a container of Azure Blob Storage, by ETags."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from compiler.problem import Problem, Problems
from stacks.carriers.objects import ObjectCarrier, Where

TIMEOUT_S = 5


class Azblob:
    """One container."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def get(self, name: str) -> tuple[bytes, str, float] | None:
        dates: list[Any] = []

        def keep(answer: Any) -> None:
            dates.append(answer.http_response.headers.get("Date"))

        found = self._ask(lambda: self._container.download_blob(name, raw_response_hook=keep))
        if found is None:
            return None
        from email.utils import parsedate_to_datetime

        now = parsedate_to_datetime(dates[-1])
        age = (now - found.properties.last_modified).total_seconds()
        return found.readall(), found.properties.etag, float(age)

    def put(self, name: str, content: bytes, mark: str | None) -> bool:
        from azure.core import MatchConditions

        if mark is None:
            condition: dict[str, Any] = {"overwrite": False}
        else:
            condition = {"overwrite": True, "etag": mark, "match_condition": MatchConditions.IfNotModified}
        return self._ask(lambda: self._container.upload_blob(name, content, **condition)) is not None

    def delete(self, name: str, mark: str) -> bool:
        from azure.core import MatchConditions

        def call() -> bool:
            self._container.delete_blob(name, etag=mark, match_condition=MatchConditions.IfNotModified)
            return True

        return self._ask(call) is not None

    def _ask(self, call: Callable[[], Any]) -> Any:
        """The answer; None where there is no such blob, or it is another version. Raises OSError."""
        from azure.core.exceptions import (
            AzureError,
            ResourceExistsError,
            ResourceModifiedError,
            ResourceNotFoundError,
        )

        try:
            return call()
        except (ResourceNotFoundError, ResourceExistsError, ResourceModifiedError):
            return None
        except AzureError as error:
            raise OSError(f"azblob://{self._container.container_name}: {error}") from None


def open_carrier(url: str) -> ObjectCarrier:
    """With the account, and the key or the login, that Pulumi's own backend takes."""
    try:
        from azure.storage.blob import ContainerClient
    except ImportError:
        says = "the lease of an Azure backend needs the Azure SDK"
        hint = "./invoke setup --extra azure"
        raise Problems(Problem("engine/backend-unreachable", says, hint=hint)) from None
    where = Where.of(url)
    account = where.query.get("storage_account") or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    domain = where.query.get("domain") or os.environ.get("AZURE_STORAGE_DOMAIN") or "blob.core.windows.net"
    local = where.query.get("localemu") == "true"
    protocol = where.query.get("protocol") or "https"
    address = f"{protocol}://{domain}/{account}" if local else f"{protocol}://{account}.{domain}"
    client = ContainerClient(
        address,
        where.bucket,
        credential=_credential(),
        connection_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retry_total=1,
    )
    return ObjectCarrier(Azblob(client), where.prefix)


def _credential() -> Any:
    key = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    if key:
        return key
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
