"""Knows how long control has been silent, across restarts of the agent, by a clock that nobody can set."""

from __future__ import annotations

import contextlib
import os
import time


def now() -> float:
    """Seconds since the machine booted, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def boot_id() -> str:
    """Which boot of the machine this is."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return f"{time.time() - now():.0f}"


class Deadman:
    """Silent for `after_s` seconds or not. The last contact is noted in `path`, at most every tenth of that time."""

    def __init__(self, path: str, after_s: float) -> None:
        self.path, self.after_s = path, after_s
        self._boot = boot_id()
        self._heard = self._noted = self._read()

    def heard(self, ago_s: float = 0.0) -> None:
        """Control was there so many seconds ago."""
        self._heard = max(self._heard, now() - ago_s)
        if self._heard - self._noted > self.after_s / 10:
            self._note()

    @property
    def left_s(self) -> float:
        """Seconds until control counts as gone; negative afterwards."""
        return self._heard + self.after_s - now()

    def _read(self) -> float:
        try:
            with open(self.path, encoding="ascii") as file:
                boot, _, heard = file.read().partition(" ")
            if boot == self._boot:
                return min(float(heard), now())
        except (OSError, ValueError):
            pass
        self._heard = now()
        self._note()
        return self._heard

    def _note(self) -> None:
        self._noted = self._heard
        with contextlib.suppress(OSError):
            with open(self.path + ".new", "w", encoding="ascii") as file:
                file.write(f"{self._boot} {self._heard:.3f}")
            os.replace(self.path + ".new", self.path)
