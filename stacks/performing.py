"""Carries out one request on its stack: lease, clean-up after a kill, foundation, engine, result."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks import (
    backend,
    carriers,
    cloud,
    engine,
    founding,
    home,
    install,
    judged,
    lease,
    operate,
    plugins,
    process,
    purging,
    refusal,
)
from stacks.cloud import Failure
from stacks.eject.recording import Recording
from stacks.engine import Session
from stacks.events import Listener, Log, Tell
from stacks.guard import Guard
from stacks.operate import Kind, Request
from stacks.refusal import Died, Refused
from stacks.resume import resume
from stacks.state import State, rank


class Operation:
    """Carries out one request. A kill may cut off every step: the same request again ends in its wish."""

    def __init__(self, folder: Path, request: Request, told: Tell | None = None) -> None:
        self.folder, self.request, self.spec = folder, request, request.spec
        self._log = Log(folder / operate.EVENTS, told)
        self.tell = self._log.tell
        self.cloud = cloud(self.spec.cloud)
        self._started = time.monotonic()
        self._engine_s = 0.0
        self._listener = Listener(self.tell)
        self._session: Session | None = None
        self._lease: lease.Lease | None = None
        self._guard: Guard | None = None
        self._left: dict[str, Any] | None = None
        self._unclean = False
        self._stopping = threading.Event()
        self._losing = threading.Event()
        self._resources = 0
        self._nodes: list[dict[str, Any]] = []
        self._inner: Operation | None = None
        self._foundation: dict[str, Any] | None = None
        self._planned: dict[str, Any] = {}

    # Being stopped.

    def stop(self) -> None:
        """SIGTERM: let the engine finish what it is at, then end."""
        self._stopping.set()
        if self._inner:
            self._inner.stop()
        if self._session:
            self._session.interrupt()

    def _lost(self, why: str) -> None:
        """The lease is gone: whoever has it may write already, so nothing here may go on."""
        self._losing.set()
        if self._session:
            self._session.kill()
        problem = Problem("lock/lost", f"stopped before the work was done: {why}", hint="repeat the command")
        try:
            self._finish(problem, None)
        finally:
            os._exit(problem.exit)

    # Working.

    def run(self) -> int:
        """Do what was asked, write the result, return the exit code."""
        problem: Problem | None = None
        failure: Failure | None = None
        try:
            if self.request.kind is not Kind.DESTROY:  # which has to do with what space there is
                operate.settle_in(self.folder)
            self._prepare_and_work()
        except Problems as problems:
            problem = problems.problems[0]
            failure = next((one for one in Failure if problem.code == f"cloud/{one.value}"), None)
        except Refused as refused:
            self._unclean = self._unclean or isinstance(refused, Died)
            problem, failure = self._judge(refused)
        except OSError as error:
            problem = backend.refused(error)
        except Exception as error:
            traceback.print_exc()
            self._unclean = True
            text = f"an operation of skywright broke: {type(error).__name__}: {error}"
            problem = Problem("engine/failed", text, hint=f"more in {self.folder / 'output.txt'}")
        while self._losing.is_set():
            signal.pause()  # the thread that noticed it ends this process
        problem = problem and self._with_left_behind(problem)
        if self._lease:  # what a dead engine left is for the next holder, as after a kill of this process
            self._lease.release(dirty=self._unclean)
        if self._guard:
            self._guard.done()
        self._finish(problem, failure)
        return problem.exit if problem else 0

    def _prepare_and_work(self) -> None:
        settled = backend.settle(self.request.env)
        tight = self._is_here and settled.embedded and backend.cramped(settled)
        if tight and self.request.kind is Kind.DESTROY:
            self._destroy_without_engine(settled)
            return
        with self._log.step("engine"):
            cli = install.ensure(self._getting)
            if self._is_here:
                plugins.keep(settled.pulumi_home)
        place = self.folder / "work"
        session = self._session = Session(cli.path, self.spec, settled, place, self._note_engine)
        if self._stopping.is_set():
            session.interrupt()
        if judged.due(self.request):
            self._judge_first(session)
        if self.request.kind in (Kind.UP, Kind.PREVIEW):
            if isinstance(self.spec, StackSpec):
                self._found(session)
            elif self._stands(session):
                return
        if self.request.kind is Kind.PREVIEW:
            self._preview(cli.path, settled, session)
            return
        killed = self._take_lease(settled)
        if backend.cramped(settled):
            full = home.home() if settled.embedded else settled.folder
            raise Problems(home.disk_full(full or settled.pulumi_home))
        if settled.folder:
            backend.keep(settled.folder, self.spec.project, self.spec.stack)
        try:
            self._work(session, killed)
        finally:
            if settled.folder and not self._losing.is_set():
                mended = backend.mend(settled.folder, self.spec.project, self.spec.stack)
                self._unclean = self._unclean or mended

    def _take_lease(self, settled: backend.Backend) -> bool:
        """Become the only writer. True when the last one was killed, or its last state was not all written."""
        with self._log.step("lease"):
            carrier = carriers.carrier(settled.folder, settled.url)
            self._lease = self._acquire(carrier, f"{self.request.kind.value} of {self._name}")
            self._guard = Guard(lease.GIVE_UP_S)
            self._lease.keep(self._lost, self._guard.beat)
            self._unclean = self._lease.previous is not None
            if self._lease.previous:
                engine.end_leftovers(engine.mark(settled, self.spec), self._lease.previous.engine)
                if settled.folder:
                    backend.repair(settled.folder, self.spec.project, self.spec.stack)
            if settled.folder and backend.mend(settled.folder, self.spec.project, self.spec.stack):
                self._unclean = True
        return self._unclean

    def _work(self, session: Session, killed: bool) -> None:
        state = session.state()
        if killed or (state and state.pending):
            with self._log.step("resume"):
                how = (killed, self.request.kind is Kind.DESTROY, self.tell, self.request.purge)
                state = resume(session, self.spec, self.cloud, state, *how)
                self._unclean = killed and state is None
        if self.request.kind is Kind.DESTROY:
            self._destroy(session, state)
        else:
            self._change(session, state)

    @property
    def _name(self) -> str:
        return self.spec.deployment if isinstance(self.spec, StackSpec) else self.spec.stack

    def _stands(self, session: Session) -> bool:
        """Is the foundation there as it should be? Most times it is, and nobody has to wait for its lease."""
        state = session.state()
        return state is not None and not state.pending and state.outputs.get("foundation") == self.spec.digest

    def _found(self, session: Session) -> None:
        """See to the network that this stack looks up: an operation of its own, within this one."""
        wanted = self.spec.foundation if isinstance(self.spec, StackSpec) else None
        if wanted is None:
            return
        folder = self.folder / "foundation"
        folder.mkdir(mode=0o700, exist_ok=True)
        request = replace(self.request, spec=wanted, lost=(), secrets={})
        with self._log.step("foundation"):
            self._foundation = founding.carry_out(self._begin, request, folder, self._stopping)
        self._inner = None
        creates = bool(self._foundation["changes"].get("create"))
        session.network_coming = creates and self.request.kind is Kind.PREVIEW

    def _begin(self, request: Request, folder: Path, told: Tell | None = None) -> int:
        self._inner = Operation(folder, request, told or self.tell)
        return self._inner.run()

    def _judge_first(self, session: Session) -> None:
        """By the policy of the order, before anything is made; of the preview that may take nobody else is told."""
        quiet = functools.partial(self._begin, told=lambda row: None)
        with self._log.step("policy"):
            judged.before_up(quiet, self.request, self.folder / judged.FOLDER, session.state)
        self._inner = None

    @property
    def _is_here(self) -> bool:
        """Are the nodes on this machine, and so on the disk that may be full?"""
        return self.spec.cloud in engine.OWN_PROVIDER

    def _acquire(self, carrier: carriers.Carrier, what: str) -> lease.Lease:
        try:
            return lease.acquire(carrier, self.spec.project, self.spec.stack, what)
        except OSError as error:
            if error.errno not in home.FULL or self.request.kind is not Kind.DESTROY or not self._is_here:
                raise
        # Nobody holds it, there just is no room for it: what is to go makes some.
        purging.purge(self.cloud, self.spec, self._listener.changes)
        return lease.acquire(carrier, self.spec.project, self.spec.stack, what)

    def _destroy_without_engine(self, settled: backend.Backend) -> None:
        """Nodes on a full disk: delete them, then the state's files, none of which takes any space."""
        self._take_lease(settled)
        with self._log.step("destroy"):
            purging.purge(self.cloud, self.spec, self._listener.changes)
        with self._log.step("remove"):
            assert settled.folder is not None
            state = settled.folder / ".pulumi" / "stacks" / self.spec.project / f"{self.spec.stack}.json"
            state.unlink(missing_ok=True)
            self._forget(settled)

    def _getting(self, text: str) -> None:
        self.tell({"type": "diagnostic", "severity": "info", "text": text})
        if self._stopping.is_set():
            raise Refused("install", "interrupted")

    def _note_engine(self, who: process.Identity | None) -> None:
        if self._lease and self._guard:
            self._guard.engine(who)
            self._lease.note_engine(who)

    def _change(self, session: Session, state: State | None) -> None:
        if state is None:
            if self.request.kind is Kind.REFRESH:
                return
            with self._log.step("init"):
                session.init()
                if self._lease and self._lease.previous:
                    session.unlock()  # a lock may have outlived its stack
                self._unclean = False
        with self._log.step(self.request.kind.value), self._engine_time():
            if self.request.kind is Kind.REFRESH:
                session.refresh(self._listener.hear)
            else:
                lost = state.urns(self.request.lost) if state else []
                session.up(self._listener.hear, lost)
        if self.request.secrets and isinstance(self.spec, StackSpec):
            with self._log.step("secrets"):
                self.cloud.write_secrets(self.spec, self.request.secrets)
        exported = (self._listener.outputs or {}).get("nodes")
        if self.request.kind is Kind.UP and isinstance(exported, list):
            self._nodes = [{key: row.get(key) for key in ("rank", "id", "address")} for row in exported]
            self._resources = self._after(state)
            if (present := getattr(self.cloud, "present", None)) and isinstance(self.spec, StackSpec):
                with self._log.step("nodes"):  # controllers of the cloud's own make them
                    self._nodes = present(self.spec, self.request.lost, self._stopping, self.tell)
        else:
            self._look(session)

    def _after(self, state: State | None) -> int:
        changes = self._listener.changes
        before = len(state.counted) if state else 0
        return before + changes["create"] - changes["delete"]

    def _preview(self, cli: Path, settled: backend.Backend, session: Session) -> None:
        """A stack that does not exist is previewed on an empty state of its own: nothing is left behind."""
        state = session.state()
        replace = state.urns(self.request.lost) if state else []
        folder = self.folder / "scratch"
        try:
            if state is None:
                empty = backend.scratch(settled, folder, self.spec.project, self.spec.stack)
                coming = session.network_coming
                session = self._session = Session(cli, self.spec, empty, folder / "work")
                session.network_coming = coming
                if self._stopping.is_set():
                    session.interrupt()
            elif self.request.record:
                session.recording = Recording(state)
            with self._log.step("preview"), self._engine_time():
                session.preview(self._listener.hear, replace)
            self._planned = judged.told(self.request, self._listener.planned, state)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._nodes = state.nodes() if state else []
        self._resources = len(state.counted) if state else 0

    def _destroy(self, session: Session, state: State | None) -> None:
        held: State | None = None
        if state is not None:
            with self._log.step("destroy"), self._engine_time():
                try:
                    session.destroy(self._listener.hear)
                except Refused:
                    if not self.request.purge or session.interrupted:
                        raise
                    held = session.state()
        if self.request.purge:
            self._left = purging.purge(self.cloud, self.spec, self._listener.changes, held)
        if state is not None:
            with self._log.step("remove"):
                session.remove(force=self.request.purge)
        self._forget(session.backend)

    def _forget(self, settled: backend.Backend) -> None:
        """Leave nothing of a stack that is gone."""
        if settled.folder:
            backend.mend(settled.folder, self.spec.project, self.spec.stack)
        if settled.embedded and settled.folder:
            backend.forget(settled.folder, self.spec.project, self.spec.stack)
        assert self._lease is not None
        self._lease.forget()
        self._lease = None

    @contextlib.contextmanager
    def _engine_time(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._engine_s += time.monotonic() - started

    # Results.

    def _judge(self, refused: Refused) -> tuple[Problem, Failure | None]:
        if self._stopping.is_set():
            says, hint = "stopped before the work was done", "repeat the command to go on"
            return Problem("engine/stopped", says, hint=hint), None
        return refusal.problem(refused, self._listener.errors, self.cloud)

    def _look(self, session: Session) -> None:
        state = session.state()
        self._nodes = state.nodes() if state else []
        self._resources = len(state.counted) if state else 0

    def _with_left_behind(self, problem: Problem) -> Problem:
        if self.request.kind is Kind.PREVIEW or self._lease is None or self._session is None:
            return problem
        try:
            settled = self._session.backend
            cli = install.find()
            assert cli is not None
            self._look(Session(cli.path, self.spec, settled, self.folder / "work"))
        except (Refused, Problems, OSError):
            return problem
        if not self._resources:
            return problem
        names = ", ".join(f"node {row['rank']} ({row['id']})" for row in self._nodes) or "resources"
        command = "down" if isinstance(self.spec, StackSpec) else "foundation down"
        return problem.with_left_behind(f"{names}; remove: invoke {command} {self._name}")

    def _finish(self, problem: Problem | None, failure: Failure | None) -> None:
        listener = self._listener
        result = {
            "ok": problem is None,
            "problem": problem.to_data() if problem else None,
            "failure": failure.value if failure else None,
            "nodes": self._nodes,
            **{name: (listener.outputs or {}).get(name) for name in ("store", "image")},
            "changes": dict(listener.changes),
            "steps": sorted(listener.steps, key=lambda row: (rank(row["urn"]) or 0, row["urn"])),
            "resources": self._resources,
            "left": self._left,
            **self._planned,
            **({"foundation": self._foundation} if self._foundation else {}),
            **({"recording": seen.recording.to_data()} if (seen := self._session) and seen.recording else {}),
            "seconds": {
                "total": round(time.monotonic() - self._started, 3),
                "engine": round(self._engine_s, 3),
            },
        }
        operate.finish(self.folder, self.request, result)
