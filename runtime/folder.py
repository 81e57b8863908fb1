"""Objects as files of a folder on the node: where control reaches into it, as into a pod, and no bucket is needed.

`agent.py objects FOLDER` is control's hand in it: one request on stdin, one answer on stdout, each a line of JSON and
then base64. Files appear whole, by a rename; one clock measures their age.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import sys
import time
from typing import Any, Callable, Optional

from runtime.store import Found, Store

PIECE = 1 << 20
PARTS = ".parts"
"""Below the folder: what is not whole yet."""

_numbers = itertools.count()


class Folder(Store):
    """A store in one folder. `secrets` of the manifest's link is the folder in which their values lie."""

    def __init__(self, root: str) -> None:
        self.root = root

    def get(
        self, key: str, mark: str = "", into: Optional[Callable[[bytes], None]] = None
    ) -> Optional[Found]:
        try:
            with open(self._path(key), "rb") as file:
                facts = os.fstat(file.fileno())
                now = f"{facts.st_mtime_ns}.{facts.st_ino}"
                if mark == now:
                    return Found(None, mark, 0.0)
                age_s = max(0.0, time.time() - facts.st_mtime)
                if into is None:
                    return Found(file.read(), now, age_s)
                while piece := file.read(PIECE):
                    into(piece)
                return Found(b"", now, age_s)
        except FileNotFoundError:
            return None

    def size(self, key: str) -> Optional[int]:
        try:
            return os.stat(self._path(key)).st_size
        except FileNotFoundError:
            return None

    def put(self, key: str, content: bytes) -> None:
        os.replace(self._drafted(content), self._place(key))

    def new(self, key: str, content: bytes) -> bool:
        return self.finish(key, self._drafted(content))

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(key))

    def list(self, start: str) -> list[str]:
        found = []
        for folder, _, names in os.walk(self.root):
            within = os.path.relpath(folder, self.root)
            if within.split(os.sep)[0] != PARTS:
                found += [name if within == "." else f"{within}/{name}" for name in names]
        return sorted(key for key in found if key.startswith(start))

    def secret(self, name: str) -> str:
        with open(name, encoding="utf-8") as file:
            return file.read()

    def close(self) -> None:
        """Nothing is held open."""

    def part(self, name: str, offset: int, content: bytes) -> None:
        """Bytes of something large, in order; what an earlier try brought is written over."""
        with open(self._part(name), "r+b" if offset else "wb") as file:
            file.seek(offset)
            file.truncate()
            file.write(content)

    def finish(self, key: str, draft: str) -> bool:
        """Give a whole draft its name, unless something has it; the draft is gone then."""
        try:
            os.link(draft, self._place(key))
            return True
        except FileExistsError:
            return False
        finally:
            os.unlink(draft)

    def _part(self, name: str) -> str:
        os.makedirs(os.path.join(self.root, PARTS), exist_ok=True)
        return os.path.join(self.root, PARTS, name)

    def _drafted(self, content: bytes) -> str:
        draft = self._part(f"{os.getpid()}-{next(_numbers)}")
        with open(draft, "wb") as file:
            file.write(content)
        return draft

    def _place(self, key: str) -> str:
        path = self._path(key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _path(self, key: str) -> str:
        if {"", ".", "..", PARTS} & set(key.split("/")):
            raise OSError(f"{key!r} is no name of an object")
        return os.path.join(self.root, key)


def open_store(where: dict[str, Any]) -> Callable[[], Store]:
    """`where`: the folder as `bucket`, a folder in it as `prefix`."""
    root = os.path.join(where["bucket"], where["prefix"])
    os.makedirs(root, exist_ok=True)
    return lambda: Folder(root)


def carry_out(folder: Folder, asked: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    """One request of control: its answer, and the bytes that go with it."""
    verb, key = asked["verb"], asked.get("key", "")
    if verb == "get":
        found = folder.get(key, asked.get("mark", ""))
        if found is None:
            return {"found": False}, b""
        same = found.content is None
        return {"found": True, "same": same, "mark": found.mark, "age_s": found.age_s}, found.content or b""
    if verb == "put":
        folder.put(key, content)
        return {}, b""
    if verb == "part":
        folder.part(asked["part"], asked["offset"], content)
        return {}, b""
    if verb == "new":
        draft = folder._part(asked["part"]) if "part" in asked else folder._drafted(content)
        return {"made": folder.finish(key, draft)}, b""
    if verb == "size":
        return {"size": folder.size(key)}, b""
    if verb == "delete":
        folder.delete(asked["keys"])
        return {}, b""
    return {"keys": folder.list(asked.get("start", ""))}, b""


def main(args: list[str]) -> int:
    """`agent.py objects FOLDER`."""
    asked = json.loads(sys.stdin.buffer.readline())
    content = base64.b64decode(sys.stdin.buffer.read(asked.get("length", 0)))
    os.makedirs(args[0], exist_ok=True)
    try:
        answer, given = carry_out(Folder(args[0]), asked, content)
    except OSError as error:
        answer, given = {"error": str(error)}, b""
    sys.stdout.write(json.dumps(answer) + "\n" + base64.b64encode(given).decode())
    sys.stdout.flush()
    return 0
