"""Credentials of whoever launches, for buckets that nodes do not reach as what they are: sent as secrets are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compiler.buckets import SECRETS
from compiler.problem import Problem, Problems


def read(names: Iterable[str]) -> dict[str, str]:
    """Secret -> JSON, for each name of `compiler.buckets.secret_names`. Empty JSON where this machine has none: public
    buckets take that. Raises Problems machine/bucket-credentials."""
    found = {}
    for name in names:
        given = {"S3": _s3, "GCS": _gcs, "AZURE": _azure}[name.removeprefix(SECRETS)]()
        found[name] = json.dumps({key: value for key, value in given.items() if value}, sort_keys=True)
    return found


def _s3() -> dict[str, Any]:
    env = os.environ.get
    found = {
        "access_key_id": env("AWS_ACCESS_KEY_ID"),
        "secret_access_key": env("AWS_SECRET_ACCESS_KEY"),
        "session_token": env("AWS_SESSION_TOKEN"),
        "region": env("AWS_REGION") or env("AWS_DEFAULT_REGION"),
        "endpoint": env("AWS_ENDPOINT_URL_S3") or env("AWS_ENDPOINT_URL"),
    }
    return found if found["access_key_id"] else {**found, **_of_profile()}


def _of_profile() -> dict[str, Any]:
    """What the AWS SDK finds in files and in a login, where it is installed."""
    if not (os.environ.get("AWS_PROFILE") or (Path.home() / ".aws").is_dir()):
        return {}
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError:
        return {}
    try:
        session = Session()
        found = session.get_credentials()
        keys = found.get_frozen_credentials() if found else None
        region = session.get_config_variable("region")
    except BotoCoreError as error:
        raise Problems(_unusable("AWS", str(error), "log in again, or name another AWS_PROFILE")) from None
    if keys is None:
        return {}
    given = {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "session_token": keys.token,
    }
    return {**given, **({"region": region} if region else {})}


def _gcs() -> dict[str, Any]:
    folder = os.environ.get("CLOUDSDK_CONFIG") or str(Path.home() / ".config" / "gcloud")
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or os.path.join(
        folder, "application_default_credentials.json"
    )
    try:
        data = json.loads(Path(path).read_text())
        kind = data["type"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{path} cannot be read: {error}"
        raise Problems(
            _unusable("Google", why, "`gcloud auth application-default login` makes one")
        ) from None
    if kind == "service_account":
        return {"service_account_credentials": json.dumps(data)}
    if kind == "authorized_user":
        # Long ended, so that rclone gets a new one with the refresh token.
        token = {
            "access_token": "none",
            "refresh_token": data.get("refresh_token"),
            "expiry": "2000-01-01T00:00:00Z",
        }
        login = {name: data.get(name) for name in ("client_id", "client_secret")}
        return {"token": json.dumps(token), **login}
    hint = "take a service account's key, or `gcloud auth application-default login`"
    raise Problems(
        _unusable("Google", f"credentials of the kind `{kind}` do not work on other machines", hint)
    )


def _azure() -> dict[str, Any]:
    env = os.environ.get
    return {"key": env("AZURE_STORAGE_KEY"), "sas_url": env("AZURE_STORAGE_SAS_URL")}


def _unusable(whose: str, why: str, hint: str) -> Problem:
    return Problem(
        "machine/bucket-credentials", f"the task has buckets, and {whose} credentials: {why}", hint=hint
    )
