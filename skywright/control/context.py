"""What every part of control is given: the store, the clocks, the bell, and the seams to engine and clouds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from skywright.control.bell import Bell
from skywright.control.blobs import Blobs
from skywright.control.clock import Clock, SystemClock
from skywright.control.holdings import Alone, Among, Holdings
from skywright.control.joblimit import Limit
from skywright.control.logbook import Logbook
from skywright.control.presence import Presence
from skywright.control.rows import Deployment, Event, Node
from skywright.control.store import Store
from skywright.control.vault import Vault
from stacks import asking, drift, standing
from stacks.cloud import Cloud
from stacks.drift import Drift
from stacks.operate import Request
from stacks.process import Identity

if TYPE_CHECKING:
    from skywright.control.clouds import Refusal

log = logging.getLogger("skywright.control")

WATCHED_S = 30.0
"""Whoever asked for a log or the timeline so recently is still reading."""

WORK = "work"
"""The bell's key that wakes the reconcilers."""


class Operations(Protocol):
    """How engine operations are run: stacks.operate keeps it."""

    def start(self, request: Request, folder: Path) -> Identity: ...
    def read(self, folder: Path, offset: int) -> tuple[list[dict[str, Any]], int]: ...
    def result(self, folder: Path) -> dict[str, Any] | None: ...
    def running(self, folder: Path) -> bool: ...
    def owner(self, folder: Path) -> Identity | None: ...
    def stop(self, folder: Path) -> None: ...


class Control:
    """One control. `folder` is `<home>/control`; `cloud` gives a cloud by name, `ask` puts a question to one that is
    not on this machine (stacks.asking.ask), `look` compares a stack with its cloud (stacks.drift.ask), `stacks` are
    the names of all that a state backend has of a project (stacks.standing.stacks)."""

    def __init__(
        self,
        home: Path,
        operations: Operations,
        cloud: Callable[[str], Cloud],
        clock: Clock | None = None,
        ask: Callable[..., Awaitable[Any]] = asking.ask,
        look: Callable[..., Awaitable[Drift]] = drift.ask,
        stacks: Callable[[Mapping[str, str], str], tuple[str, ...]] = standing.stacks,
        where: str | None = None,
        url: str = "",
    ) -> None:
        """Opens the store, in `folder` or `where` a URL says; then this is one of several replicas, reached at `url`.

        Raises Problems when it cannot be used.
        """
        self.home = home
        self.folder = home / "control"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.operations = operations
        self.cloud = cloud
        self.ask = ask
        self.look = look
        self.stacks = stacks
        self.clock: Clock = clock or SystemClock()
        self.store = Store(where or self.folder / "control.db")
        self.bell = Bell()
        self.presence = Presence()
        self.vault = Vault(self.store, self.folder / "secrets.key")
        self.logbook = Logbook(self.folder / "logs")
        self.blobs = Blobs(self.folder / "blobs")
        self.told_to_stop: set[str] = set()
        self.troubled: set[str] = set()
        self.refusals: dict[str, Refusal] = {}
        self.steps: dict[str, asyncio.Task[None]] = {}
        self.carried: dict[str, asyncio.Task[Any]] = {}
        """Checkpoints on their way, by deployment."""
        self.full: str | None = None
        self.used = self.clock.steady()
        self.jobs_limit = Limit(home)
        self._read: dict[str, float] = {}
        self.holdings: Holdings = (
            Among(self.store, home, url, self._taken) if self.store.is_shared else Alone()
        )

    def _taken(self, uid: str) -> None:
        """It was another's until now: what is only remembered here says nothing."""
        nodes = [node.node for node in self.store.find(Node, uid=uid)]
        for node in nodes:
            self.presence.forget(node)
        self.troubled.discard(uid)
        log.info("%s is looked after here from now on", uid)
        self.bell.ring(WORK, uid, *nodes)

    def reading(self, uid: str) -> None:
        """Somebody reads what the deployment's nodes say: they are to say it sooner from now on."""
        before, self._read[uid] = self.watched(uid), self.clock.steady()
        if not before:
            self.bell.ring(*(node.node for node in self.store.find(Node, uid=uid, revoked=None)))

    def watched(self, uid: str) -> bool:
        """Does somebody read it now?"""
        return self.clock.steady() - self._read.get(uid, float("-inf")) < WATCHED_S

    def tell(self, deployment: Deployment, kind: str, text: str, /, **data: Any) -> None:
        """Add a sentence to the deployment's timeline and wake whoever follows it."""
        with self.store.together():
            seq = self.store.highest(Event, "seq", uid=deployment.uid) + 1
            self.store.add(Event(deployment.uid, seq, self.clock.now(), kind, text, data))
        log.info("%s: %s", deployment.name, text)
        self.bell.ring(deployment.uid)
