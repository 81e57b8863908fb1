"""What carries the link, by the manifest: calls to control over HTTP, or objects in the deployment's bucket.

Both mean the same: events and log bytes up, each once whatever is repeated; the desired state down.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Protocol

Key = tuple[int, int, str]
"""A log: run, attempt, part."""


class Sync(Protocol):
    """The thread that keeps node and control at one level."""

    def start(self) -> None: ...

    def kick(self) -> None:
        """There is something to tell."""
        ...


class Logs(Protocol):
    """Where log bytes go; used by one thread. Everything may raise NoSuchLog, Stopped, Refused,
    OSError, HTTPException."""

    @property
    def chunk(self) -> int:
        """The most bytes for one `put`."""
        ...

    @property
    def gather_s(self) -> float:
        """Bytes are gathered this long, unless a chunk is full or nothing was sent for as long."""
        ...

    def begin(self, key: Key) -> Optional[int]:
        """The next byte that control wants; None while that is not known."""
        ...

    def put(self, key: Key, offset: int, data: bytes) -> int:
        """Hand bytes over; the next one to bring."""
        ...

    def stored(self, key: Key, sent: int) -> tuple[int, int]:
        """Bytes that control is known to have, and the next one to bring after `sent` were handed over."""
        ...

    def end(self, key: Key) -> None:
        """Control has all of it."""
        ...


class Carrier(Protocol):
    """One node's link."""

    def sync(
        self,
        compose: Callable[[], dict[str, Any]],
        deliver: Callable[[dict[str, Any]], None],
        stopped: Callable[[str], None],
    ) -> Sync:
        """`compose()` gives what is to be said; `deliver` gets every answer; `stopped` the reason of a fence."""
        ...

    def open_logs(self) -> Logs: ...

    def fetch(self, digest: str, into: Callable[[bytes], None]) -> None:
        """Pass a blob on in pieces. Raises LookupError when control has none, OSError to try again."""
        ...


def open_carrier(manifest: dict[str, Any], agent: str, boot_id: str) -> Carrier:
    """Only what the manifest names is imported: an agent stays small."""
    if manifest["link"]["carrier"] == "bucket":
        from runtime.mailbox import Mailbox

        return Mailbox(manifest, agent, boot_id)
    from runtime.link import Control

    return Control(manifest, agent, boot_id)
