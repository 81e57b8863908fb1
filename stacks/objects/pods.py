"""Objects that lie in the pods of a Job, each in the one whose node it is about: control reaches in through the API
server, with the rights of the person, so that pods need no rights at all and no bucket has to exist."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

from compiler.problem import Problems
from stacks.boot import AGENTS, Store
from stacks.objects import Found, Objects, Unavailable

PIECE = 3 << 20
"""Bytes that are sent at once."""

Run = Callable[[str, str], "str | None"]
"""Asks the pod of that name with a text; None when there is no such pod."""


class Pods:
    """`run` asks one pod, `names` are the pods that run now."""

    def __init__(self, run: Run, names: Callable[[], list[str]]) -> None:
        self.run, self.names = run, names

    def get(self, key: str, mark: str = "") -> Found | None:
        for pod in self._of(key):
            told, content = self._ask(pod, {"verb": "get", "key": key, "mark": mark})
            if told.get("found"):
                return Found(None if told["same"] else content, told["mark"], told["age_s"])
        return None

    def put(self, key: str, content: bytes) -> None:
        for pod in self._of(key):  # one that is gone has nothing to be told any more
            self._ask(pod, {"verb": "put", "key": key}, content)

    def new(self, key: str, content: bytes | BinaryIO) -> bool:
        """What is not about one node goes to every pod that lacks it; agents come with the pods."""
        if key.startswith(f"{AGENTS}/"):
            return False
        made, there = False, self._of(key)
        if not there:
            raise Unavailable("no pod runs yet")  # whoever brings things has to try again
        for pod in there:
            if self._ask(pod, {"verb": "size", "key": key})[0].get("size") is None:
                made = self._bring(pod, key, content) or made
        return made

    def delete(self, keys: Iterable[str]) -> None:
        by_pod: dict[str, list[str]] = {}
        for key in keys:
            for pod in self._of(key):
                by_pod.setdefault(pod, []).append(key)
        for pod, its in by_pod.items():
            self._ask(pod, {"verb": "delete", "keys": its})

    def list(self, start: str = "") -> list[str]:
        found: set[str] = set()
        for pod in self.names():
            found |= set(self._ask(pod, {"verb": "list", "start": start})[0].get("keys", ()))
        return sorted(found)

    def _bring(self, pod: str, key: str, content: bytes | BinaryIO) -> bool:
        if isinstance(content, bytes) and len(content) <= PIECE:
            return bool(self._ask(pod, {"verb": "new", "key": key}, content)[0].get("made"))
        part, offset = secrets.token_hex(8), 0
        if not isinstance(content, bytes):
            content.seek(0)
        while (
            piece := content[offset : offset + PIECE] if isinstance(content, bytes) else content.read(PIECE)
        ):
            self._ask(pod, {"verb": "part", "part": part, "offset": offset}, piece)
            offset += len(piece)
        return bool(self._ask(pod, {"verb": "new", "key": key, "part": part})[0].get("made"))

    def _of(self, key: str) -> list[str]:
        """Pods that an object is about: `up/NODE/...` and `down/NODE/...` about one, what all need about all.

        A node's id begins with the pod's name, which has no dot, and may go on with anything.
        """
        side, _, rest = key.partition("/")
        name, dot, _ = rest.partition(".")
        return [name] if name and dot and "/" not in name and side in ("up", "down") else self.names()

    def _ask(self, pod: str, asked: Mapping[str, Any], content: bytes = b"") -> tuple[dict[str, Any], bytes]:
        body = base64.b64encode(content).decode()
        try:
            said = self.run(pod, json.dumps({**asked, "length": len(body)}) + "\n" + body)
        except Problems as problems:
            first = problems.problems[0]
            raise Unavailable(first.message, first.code == "cloud/credentials") from None
        if said is None:
            if asked["verb"] in ("size", "new", "part"):
                raise Unavailable(f"{pod} is not there")
            return {}, b""
        head, _, rest = said.partition("\n")
        try:
            told = json.loads(head)
            given = base64.b64decode(rest)
        except ValueError:
            raise Unavailable(f"{pod} answered `{said[:200]}`") from None
        if "error" in told:
            raise Unavailable(f"{pod}: {told['error']}")
        return told, given


def open_objects(store: Store, env: Mapping[str, str]) -> Objects:
    """Those of one Job: its namespace is the bucket, its context the region."""
    from stacks.kubernetes import inside

    box = inside.Mailboxes(store.region or "", store.bucket, store.prefix, env.get("KUBECONFIG"))
    return Pods(box.ask, box.pods)
