"""Comments of pull requests on GitHub: its REST API for issue comments, and GraphQL for who a job's token is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from compiler.problem import Problem, Problems
from skywright.review.calls import Calls, strange
from skywright.review.sticky import Comment

LARGEST = 65_536
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


@dataclass(frozen=True, slots=True)
class GitHub:
    """The pull request `number` of `repository` (OWNER/NAME)."""

    calls: Calls
    repository: str
    number: int
    largest: int = LARGEST
    name: str = "GitHub"

    def comments(self) -> Iterator[Comment]:
        found = self.calls.pages(f"/repos/{self.repository}/issues/{self.number}/comments?per_page=100")
        return (_comment(one) for one in found)

    def me(self) -> str:
        """The login of the token's owner. A job's own token may not ask for its user, but GraphQL names it."""
        try:
            login = (self.calls.get("/user").data or {}).get("login")
            return str(login) if login else self._viewer()
        except Problems as refused:
            if refused.problems[0].code not in ("host/forbidden", "host/not-found"):
                raise
            return self._viewer()

    def _viewer(self) -> str:
        answer = self.calls.send("POST", self._graphql(), {"query": "{ viewer { login } }"}).data
        viewer = ((answer or {}).get("data") or {}).get("viewer") or {}
        if "login" not in viewer:
            says = "GitHub does not say whose the token is, so no comment can be told to be ours"
            raise Problems(Problem("host/forbidden", says, hint="use the token of the job, or one of a user"))
        return str(viewer["login"])

    def post(self, body: str) -> Comment:
        path = f"/repos/{self.repository}/issues/{self.number}/comments"
        return _comment(self.calls.send("POST", path, {"body": body}, once=True).data)

    def edit(self, id: int, body: str) -> Comment | None:
        path = f"/repos/{self.repository}/issues/comments/{id}"
        answer = self.calls.there("PATCH", path, {"body": body})
        return _comment(answer.data) if answer else None

    def remove(self, id: int) -> bool:
        return self.calls.there("DELETE", f"/repos/{self.repository}/issues/comments/{id}") is not None

    def _graphql(self) -> str:
        """Beside the REST API: on a server of one's own that ends with /api/v3."""
        return f"{self.calls.url.removesuffix('/v3')}/graphql"


def _comment(data: Any) -> Comment:
    try:
        author = (data.get("user") or {}).get("login", "")
        return Comment(
            int(data["id"]), str(author), str(data.get("body") or ""), str(data.get("html_url", ""))
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Problems(strange("GitHub", "comment")) from None
