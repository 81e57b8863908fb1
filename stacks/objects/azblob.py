"""Objects in Azure Blob Storage, by azure-storage-blob."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from stacks.boot import Store
from stacks.objects import Found, Objects, Unavailable

PATIENCE_S = 30


class AzBlob:
    """One prefix of a container."""

    def __init__(self, store: Store, container: Any) -> None:
        self.prefix, self.container = f"{store.prefix}/", container

    def get(self, key: str, mark: str = "") -> Found | None:
        from azure.core import MatchConditions

        told: list[Any] = []
        more: dict[str, Any] = {"etag": mark, "match_condition": MatchConditions.IfModified} if mark else {}
        with _said() as refused:
            blob = self.container.download_blob(self.prefix + key, raw_response_hook=told.append, **more)
            content = blob.readall()
            now = parsedate_to_datetime(told[0].http_response.headers["Date"])
            age = (now - blob.properties.last_modified).total_seconds()
            return Found(content, blob.properties.etag, max(0.0, age))
        if refused("ResourceNotModifiedError") or refused(status=304):
            return Found(None, mark, 0.0)
        refused("ResourceNotFoundError", needed=True)
        return None

    def put(self, key: str, content: bytes) -> None:
        with _said() as refused:
            self.container.upload_blob(self.prefix + key, content, overwrite=True)
            return
        refused(needed=True)

    def new(self, key: str, content: bytes | BinaryIO) -> bool:
        with _said() as refused:
            self.container.upload_blob(self.prefix + key, content, overwrite=False)
            return True
        refused("ResourceExistsError", needed=True)
        return False

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with _said() as refused:
                self.container.delete_blob(self.prefix + key)
                continue
            refused("ResourceNotFoundError", needed=True)

    def list(self, start: str = "") -> list[str]:
        with _said() as refused:
            found = self.container.list_blob_names(name_starts_with=self.prefix + start)
            return [name[len(self.prefix) :] for name in found]
        refused("ResourceNotFoundError", needed=True)
        return []


@contextmanager
def _said() -> Iterator[Callable[..., bool]]:
    """Keeps Azure's error for `refused(*names)`: was it one of these? With `needed`, another one is raised."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    held: list[Exception] = []

    def refused(*names: str, status: int | None = None, needed: bool = False) -> bool:
        error = held[0]
        if type(error).__name__ in names or getattr(error, "status_code", 0) == status:
            return True
        if needed:
            mine = isinstance(error, ClientAuthenticationError) or getattr(error, "status_code", 0) == 403
            raise Unavailable(str(error).splitlines()[0], mine) from None
        return False

    try:
        yield refused
    except AzureError as error:
        held.append(error)


def open_objects(store: Store, env: Mapping[str, str]) -> Objects:
    from azure.storage.blob import ContainerClient

    address = store.endpoint or f"https://{store.account}.blob.core.windows.net"
    client = ContainerClient(
        address,
        store.bucket,
        credential=_credential(env),
        retry_total=2,
        connection_timeout=5,
        read_timeout=PATIENCE_S,
    )
    return AzBlob(store, client)


def _credential(env: Mapping[str, str]) -> Any:
    from azure.identity import AzureCliCredential, ClientSecretCredential, DefaultAzureCredential

    if key := env.get("AZURE_STORAGE_KEY"):
        return key
    tenant = env.get("AZURE_TENANT_ID") or env.get("ARM_TENANT_ID")
    client = env.get("AZURE_CLIENT_ID") or env.get("ARM_CLIENT_ID")
    secret = env.get("AZURE_CLIENT_SECRET") or env.get("ARM_CLIENT_SECRET")
    if tenant and client and secret:
        return ClientSecretCredential(tenant, client, secret)
    return AzureCliCredential() if not env.get("IDENTITY_ENDPOINT") else DefaultAzureCredential()
