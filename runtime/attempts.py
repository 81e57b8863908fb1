"""Where each attempt of a run lives on disk, what its parts left there, and what of setup lasts beyond it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection
from typing import Any, NamedTuple, Optional

Key = tuple[int, int]
"""Run and attempt."""


class Place(NamedTuple):
    """One part of one attempt: its folder, and the name of its control groups."""

    folder: str
    group: str

    @property
    def log(self) -> str:
        return os.path.join(self.folder, "log")

    @property
    def log_size(self) -> int:
        return os.path.getsize(self.log) if os.path.exists(self.log) else 0

    @property
    def record(self) -> Optional[dict[str, Any]]:
        """How the part ended, once it has: what its shim wrote."""
        try:
            with open(os.path.join(self.folder, "exit"), encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


class Attempts:
    """The folders of all attempts below the agent's own folder."""

    def __init__(self, folder: str, node: str) -> None:
        self.folder, self.node = folder, node.replace("/", "-")
        os.makedirs(os.path.join(folder, "runs"), mode=0o700, exist_ok=True)

    def path(self, key: Key, *names: str) -> str:
        return os.path.join(self.folder, "runs", f"{key[0]}.{key[1]}", *names)

    def place(self, key: Key, part: str) -> Place:
        return Place(self.path(key, part), f"skywright-{self.node}-{key[0]}.{key[1]}-{part}")

    def parts(self) -> list[tuple[int, int, str]]:
        """Every part that was begun and is still on disk."""
        found = []
        for name in os.listdir(os.path.join(self.folder, "runs")):
            run, _, attempt = name.partition(".")
            key = (int(run), int(attempt))
            found += [(*key, part) for part in ("setup", "run") if os.path.isdir(self.path(key, part))]
        return sorted(found)

    def log_sizes(self, key: Key, over: bool) -> dict[str, int]:
        """Bytes of the logs of the parts that ended; all of them once the attempt is `over`."""
        sizes = {}
        for part in ("setup", "run"):
            place = self.place(key, part)
            record = place.record
            if record is not None or (over and os.path.exists(place.log)):
                sizes[part] = record["log_bytes"] if record else place.log_size
        return sizes

    def clean(self, busy: Collection[Key]) -> None:
        """Remove what no `busy` attempt needs."""
        for run, attempt, _ in self.parts():
            if (run, attempt) not in busy:
                shutil.rmtree(self.path((run, attempt)), ignore_errors=True)

    def exports(self, key: Key) -> tuple[str, bool]:
        """The file of what setup exported, and whether it was the setup of this very attempt."""
        own = self.path(key, "setup", "exports")
        return (own, True) if os.path.exists(own) else (os.path.join(self.folder, "exports"), False)

    def keep_exports(self, key: Key) -> None:
        """Let runs without a setup of their own have what this one's exported."""
        draft = os.path.join(self.folder, "exports.new")
        with contextlib.suppress(OSError):
            shutil.copyfile(self.path(key, "setup", "exports"), draft)
            os.replace(draft, os.path.join(self.folder, "exports"))

    def notify(self, key: Key, left_s: float) -> None:
        """Tell the job, in the file it was told of, how many seconds it has left."""
        with contextlib.suppress(OSError):
            with open(self.path(key, "notice.new"), "w", encoding="utf-8") as file:
                file.write(f"{left_s:.0f}\n")
            os.replace(self.path(key, "notice.new"), self.path(key, "notice"))
