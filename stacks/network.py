"""Whether the network that a stack looks up exists already: its first preview comes before its foundation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pulumi

T = TypeVar("T")

_coming: ContextVar[bool] = ContextVar("network_coming", default=False)


@contextmanager
def coming() -> Iterator[None]:
    """While a stack is previewed whose foundation is still to be made: look-ups are not known yet."""
    token = _coming.set(True)
    try:
        yield
    finally:
        _coming.reset(token)


def looked_up(look: Callable[[], pulumi.Output[T]]) -> pulumi.Output[T]:
    """What `look` finds; while the foundation is still to be made, an output that nobody knows yet.

    Every look-up of something that a foundation makes goes through here, those of given names do not.
    """
    import asyncio

    import pulumi

    if not _coming.get():
        return look()

    async def nothing() -> T:
        return None  # type: ignore[return-value]

    async def no() -> bool:
        return False

    return pulumi.Output(set(), asyncio.ensure_future(nothing()), asyncio.ensure_future(no()))
