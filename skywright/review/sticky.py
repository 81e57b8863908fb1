"""One comment of ours on a pull request: found among all by its mark and its author, posted, updated, removed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from compiler.problem import Problem, Problems
from skywright.review.calls import Unsure, unanswered

KEY = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")
LONGEST_KEY = 60
TRIES = 3


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment as the host has it. `author` is a login."""

    id: int
    author: str
    body: str
    url: str


class Host(Protocol):
    """A place where pull requests are talked about. All of it raises Problems host/...; `post` raises Unsure when the
    comment may be there or not; `edit` and `remove` of one that is gone answer None and False."""

    @property
    def name(self) -> str: ...
    @property
    def largest(self) -> int:
        """Characters of a comment that the host takes."""
        ...

    def comments(self) -> Iterator[Comment]: ...
    def me(self) -> str: ...
    def post(self, body: str) -> Comment: ...
    def edit(self, id: int, body: str) -> Comment | None: ...
    def remove(self, id: int) -> bool: ...


class Did(Enum):
    """What became of a comment."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, the comment's address (None when there is none), and how many surplus ones were removed."""

    did: Did
    url: str | None = None
    surplus: int = 0


def mark(key: str) -> str:
    """The line, hidden when shown, by which a comment is found again."""
    return f"<!-- skywright comment: {key} -->"


def room(host_largest: int, key: str) -> int:
    """Characters that a text may have for a host that takes `host_largest`."""
    return host_largest - len(mark(key)) - 1


def length(text: str) -> int:
    """Characters as the strictest of hosts counts them: one beyond the first 65,536 signs is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def put(host: Host, key: str, text: str) -> Outcome:
    """Make `text` the one comment of `key`. Raises Problems host/..."""
    if length(text) > room(host.largest, key):
        says = (
            f"the comment has {length(text):,} characters, and {host.name} takes {room(host.largest, key):,}"
        )
        raise Problems(
            Problem("host/too-large", says, hint="`preview --format markdown` keeps within the limit")
        )
    body = f"{mark(key)}\n{text}"
    unsure = ""
    for _ in range(TRIES):
        mine = _mine(host, key)
        if not mine:
            try:
                return _meet(host, key, host.post(body))
            except Unsure as why:
                unsure = str(why)
                continue
        keep = mine[0]
        same = _same(keep.body, body)
        if not same and host.edit(keep.id, body) is None:
            # Somebody deleted it since it was listed.
            continue
        did = Did.UPDATED if not same else Did.CREATED if unsure else Did.UNCHANGED
        return Outcome(did, keep.url, _remove(host, mine[1:]))
    raise Problems(unanswered(host.name, unsure or "lists a comment that it does not have", TRIES))


def drop(host: Host, key: str) -> Outcome:
    """Remove the comment of `key`, and all others that are marked so and ours. Raises Problems host/..."""
    removed = _remove(host, _mine(host, key))
    return Outcome(Did.REMOVED if removed else Did.ABSENT, surplus=max(0, removed - 1))


def _meet(host: Host, key: str, made: Comment) -> Outcome:
    """Who else posted meanwhile does the same: the oldest stays, with what the newest says; the others go."""
    mine = _mine(host, key, made.author)
    if len(mine) < 2:
        return Outcome(Did.CREATED, (mine[0] if mine else made).url)
    keep, newest = mine[0], mine[-1]
    if not _same(keep.body, newest.body) and host.edit(keep.id, newest.body) is None:
        keep = mine[1]
    gone = _remove(host, tuple(one for one in mine[1:] if one is not keep))
    return Outcome(Did.CREATED if keep.id == made.id else Did.UPDATED, keep.url, gone)


def _mine(host: Host, key: str, me: str | None = None) -> tuple[Comment, ...]:
    """Marked comments that we wrote, oldest first. Who we are is asked only when one is marked."""
    first = mark(key)
    marked = [one for one in host.comments() if one.body.split("\n", 1)[0].strip() == first]
    if not marked:
        return ()
    me = me or host.me()
    return tuple(sorted((one for one in marked if one.author == me), key=lambda one: one.id))


def _remove(host: Host, comments: tuple[Comment, ...]) -> int:
    return sum(host.remove(one.id) for one in comments)


def _same(one: str, other: str) -> bool:
    """Hosts write line ends their way and cut blanks at the end."""
    return one.replace("\r\n", "\n").rstrip() == other.replace("\r\n", "\n").rstrip()
