"""Answers of clouds' HTTP interfaces: asked again when told to come later, read as JSON, said in a few words."""

from __future__ import annotations

import re
from typing import Any

from compiler.problem import Problem, Problems

LATER = (429, 503)
"""Answers after which the same call is made again."""

TIMES, FIRST_S, MOST_S = 4, 0.25, 8.0
"""How often, how long is waited where the cloud does not say, and at most: an answer is due within a minute."""


def patient(session: Any) -> Any:
    """A session of `requests` that comes again when the cloud has too much to do."""
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    class Patience(Retry):
        def get_retry_after(self, response: Any) -> float | None:
            said = super().get_retry_after(response)
            return said if said is None else min(said, MOST_S)

    again = Patience(
        total=TIMES,
        connect=1,
        read=0,
        backoff_factor=FIRST_S,
        backoff_max=MOST_S,
        status_forcelist=LATER,
        allowed_methods=None,
        raise_on_status=False,
    )
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=again))
    return session


def data(answer: Any, what: str) -> dict[str, Any]:
    """The JSON of a good answer; nothing where it has none. Raises Problems cloud/no-answer when it is not JSON."""
    if not answer.content.strip():
        return {}
    try:
        found = answer.json()
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    says = f"{what}: the answer is not the cloud's: {brief(answer.text)}"
    raise Problems(Problem("cloud/no-answer", says, hint="is there a proxy that wants a login?"))


def later(answer: Any, what: str) -> Problem:
    """What is said when the cloud had too much to do every time."""
    says = f"{what}: the cloud has too much to do (HTTP {answer.status_code})"
    return Problem("cloud/no-answer", says, hint="try again in a minute")


def brief(text: str) -> str:
    """One line of a text that is not JSON, without marks of HTML."""
    plain = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
    return " ".join(plain.split())[:300] or "nothing"
