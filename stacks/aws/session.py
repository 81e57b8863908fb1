"""The way to AWS's APIs outside Pulumi: clients of boto3, and their errors as Problems."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from compiler.problem import Problem, Problems
from stacks.aws.failures import sort
from stacks.cloud import Failure, Scope

DEFAULT_REGION = "us-east-1"
_lock = threading.Lock()
LOGIN = "log in again (`aws sso login`, or new keys), then `invoke login`"

_HINTS = {
    Failure.CREDENTIALS: "`invoke check aws` names what is missing",
    Failure.QUOTA: "ask AWS for more in Service Quotas, or allow other offers",
}


def region(scope: Scope | None = None) -> str:
    """That of the scope, else the one that the environment or the profile names."""
    if scope is not None and scope.region:
        return scope.region
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if named:
        return named
    from boto3.session import Session

    with contextlib.suppress(Exception):  # a profile that does not exist is told when it is used
        return Session().region_name or DEFAULT_REGION
    return DEFAULT_REGION


def client(service: str, where: str) -> Any:
    """Of one service in one region, with limits that end a call within a minute. Honours AWS_ENDPOINT_URL."""
    with asking(f"reaching {service}"):
        from botocore.config import Config

        retries: Any = {"mode": "standard", "total_max_attempts": 3}
        config = Config(connect_timeout=5, read_timeout=15, retries=retries, max_pool_connections=32)
        settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        with _lock:
            return _session(settings).client(service, region_name=where, config=config)


@functools.lru_cache(maxsize=1)
def _session(settings: tuple[tuple[str, str], ...]) -> Any:
    """One for all clients of the same environment: each new one reads the SDK's data anew."""
    from boto3.session import Session

    return Session()


@contextlib.contextmanager
def asking(what: str) -> Iterator[None]:
    """Errors of the SDK and of the API become Problems `cloud/...`; `what` says what was tried."""
    try:
        yield
    except ImportError as error:
        raise Problems(
            Problem(
                "cloud/no-sdk",
                f"{what}: the AWS SDK is not installed ({error.name})",
                hint="./invoke setup --extra aws",
            )
        ) from None
    except Exception as error:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        if not isinstance(error, (BotoCoreError, ClientError, ResponseParserError)):
            raise
        raise Problems(problem(what, error)) from None


def code(error: Exception) -> str:
    """The API's own code of an error: `InvalidInstanceID.NotFound`."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def problem(what: str, error: Exception) -> Problem:
    """What an error of botocore is to a user."""
    from botocore import exceptions

    nobody = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.ProfileNotFound,
        exceptions.CredentialRetrievalError,
        exceptions.TokenRetrievalError,
        exceptions.SSOError,
    )
    if isinstance(error, nobody):
        return Problem("cloud/credentials", f"{what}: {error}", hint=LOGIN)
    if not isinstance(error, (exceptions.BotoCoreError, exceptions.ClientError)):
        return Problem(
            "cloud/no-answer", f"{what}: AWS answered something that is no answer", hint="try again"
        )
    if isinstance(error, exceptions.HTTPClientError):
        return Problem("cloud/no-answer", f"{what}: {error}", hint="try again; is the network up?")
    failure = sort(f"{code(error)}: {error}")
    hint = _HINTS.get(failure)
    if code(error).startswith(("ExpiredToken", "RequestExpired")):
        hint = LOGIN
    if failure is Failure.OTHER:
        return Problem("cloud/refused", f"{what}: {error}", hint=hint)
    return Problem(f"cloud/{failure.value}", f"{what}: {error}", hint=hint)


def missing(error: Exception) -> bool:
    """Does the API say that there is no such thing?"""
    said = code(error)
    return (
        ".NotFound" in said
        or said.startswith(("NoSuch", "NotFound"))
        or said
        in ("404", "ResourceNotFoundException", "InvalidGroup.NotFound", "InvalidPlacementGroup.Unknown")
    )


@contextlib.contextmanager
def unless_missing(what: str) -> Iterator[None]:
    """`asking`, where it is no trouble that there is no such thing (any more)."""
    from botocore.exceptions import ClientError

    with asking(what):
        try:
            yield
        except ClientError as error:
            if not missing(error):
                raise


def partition(where: str | None) -> str:
    """`aws`, or that of China or of the US government: part of every ARN."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for prefix, name in prefixes.items() if (where or "").startswith(prefix)), "aws")


def account() -> str:
    """The account that the credentials belong to."""
    sts = client("sts", region())
    with asking("asking for the account"):
        return str(sts.get_caller_identity()["Account"])
