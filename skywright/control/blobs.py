"""Archives of workdirs and files by SHA-256: verified while they are received, removed when nobody refers to them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from pathlib import Path

from compiler.problem import Problem, Problems

FRESH_S = 600.0
"""An archive that was sent so recently may belong to an order that is still on its way."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A folder of files named by their digest."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, digest: str) -> Path:
        """Raises Problems for what is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise Problems(Problem("control/bad-request", f"{digest[:80]!r} is not a SHA-256 digest in hex"))
        return self._root / digest

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Which of them are not here. Those that are count as fresh: whoever asks is about to refer to them."""
        absent = []
        for digest in digests:
            try:
                os.utime(self.path(digest))
            except FileNotFoundError:
                absent.append(digest)
        return absent

    async def receive(self, digest: str, chunks: AsyncIterator[bytes]) -> None:
        """Store what arrives if its digest is right. Raises Problems `control/blob-damaged`."""
        path = self.path(digest)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._root / f".{digest}.{secrets.token_hex(4)}"
        seen = hashlib.sha256()
        try:
            with open(partial, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                async for chunk in chunks:
                    seen.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if seen.hexdigest() != digest:
                raise Problems(
                    Problem(
                        "control/blob-damaged",
                        f"the archive {digest[:12]} arrived with other content",
                        hint="a file of the workdir changed while it was packed: run the command again",
                    )
                )
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def keep_only(self, wanted: Collection[str], ordered: Mapping[str, float], now: float) -> int:
        """Remove all others but the fresh ones, and what broken uploads left; returns how many went.

        `ordered`: when an order last referred to an archive. One that nobody asked for since is not fresh.
        """
        removed = 0
        for entry in list(os.scandir(self._root)) if self._root.is_dir() else []:
            asked = entry.stat().st_mtime
            fresh = asked >= now - FRESH_S and asked > ordered.get(entry.name, 0.0)
            if entry.name not in wanted and not fresh:
                Path(entry.path).unlink(missing_ok=True)
                removed += 1
        return removed
