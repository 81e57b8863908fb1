"""Comments of merge requests on GitLab: its REST API for notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from compiler.problem import Problems
from skywright.review.calls import Calls, strange
from skywright.review.sticky import Comment

LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class GitLab:
    """The merge request `number` of the project `repository` (GROUP/.../NAME)."""

    calls: Calls
    repository: str
    number: int
    largest: int = LARGEST
    name: str = "GitLab"

    @property
    def _notes(self) -> str:
        return f"/projects/{quote(self.repository, safe='')}/merge_requests/{self.number}/notes"

    def comments(self) -> Iterator[Comment]:
        return (self._comment(one) for one in self.calls.pages(f"{self._notes}?per_page=100&sort=asc"))

    def me(self) -> str:
        name = (self.calls.get("/user").data or {}).get("username")
        if not name:
            raise Problems(strange("GitLab", "user"))
        return str(name)

    def post(self, body: str) -> Comment:
        return self._comment(self.calls.send("POST", self._notes, {"body": body}, once=True).data)

    def edit(self, id: int, body: str) -> Comment | None:
        answer = self.calls.there("PUT", f"{self._notes}/{id}", {"body": body})
        return self._comment(answer.data) if answer else None

    def remove(self, id: int) -> bool:
        return self.calls.there("DELETE", f"{self._notes}/{id}") is not None

    def _comment(self, data: Any) -> Comment:
        try:
            author = (data.get("author") or {}).get("username", "")
            return Comment(int(data["id"]), str(author), str(data.get("body") or ""), "")
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Problems(strange("GitLab", "comment")) from None
