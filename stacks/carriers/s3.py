"""Leases in an S3 bucket, by conditional writes; the URL is the backend's own (`s3://BUCKET/PREFIX?region=...`)."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from compiler.problem import Problem, Problems
from stacks.carriers.objects import ObjectCarrier, Where

TIMEOUT_S = 5
FIRST = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
ABSENT = ("NoSuchKey", "404")


class S3:
    """One bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def get(self, name: str) -> tuple[bytes, str, float] | None:
        found = self._ask(lambda: self._client.get_object(Bucket=self._bucket, Key=name), ABSENT)
        if found is None:
            return None
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = (now - found["LastModified"]).total_seconds()
        return found["Body"].read(), found["ETag"], age

    def put(self, name: str, content: bytes, mark: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if mark is None else {"IfMatch": mark}
        done = self._ask(
            lambda: self._client.put_object(Bucket=self._bucket, Key=name, Body=content, **condition),
            (*FIRST, *ABSENT),
        )
        return done is not None

    def delete(self, name: str, mark: str) -> bool:
        done = self._ask(
            lambda: self._client.delete_object(Bucket=self._bucket, Key=name, IfMatch=mark), (*FIRST, *ABSENT)
        )
        return done is not None

    def _ask(self, call: Callable[[], Any], fine: tuple[str, ...]) -> Any:
        """The answer; None for an error whose code is `fine`. Raises OSError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in fine:
                return None
            raise OSError(f"s3://{self._bucket}: {error}") from None
        except BotoCoreError as error:
            raise OSError(f"s3://{self._bucket}: {error}") from None


def open_carrier(url: str) -> ObjectCarrier:
    """With the credentials and the settings that Pulumi's own S3 backend takes."""
    try:
        import boto3.session
        from botocore.config import Config
    except ImportError:
        says = "the lease of an S3 backend needs the AWS SDK"
        hint = "./invoke setup --extra aws"
        raise Problems(Problem("engine/backend-unreachable", says, hint=hint)) from None
    where = Where.of(url)
    asked = where.query
    endpoint = asked.get("endpoint")
    if endpoint and "://" not in endpoint:
        scheme = (
            "http" if asked.get("disableSSL") == "true" or asked.get("disable_https") == "true" else "https"
        )
        endpoint = f"{scheme}://{endpoint}"
    by_path = "true" in (
        asked.get("s3ForcePathStyle"),
        asked.get("use_path_style"),
        asked.get("usePathStyle"),
    )
    session = boto3.session.Session(profile_name=asked.get("profile"), region_name=asked.get("region"))
    config: Any = Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 2},
        s3={"addressing_style": "path"} if by_path else None,
    )
    client = session.client("s3", endpoint_url=endpoint, config=config)
    return ObjectCarrier(S3(client, where.bucket), where.prefix)
