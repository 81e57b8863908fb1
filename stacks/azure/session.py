"""The way to Azure's APIs outside Pulumi: tokens of the SDK, REST calls, and their errors as Problems."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from stacks import answers
from stacks.azure.failures import sort
from stacks.cloud import Failure, Scope

LOGIN = "`az login`, then `invoke login`"
TIMEOUT_S = 20
ACTION_S, PAUSE_S = 40.0, 5.0
"""How long the end of an action is waited for, and between two looks at most."""

MANAGEMENT = "https://management.azure.com"
"""Azure's own address; `ARM_RESOURCE_MANAGER_ENDPOINT` names another (national clouds, tests)."""

_HINTS = {
    Failure.CREDENTIALS: "`invoke check azure` names what is missing",
    Failure.NOT_FOUND: "`invoke check azure` says which subscription is asked",
    Failure.QUOTA: "ask Azure for more under Quotas, or allow other offers",
}


def endpoint() -> str:
    return (os.environ.get("ARM_RESOURCE_MANAGER_ENDPOINT") or MANAGEMENT).rstrip("/")


def subscription(scope: Scope | None = None) -> str:
    """Of the scope, of the environment, or the Azure CLI's current one. Raises Problems cloud/no-account."""
    if scope is not None and scope.given.account:
        return scope.given.account
    for name in ("ARM_SUBSCRIPTION_ID", "AZURE_SUBSCRIPTION_ID"):
        if found := os.environ.get(name):
            return found
    if named := _of_cli():
        return named
    hint = "`given: {azure: {account: SUBSCRIPTION}}` in the configuration, or ARM_SUBSCRIPTION_ID"
    raise Problems(Problem("cloud/no-account", "no Azure subscription is named", hint=hint))


def _of_cli() -> str | None:
    folder = Path(os.environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
    try:
        profile = json.loads((folder / "azureProfile.json").read_text(encoding="utf-8-sig"))
        return next((str(one["id"]) for one in profile["subscriptions"] if one.get("isDefault")), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ask(
    method: str,
    path: str,
    what: str,
    body: Any = None,
    query: Mapping[str, str] | None = None,
    resource: str = MANAGEMENT,
    address: str | None = None,
    waits: bool = False,
) -> dict[str, Any]:
    """One call's answer; `what` says what was tried. `resource` is whom the token is for, `address` where it lies.
    `waits`: what Azure has only taken on is followed to its end.

    Raises Problems `cloud/...`; 404 is cloud/not-found.
    """
    with asking(what):
        import requests

        url = (address or endpoint()) + path
        headers = {"Authorization": f"Bearer {token(resource)}"}
        with answers.patient(requests.Session()) as session:
            answer = session.request(method, url, json=body, params=query, headers=headers, timeout=TIMEOUT_S)
            if waits:
                answer = _ended(session, answer, headers)
    if answer.status_code < 400:
        return answers.data(answer, what)
    if answer.status_code in answers.LATER:
        raise Problems(answers.later(answer, what))
    raise Problems(refused(what, answer.status_code, answer.text))


def _ended(session: Any, answer: Any, headers: Mapping[str, str]) -> Any:
    """The last answer of an action that Azure only took on: it says where to ask. One that lasts is left alone."""
    until = time.monotonic() + ACTION_S
    while answer.status_code == 202 and "Location" in answer.headers and time.monotonic() < until:
        time.sleep(min(float(answer.headers.get("Retry-After") or 2), PAUSE_S))
        answer = session.get(answer.headers["Location"], headers=headers, timeout=TIMEOUT_S)
    return answer


def token(resource: str) -> str:
    """For calls of one of Azure's services."""
    from azure.identity import DefaultAzureCredential

    if given := os.environ.get("ARM_ACCESS_TOKEN"):  # of a pipeline that has logged in already
        return given
    return str(DefaultAzureCredential().get_token(f"{resource}/.default").token)


def refused(what: str, status: int, text: str) -> Problem:
    """What a refusal means: `text` is the body of an answer with this status."""
    try:
        error = json.loads(text)["error"]
        said = f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        said = answers.brief(text)
    if status == 401:
        return Problem("cloud/credentials", f"{what}: {said}", hint=LOGIN)
    failure = Failure.NOT_FOUND if status == 404 else sort(said)
    if status == 403 and failure is Failure.OTHER:
        failure = Failure.CREDENTIALS
    code = "cloud/refused" if failure is Failure.OTHER else f"cloud/{failure.value}"
    return Problem(code, f"{what}: {said}", hint=_HINTS.get(failure))


@contextlib.contextmanager
def asking(what: str) -> Iterator[None]:
    """Errors of the SDK and of the network become Problems `cloud/...`; `what` says what was tried."""
    try:
        yield
    except ImportError as error:
        says = f"{what}: the Azure SDK is not installed ({error.name})"
        raise Problems(Problem("cloud/no-sdk", says, hint="./invoke setup --extra azure")) from None
    except Problems:
        raise
    except Exception as error:
        from azure.core.exceptions import AzureError, ClientAuthenticationError
        from requests import RequestException

        if isinstance(error, ClientAuthenticationError):
            raise Problems(Problem("cloud/credentials", f"{what}: {error}", hint=LOGIN)) from None
        if isinstance(error, (AzureError, RequestException)):
            hint = "try again; is the network up?"
            raise Problems(Problem("cloud/no-answer", f"{what}: {error}", hint=hint)) from None
        raise


@contextlib.contextmanager
def unless_missing() -> Iterator[None]:
    """It is no trouble that there is no such thing (any more)."""
    try:
        yield
    except Problems as problems:
        if problems.problems[0].code != "cloud/not-found":
            raise
