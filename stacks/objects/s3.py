"""Objects in S3, by boto3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from stacks.boot import Store
from stacks.objects import Found, Objects, Unavailable

_CREDENTIALS = {
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "RequestExpired",
}
_FILES = {"AWS_PROFILE": "profile", "AWS_CONFIG_FILE": "config_file"}


class S3:
    """One prefix of a bucket."""

    def __init__(self, store: Store, client: Any) -> None:
        self.bucket, self.prefix, self.client = store.bucket, f"{store.prefix}/", client

    def get(self, key: str, mark: str = "") -> Found | None:
        known = {"IfNoneMatch": mark} if mark else {}
        with _said() as refused:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key, **known)
            now = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            age = parsedate_to_datetime(now) - answer["LastModified"]
            return Found(answer["Body"].read(), answer["ETag"], max(0.0, age.total_seconds()))
        if refused("304"):
            return Found(None, mark, 0.0)
        refused("NoSuchKey", "404", needed=True)
        return None

    def put(self, key: str, content: bytes) -> None:
        with _said() as refused:
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content)
            return
        refused(needed=True)

    def new(self, key: str, content: bytes | BinaryIO) -> bool:
        with _said() as refused:
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content, IfNoneMatch="*")
            return True
        refused("PreconditionFailed", needed=True)
        return False

    def delete(self, keys: Iterable[str]) -> None:
        left = [{"Key": self.prefix + key} for key in keys]
        while left:
            with _said() as refused:
                self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": left[:1000], "Quiet": True})
                left = left[1000:]
                continue
            refused(needed=True)

    def list(self, start: str = "") -> list[str]:
        found: list[str] = []
        with _said() as refused:
            for page in self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + start
            ):
                found += [item["Key"][len(self.prefix) :] for item in page.get("Contents", ())]
            return found
        refused("NoSuchBucket", needed=True)
        return []


@contextmanager
def _said() -> Iterator[Callable[..., bool]]:
    """Keeps boto's error for `refused(*codes)`: was it one of these? With `needed`, another one is raised."""
    from botocore.exceptions import BotoCoreError, ClientError

    held: list[Exception] = []

    def refused(*codes: str, needed: bool = False) -> bool:
        error = held[0]
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code in codes:
            return True
        if needed:
            mine = code in _CREDENTIALS or type(error).__name__ in (
                "NoCredentialsError",
                "CredentialRetrievalError",
            )
            raise Unavailable(str(error), mine) from None
        return False

    try:
        yield refused
    except (BotoCoreError, ClientError) as error:
        held.append(error)


def open_objects(store: Store, env: Mapping[str, str]) -> Objects:
    import boto3
    import botocore.session
    from botocore.config import Config

    core = botocore.session.Session()
    for variable, name in _FILES.items():
        if variable in env:
            core.set_config_variable(name, env[variable])
    if "AWS_SHARED_CREDENTIALS_FILE" in env:
        core.set_config_variable("credentials_file", env["AWS_SHARED_CREDENTIALS_FILE"])
    session = boto3.Session(
        aws_access_key_id=env.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
        region_name=store.region,
        botocore_session=core,
    )
    patience = Config(
        connect_timeout=5, read_timeout=30, retries={"max_attempts": 2}, max_pool_connections=16
    )
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or store.endpoint
    return S3(store, session.client("s3", endpoint_url=endpoint, config=patience))
