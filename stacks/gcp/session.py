"""The way to Google's APIs outside Pulumi: an authorized session, and its errors as Problems."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from compiler.problem import Problem, Problems
from stacks import answers
from stacks.cloud import Failure, Scope
from stacks.gcp.failures import sort

LOGIN = "`gcloud auth application-default login`, then `invoke login`"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
TIMEOUT_S = 20
_GIVEN = "GOOGLE_OAUTH_ACCESS_TOKEN"

SERVICES: Mapping[str, tuple[str, str]] = {
    "compute": ("https://compute.googleapis.com/compute/v1", ""),
    "secretmanager": ("https://secretmanager.googleapis.com", "/v1"),
    "iam": ("https://iam.googleapis.com", "/v1"),
    "storage": ("https://storage.googleapis.com/storage/v1", ""),
    "cloudresourcemanager": ("https://cloudresourcemanager.googleapis.com", "/v1"),
}
"""Service -> address, and what follows it; `CLOUDSDK_API_ENDPOINT_OVERRIDES_<SERVICE>` names another address, as
gcloud has it."""

_PROJECTS = ("GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT", "CLOUDSDK_CORE_PROJECT", "GCLOUD_PROJECT")
_HINTS = {
    Failure.CREDENTIALS: "`invoke check gcp` names what is missing",
    Failure.NOT_FOUND: "`invoke check gcp` says which project is asked",
    Failure.QUOTA: "ask Google for more under IAM & Admin, Quotas, or allow other offers",
}


def project(scope: Scope | None = None) -> str:
    """The Google project: of the scope, of the environment, or of the credentials. Problems cloud/no-account."""
    if scope is not None and scope.given.account:
        return scope.given.account
    if named := next((os.environ[name] for name in _PROJECTS if os.environ.get(name)), None):
        return named
    with asking("finding the Google project"):
        _, found = _credentials()
    if found:
        return found
    raise Problems(
        Problem(
            "cloud/no-account",
            "no Google project is named",
            hint="`given: {gcp: {account: PROJECT}}` in the configuration, or GOOGLE_CLOUD_PROJECT",
        )
    )


def ask(
    method: str, service: str, path: str, what: str, body: Any = None, query: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """One call's answer; `what` says what was tried. Raises Problems `cloud/...`; 404 is cloud/not-found."""
    own, version = SERVICES[service]
    address = os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}") or own
    url = f"{address.rstrip('/')}{version}/{path}"
    with asking(what):
        from google.auth.transport.requests import AuthorizedSession

        credentials, _ = _credentials()
        # A token that was given cannot be renewed: it is Google's own refusal that people are shown.
        renewed = () if os.environ.get(_GIVEN) else (401,)
        with answers.patient(AuthorizedSession(credentials, refresh_status_codes=renewed)) as session:
            answer = session.request(method, url, json=body, params=query, timeout=TIMEOUT_S)
    if answer.status_code < 400:
        return answers.data(answer, what)
    if answer.status_code in answers.LATER:
        raise Problems(answers.later(answer, what))
    raise Problems(_refused(what, answer.status_code, answer.text))


def _credentials() -> tuple[Any, str | None]:
    """The token of the environment, as Pulumi's provider takes it, else Google's own way to find some."""
    import google.auth
    import google.oauth2.credentials

    if token := os.environ.get(_GIVEN):
        return google.oauth2.credentials.Credentials(token), None
    found: tuple[Any, str | None] = google.auth.default(scopes=list(SCOPES))
    return found


def _refused(what: str, status: int, text: str) -> Problem:
    failure = Failure.NOT_FOUND if status == 404 else sort(text)
    if status == 401:
        return Problem("cloud/credentials", f"{what}: {_brief(text)}", hint=LOGIN)
    if status == 403 and failure is Failure.OTHER:
        failure = Failure.CREDENTIALS
    code = "cloud/refused" if failure is Failure.OTHER else f"cloud/{failure.value}"
    return Problem(code, f"{what}: {_brief(text)}", hint=_HINTS.get(failure))


def _brief(text: str) -> str:
    import json

    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answers.brief(text)


@contextlib.contextmanager
def asking(what: str) -> Iterator[None]:
    """Errors of the SDK and of the network become Problems `cloud/...`; `what` says what was tried."""
    try:
        yield
    except ImportError as error:
        says = f"{what}: the Google SDK is not installed ({error.name})"
        raise Problems(Problem("cloud/no-sdk", says, hint="./invoke setup --extra gcp")) from None
    except Problems:
        raise
    except Exception as error:
        from google.auth import exceptions
        from requests import RequestException

        if isinstance(error, (exceptions.TransportError, RequestException)):
            hint = "try again; is the network up?"
            raise Problems(Problem("cloud/no-answer", f"{what}: {error}", hint=hint)) from None
        if isinstance(error, exceptions.GoogleAuthError):
            raise Problems(Problem("cloud/credentials", f"{what}: {error}", hint=LOGIN)) from None
        raise


@contextlib.contextmanager
def unless_missing() -> Iterator[None]:
    """It is no trouble that there is no such thing (any more)."""
    try:
        yield
    except Problems as problems:
        if problems.problems[0].code != "cloud/not-found":
            raise
