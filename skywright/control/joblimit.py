"""How many jobs may run at once: `jobs.parallel` of the home's settings, else by this machine's memory."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from compiler.problem import Problems

log = logging.getLogger("skywright.control")

EACH_BYTES = 512 * 2**20
"""Memory that one job's engine operation may take at its height: what the default limit is reckoned with."""

FEWEST, MOST = 2, 200


class Limit:
    """`jobs.parallel` of the home's settings, read again when the file changes; else by this machine's memory."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._seen: tuple[int, int] | None = None
        self._said: int | None = None

    def now(self) -> int:
        """How many jobs may run at once. Settings that cannot be read leave what held before."""
        try:
            found = os.stat(self._home / "config.yaml")
            seen = (found.st_mtime_ns, found.st_size)
        except OSError:
            seen, self._said = None, None
        if seen is not None and seen != self._seen:
            self._read()
        self._seen = seen
        return self._said if self._said is not None else by_memory()

    def _read(self) -> None:
        from skywright.config import own_parallel

        try:
            self._said = own_parallel(self._home)
        except Problems as problems:
            log.warning("jobs.parallel stays as it was: %s", problems)


def by_memory(total: int | None = None) -> int:
    """As many jobs as have room in half of this machine's memory (`total`, in bytes)."""
    if total is None:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(FEWEST, min(MOST, total // 2 // EACH_BYTES))
