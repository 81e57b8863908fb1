"""Looks after the mailboxes of all nodes whose deployment has a store: one task for each node that has not been told
to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from skywright.control import clouds, desired, hearing, nodes, operations
from skywright.control.context import WORK, Control, log
from skywright.control.hearing import Nonsense
from skywright.control.mailbox import Log, Mailbox
from skywright.control.pace import IDLE, RUNNING, WATCHED, Pace
from skywright.control.rows import Deployment, Node, Operation, RunRank
from skywright.control.store import Broken, Lost
from stacks.boot import AGENTS, Store
from stacks.objects import Objects, Unavailable, open_objects
from stacks.operate import Kind

EVERY_S = 0.5
"""How often new nodes are looked for."""
THREADS = 16
PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Between tries while a store does not answer; the last one repeats."""


def store_of(control: Control, deployment: Deployment) -> Store | None:
    """Where nodes and control meet: what the newest `up` of the deployment's stack that ended well says; None for
    nodes that dial control."""
    for row in control.store.find(Operation, order="-started", uid=deployment.uid, state="done"):
        if row.spec["stack"] != deployment.spec["stack"]:
            continue
        if row.kind == Kind.UP.value and row.result and row.result.get("store"):
            return Store.from_data(row.result["store"])
    return None


class Counter:
    """The desk of one node, in control; `among` gives the number of all nodes that are looked after."""

    def __init__(self, control: Control, node: str, among: Callable[[], int]) -> None:
        self.control, self.name, self.among = control, node, among

    def stopped(self) -> str | None:
        node = self.control.store.first(Node, node=self.name)
        if node is None:
            return "there is no such node"
        return node.revoked

    def join(self, who: Mapping[str, Any]) -> None:
        node = self._node()
        deployment = self._deployment(node)
        nodes.admit(self.control, deployment, node.node, node.rank, node.address, dict(who))

    def acked(self) -> int:
        return self._node().acked

    def hear(self, events: list[dict[str, Any]], observed: Any, age_s: float) -> None:
        node = self._node()
        hearing.hear(self.control, node, observed, age_s)
        try:
            nodes.take_events(self.control, node, hearing.events_of({"events": events}))
        except Nonsense as error:
            log.warning("%s: %s", self.name, error)

    def log_size(self, log: Log) -> int:
        return hearing.log_size(self.control, self._node(), *log)

    def log(self, log: Log, offset: int, content: bytes) -> int:
        return hearing.append_log(self.control, self._node(), *log, offset, content)[1]

    def ended(self, log: Log) -> bool:
        run, attempt, _ = log
        node = self._node()
        seat = self.control.store.first(RunRank, uid=node.uid, run=run, attempt=attempt, node=node.node)
        return seat is None or seat.phase in nodes.OVER

    def wish(self, has: int) -> tuple[int, dict[str, Any] | None]:
        node = self._node()
        return desired.newest(self.control, self._deployment(node), node, has)

    def archive(self, digest: str) -> Path | None:
        return hearing.archive(self.control, self._node(), digest)

    def pace(self) -> Pace:
        node = self._node()
        pace = RUNNING if desired.current_run(self.control, node.uid) else IDLE
        if self.control.watched(node.uid):
            pace = WATCHED
        return pace.among(self.among())

    def _node(self) -> Node:
        node = self.control.store.first(Node, node=self.name)
        if node is None:
            raise LookupError(self.name)
        return node

    def _deployment(self, node: Node) -> Deployment:
        deployment = self.control.store.first(Deployment, uid=node.uid)
        if deployment is None:
            raise LookupError(node.uid)
        return deployment


