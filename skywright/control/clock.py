"""The two clocks of control, so that tests can set them: wall time for records, steady time for leases."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def steady(self) -> float:
        """Seconds that never jump: leases and deadlines are counted with it."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.monotonic()
