"""`comment`: one comment on a pull request, posted or updated through the host's API."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values

if TYPE_CHECKING:
    from skywright.review.sticky import Host

LARGEST = 4 * 1024 * 1024
"""Bytes of a text that is read."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
REPOSITORY = re.compile(r"[\w.-]+(?:/[\w.-]+)+\Z", re.ASCII)


def run(values: Values) -> int:
    """Post or update it, or with --delete remove it. Raises Problems usage/..., host/..."""
    from skywright.review import sticky

    key = values.key or "preview"
    if not sticky.KEY.match(key) or len(key) > sticky.LONGEST_KEY:
        says = f"`--key` wants letters and digits, with `-`, `_` or `.` between them, not {key[:80]!r}"
        raise Problems(Problem("usage/flag-value", says))
    if values.delete:
        outcome = sticky.drop(_host(values), key)
    else:
        text = _text(values.file or "-")
        if values.summary:
            # Before the comment: where that is refused, people still have this.
            _summarise(text)
        outcome = sticky.put(_host(values), key, text)
    if values.json:
        screen.data({"did": outcome.did.value, "key": key, "url": outcome.url, "surplus": outcome.surplus})
        return int(Exit.FINE)
    surplus = f", {screen.plural(outcome.surplus, 'surplus one')} removed" if outcome.surplus else ""
    screen.out(f"comment {outcome.did.value}{surplus}{f': {outcome.url}' if outcome.url else ''}")
    return int(Exit.FINE)


def _text(word: str) -> str:
    try:
        content = sys.stdin.buffer.read(LARGEST + 1) if word == "-" else _content(Path(word).expanduser())
    except OSError as error:
        raise Problems(Problem("usage/no-file", f"`{word}` cannot be read: {error.strerror}")) from None
    text = content.decode(errors="replace")
    if not text.strip():
        hint = "what made it has failed, or wrote to stderr"
        raise Problems(Problem("usage/empty-comment", f"`{word}` has no text to post", hint=hint))
    return text


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _summarise(text: str) -> None:
    """Add the text to the summary of the job, where there is a job."""
    named = os.environ.get("GITHUB_STEP_SUMMARY")
    if not named:
        screen.say("no summary: GITHUB_STEP_SUMMARY is not set outside of GitHub Actions")
        return
    with open(named, "a") as file:
        file.write(text if text.endswith("\n") else f"{text}\n")


def _host(values: Values) -> Host:
    kind = values.host or ("gitlab" if os.environ.get("GITLAB_CI") else "github")
    return _gitlab(values) if kind == "gitlab" else _github(values)


def _github(values: Values) -> Host:
    from skywright.review.calls import Calls
    from skywright.review.github import HEADERS, GitHub

    url = _url(values.api or os.environ.get("GITHUB_API_URL") or "https://api.github.com")
    repository = _repository(values.repo or os.environ.get("GITHUB_REPOSITORY"), parts=2)
    return GitHub(Calls(url, _token("GITHUB_TOKEN"), HEADERS), repository, _number(values.pr, _of_github))


def _gitlab(values: Values) -> Host:
    from skywright.review.calls import Calls
    from skywright.review.gitlab import GitLab

    url = _url(values.api or os.environ.get("CI_API_V4_URL") or "https://gitlab.com/api/v4")
    repository = _repository(values.repo or os.environ.get("CI_PROJECT_PATH"))
    return GitLab(Calls(url, _token("GITLAB_TOKEN")), repository, _number(values.pr, _of_gitlab))


def _url(text: str) -> str:
    """The API's address. The token goes there, so never in clear over a network."""
    try:
        parts = urllib.parse.urlsplit(text)
        good = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        good = good and bool(parts.hostname) and not (parts.query or parts.fragment or "@" in parts.netloc)
        good = good and parts.port != 0 and text.isprintable() and " " not in text
    except ValueError:
        good = False
    if not good:
        says = "the address of the API has to be `https://HOST/...`, without a name, a password or a question"
        raise Problems(Problem("usage/flag-value", says, hint="--api https://api.github.com"))
    return text.rstrip("/")


def _repository(text: str | None, parts: int = 0) -> str:
    if not text:
        says = "nothing says which repository is meant"
        raise Problems(Problem("usage/no-pull-request", says, hint="--repo OWNER/NAME"))
    wrong = parts and text.count("/") != parts - 1
    if wrong or not REPOSITORY.match(text) or {".", ".."} & set(text.split("/")):
        says = f"`--repo` wants OWNER/NAME, not {text[:80]!r}"
        raise Problems(Problem("usage/flag-value", says))
    return text


def _number(given: int | None, found: Callable[[], int | None]) -> int:
    number = found() if given is None else given
    if number is None:
        says = "nothing says which pull request is meant"
        hint = "--pr N; a job knows it by itself only when a pull request started it"
        raise Problems(Problem("usage/no-pull-request", says, hint=hint))
    if number < 1:
        raise Problems(
            Problem("usage/flag-value", f"`--pr` wants the number of a pull request, not {number}")
        )
    return number


def _of_github() -> int | None:
    """The pull request that started this job: by its ref, else by the event."""
    if named := re.fullmatch(r"refs/pull/(\d+)/(?:merge|head)", os.environ.get("GITHUB_REF", "")):
        return int(named[1])
    try:
        event: Any = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_bytes())
        issue = event.get("issue") or {}
        several = (event.get("workflow_run") or {}).get("pull_requests") or [{}]
        about = event.get("pull_request") or (issue if "pull_request" in issue else several[0])
        return int(about["number"])
    except (KeyError, OSError, ValueError, AttributeError, TypeError):
        return None


def _of_gitlab() -> int | None:
    text = os.environ.get("CI_MERGE_REQUEST_IID", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _token(variable: str) -> str:
    """From the environment only: command lines are seen by everybody."""
    token = os.environ.get(variable, "").strip()
    if not token:
        hint = "in a workflow: `env: {GITHUB_TOKEN: ${{ github.token }}}`" if "HUB" in variable else None
        says = f"{variable} is not set, and comments need a token"
        raise Problems(Problem("host/no-token", says, hint=hint))
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Problems(Problem("host/unauthorized", f"{variable} holds something that is no token"))
    return token