class Mailroom:
    """All mailboxes of one control."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._opened: dict[str, tuple[Store, Objects]] = {}
        self._troubled: set[str] = set()
        # Of our own: a store that hangs keeps nobody else of control waiting.
        self._threads = ThreadPoolExecutor(THREADS, "mailroom")

    def _aside(self, call: Callable[..., Any], *given: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *given)

    async def run(self) -> None:
        """Until the bell is closed. What fails is tried again."""
        bell = self.control.bell
        while not bell.closed:
            count = bell.count(WORK)
            try:
                living = self._living()
            except Broken:
                log.exception("the store cannot be used; trying again")
                await bell.wait(WORK, count, PAUSES_S[0])
                continue
            for uid in set(self._opened) - set(living):
                del self._opened[uid]
            for row in living.values():
                if (store := store_of(self.control, row)) is not None:
                    self._tend(row, store)
            self._tasks = {
                name: task
                for name, task in self._tasks.items()
                if not task.done() or self._uid(name) in living
            }
            await bell.wait(WORK, count, EVERY_S)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _living(self) -> dict[str, Deployment]:
        rows = self.control.store.find(Deployment, ended=None)
        return {row.uid: row for row in rows if self.control.holdings.holds(row.uid)}

    def _uid(self, name: str) -> str | None:
        node = self.control.store.first(Node, node=name)
        return node.uid if node else None

    def _tend(self, row: Deployment, store: Store) -> None:
        for node in self.control.store.find(Node, uid=row.uid):
            if node.node not in self._tasks:
                work = self._look_after(row, node.node, store)
                self._tasks[node.node] = asyncio.create_task(work, name=f"mailbox of {node.node}")

    async def _look_after(self, row: Deployment, name: str, store: Store) -> None:
        """Everything about one node, until it has been told to stop."""
        control, tries, desk = self.control, 0, Counter(self.control, name, lambda: len(self._tasks))
        box: Mailbox | None = None
        while not control.bell.closed and control.holdings.holds(row.uid):
            count = control.bell.count(name)
            try:
                if box is None:
                    objects = await self._objects(row, store)
                    box = Mailbox(name, objects, desk, control.clock.steady, self._aside)
                with control.holdings.guard(row.uid):
                    if not await box.step():
                        return
                    tries = 0
                    self._recovered(row)
                pause = desk.pace().look_s
            except (Unavailable, ImportError) as error:
                with control.holdings.guard(row.uid):
                    self._tell(row, error)
                pause, box = PAUSES_S[min(tries, len(PAUSES_S) - 1)], None
                self._opened.pop(row.uid, None)
                tries += 1
            except LookupError:
                return
            except Lost:
                control.holdings.lost(row.uid)
                return
            except Exception:
                log.exception("%s: this look at the mailbox failed, the next one tries again", name)
                pause = PAUSES_S[1]
            await control.bell.wait(name, count, pause)

    async def _objects(self, row: Deployment, store: Store) -> Objects:
        """The deployment's store, opened once, with the agent in it."""
        if (known := self._opened.get(row.uid)) and known[0] == store:
            return known[1]
        env = self.control.vault.get(operations.env_scope(row.uid))

        def opened() -> Objects:
            from stacks.provider import agents

            objects = open_objects(store, env)
            agent = str(row.spec["agent"])
            # One that another version brought is there already, or its stack puts it there.
            with contextlib.suppress(Problems), open(agents.archive(agent), "rb") as file:
                objects.new(f"{AGENTS}/{agent}", file)
            return objects

        objects: Objects = await self._aside(opened)
        self._opened[row.uid] = (store, objects)
        return objects

    def _tell(self, row: Deployment, error: Exception) -> None:
        """Credentials that have ended block the deployment, which goes on after `login`; all else passes by itself."""
        if isinstance(error, Unavailable) and error.credentials:
            clouds.lock(self.control, row, Problem("cloud/credentials", str(error)))
        if row.uid not in self._troubled:
            self._troubled.add(row.uid)
            self.control.tell(
                row, "problem", f"the bucket of {row.name} cannot be used: {error}; trying again"
            )

    def _recovered(self, row: Deployment) -> None:
        if row.uid in self._troubled:
            self._troubled.discard(row.uid)
            clouds.unlock(self.control, row)
            self.control.tell(row, "step", f"the bucket of {row.name} can be used again")
