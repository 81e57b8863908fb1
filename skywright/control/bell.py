"""Wakes whoever waits for news of a key (a deployment, a node); a ring between two waits is never missed."""

from __future__ import annotations

import asyncio
from collections import defaultdict


class Bell:
    """Used from one event loop. Take `count` before looking at the data, then wait for a ring after it."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self.closed = False

    def count(self, key: str) -> int:
        return self._counts[key]

    def ring(self, *keys: str) -> None:
        for key in keys:
            self._counts[key] += 1
            for waiter in self._waiting.pop(key, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        """End every wait, now and later: the server is stopping."""
        self.closed = True
        self.ring(*list(self._waiting))

    async def wait(self, key: str, count: int, timeout_s: float) -> bool:
        """Return when `key` rang after `count` was taken (True) or `timeout_s` is over (False)."""
        if self.closed or self._counts[key] != count or timeout_s <= 0:
            return self._counts[key] != count
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key].add(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_s)
            return True
        except asyncio.TimeoutError:
            return False
        finally:
            self._waiting[key].discard(waiter)
            if not self._waiting[key]:
                del self._waiting[key]
