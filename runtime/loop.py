"""The agent: one loop that feeds the machine with what threads and processes report, and does what it answers.

Order is everything: the new state and its events are on disk before anything is done about them, so that an agent
killed at any moment finds out from the journal and from the shims' own records what was begun.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import sys
import threading
from typing import Any, Callable, Optional

from runtime import cgroup, contents, machine, mounts, phases
from runtime.attempts import Attempts, Place
from runtime.carrier import open_carrier
from runtime.deadman import Deadman, boot_id, now
from runtime.journal import Journal
from runtime.machine import Do, Ended, Fetched, Flushed, Leave, Lost, Notice, Say, State, wanted
from runtime.probe import Probe
from runtime.progress import last_progress
from runtime.ship import Shipper
from runtime.supplies import Supplies

MARGIN_S = 2.0
"""Time kept back before the node goes, for the last bytes and words."""
KILLED_S = 5.0
"""After this long a shim that was told to kill its job is killed itself."""
LOST_SHIM = "lost its shim: the process that ran the task was killed from outside, %s"


class Agent:
    """One node. Threads only ever put messages into `inbox`; everything else happens in `serve`."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        self.folder = manifest["state"]
        self.attempts = Attempts(self.folder, manifest["node"])
        self.boot_id = boot_id()
        self.supplies = Supplies(manifest, self.boot_id, self.post, self._living)
        self.journal = Journal(os.path.join(self.folder, "journal"))
        self.deadman = Deadman(os.path.join(self.folder, "heard"), manifest["deadman_s"])
        self.state = State.from_data(self.journal.state) if self.journal.state else State()
        self.run: Optional[dict[str, Any]] = None
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.shim: Optional[phases.Shim] = None
        self.awaited: Optional[Do] = None  # to be done as soon as control has said again what the run is
        self.kill_at: Optional[float] = None
        self.flush_by: Optional[float] = None
        self.progress: Optional[dict[str, Any]] = None
        self.exit: Optional[int] = None
        self._waker, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        agent = os.path.basename(os.path.dirname(os.path.abspath(__file__)))
        self.carrier = open_carrier(manifest, agent, self.boot_id)
        self.sync = self.carrier.sync(
            self.compose,
            self.deliver,
            lambda reason: self.post(lambda: self.step(Leave("fenced"))),
        )
        self.shipper = Shipper(self.carrier.open_logs(), lambda: self.post(self.on_shipped))
        probes = [manifest["probe"]] if "probe" in manifest else []
        self.probes = [Probe(data, self.on_notice) for data in probes + manifest.get("probes", [])]

    # --- the loop

    def serve(self) -> int:
        """Run until told to stop for ever (0) or until asked to end while the job goes on (SIGTERM, 143)."""
        signal.signal(signal.SIGTERM, lambda *_: self.post(lambda: setattr(self, "exit", 143)))
        self._resume()
        self.sync.start()
        for thread in (self.shipper, *self.probes):
            thread.start()
        while self.exit is None:
            self._wait()
            while self.exit is None and not self.inbox.empty():
                self.inbox.get()()
            if self.exit is None:
                self._tick()
        return self.exit

    def post(self, message: Callable[[], None]) -> None:
        """From any thread or signal handler: have the loop call `message`."""
        self.inbox.put(message)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"w")

    def step(self, event: machine.Event) -> None:
        """Take in one event: write, tell, act."""
        self._apply(*machine.step(self.state, event))

    def _apply(
        self, state: State, effects: list[machine.Effect], first: Optional[dict[str, Any]] = None
    ) -> None:
        at = round(now(), 3)
        said = [{"at": at, "kind": e.kind, **self._filled(e)} for e in effects if isinstance(e, Say)]
        if first is not None:
            said.insert(0, {"at": at, **first})
        if said or state != self.state:
            self.journal.append(state.to_data(), said, self.boot_id if first else None)
        if state.key != self.state.key:
            self.progress = None
        if (state.key, state.phase) != (self.state.key, self.state.phase):
            self.awaited = None
        over = self.state.live and not state.live
        self.state = state
        if said:
            self.sync.kick()
        for effect in effects:
            if isinstance(effect, Do):
                getattr(self, f"_do_{effect.what}")(effect)
        if over and not self.state.live:
            self.supplies.release()

    def _filled(self, said: Say) -> dict[str, Any]:
        """A phase event with the sizes of the logs of the parts that ended."""
        if said.kind != "phase":
            return said.fields
        key, over = (said.fields["run"], said.fields["attempt"]), said.fields["phase"] in machine.TERMINAL
        sizes = self.attempts.log_sizes(key, over)
        return {**said.fields, "log_bytes": sizes} if sizes else said.fields

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        wait_s = 1.0
        if self.shim is not None:
            if self.shim.pidfd >= 0:
                poll.register(self.shim.pidfd, select.POLLIN)
            else:
                wait_s = 0.05
        for moment in (self.kill_at, self.flush_by):
            if moment is not None:
                wait_s = min(wait_s, max(0.0, moment - now()))
        if any(fd == self._waker for fd, _ in poll.poll(int(wait_s * 1000) + 1)):
            os.read(self._waker, 65536)

    def _tick(self) -> None:
        """What time alone brings about."""
        if self.shim is not None and self.shim.ended():
            self._on_shim_ended()
        if self.kill_at is not None and now() >= self.kill_at:
            self._kill()
        if self.state.leaving is None:
            if self.deadman.left_s < 0:
                self.step(Leave("silent"))
            elif now() > self.manifest.get("most_s", float("inf")):
                self.step(Leave("expired"))
        if self.shim is not None and self.state.phase == "running":
            self._look_at_progress()
        self._flush()

    # --- after a start

    def _resume(self) -> None:
        rebooted = self.journal.boot_id not in (None, self.boot_id)
        for run, attempt, part in self.attempts.parts():
            place, current = self.attempts.place((run, attempt), part), (run, attempt) == self.state.key
            self.shipper.watch((run, attempt, part), place.log)
            record = place.record
            if record is not None or rebooted or not (current and self.state.live):
                size = record["log_bytes"] if record else place.log_size
                self.shipper.finish((run, attempt, part), size)
        boot = {"kind": "boot", "boot_id": self.boot_id, "reboot": rebooted}
        contents.tell(self.manifest)
        self.supplies.keep()
        self.supplies.release(self.state.key if self.state.live and not rebooted else None)
        self._apply(*machine.resume(self.state, rebooted), first=boot)

    # --- what others report

    def deliver(self, answer: dict[str, Any]) -> None:
        """Take in control's answer to a sync (called by its thread). Raises KeyError, TypeError for nonsense."""
        acked, desired = int(answer["acked"]), answer["desired"]
        run = desired["run"] if desired else None
        event = desired and machine.Desired(desired["version"], run and wanted(run), desired["drain"])
        age_s = float(answer.get("age_s", 0.0))
        self.post(lambda: self.on_answer(acked, event, run, age_s))

    def on_answer(
        self, acked: int, event: Optional[machine.Desired], run: Optional[dict[str, Any]], age_s: float
    ) -> None:
        """Control said this `age_s` seconds ago; `run` is what `event` speaks of."""
        self.deadman.heard(age_s)
        self.journal.acknowledge(acked)
        if event is None:
            return
        if run is not None and (self.run is None or _key(run) >= _key(self.run)):
            self.run = run
        self.step(event)
        if not self.state.live:
            self.supplies.discard(run["id"] if run else 0)
        if self.awaited and self._knows():
            effect, self.awaited = self.awaited, None
            self._apply(self.state, [effect])

    def on_notice(self, left_s: float, source: str) -> None:
        """The probe saw the end coming."""
        by = now() + left_s
        self.post(lambda: self.step(Notice(round(left_s, 3), by, source)))

    def on_shipped(self) -> None:
        """Control has all of a log: what older attempts left on disk goes once nothing of it is left to send."""
        self.attempts.clean({stream[:2] for stream in self.shipper.streams()} | {self.state.key})

    def compose(self) -> dict[str, Any]:
        """The body of a sync (called by its thread)."""
        state = self.state
        part = machine.PART.get(state.phase)
        memory = cgroup.memory_bytes(cgroup.find(self.attempts.place(state.key, part).group)) if part else 0
        observed = {
            "run": state.run or None,
            "attempt": state.attempt or None,
            "phase": state.phase or None,
            "progress": self.progress,
            "memory_bytes": memory,
            "agent_memory_bytes": cgroup.resident(),
        }
        hold_s = 1.0 if self.progress and state.phase == "running" else 10.0
        return {"events": list(self.journal.events), "observed": observed, "hold_s": hold_s}

    # --- what the machine asks for

    def _do_fetch(self, effect: Do) -> None:
        run, key = self.run, self.state.key
        if run is None or _key(run) != key:
            self.awaited = effect
            return

        self.supplies.bring(
            run,
            self.carrier.fetch,
            lambda: self.state.key != key or not self.state.live,
            lambda error: self.step(Fetched(*key, error)),
        )

    def _do_start(self, effect: Do) -> None:
        place = self._place(effect.part)
        record = place.record
        try:
            self.shim = None if record else phases.claimed(place, self.boot_id)
            if record is None and self.shim is None:
                if not self._knows():
                    self.awaited = effect
                    return
                self.shim = self._start(place, effect.part)
        except (phases.Unfit, mounts.Misfit, OSError) as problem:
            self.step(Ended(*self.state.key, effect.part, {}, str(problem)))
            return
        self.shipper.watch((*self.state.key, effect.part), place.log)
        if record is not None:
            self._ended(effect.part, record)
        elif self.shim is not None and self.shim.ended():
            self.shim.close()
            self.shim = None
            phases.sweep(place)
            self._finish_log(effect.part)
            self.step(Lost("the record of how it ended is lost"))

    def _start(self, place: Place, part: str) -> phases.Shim:
        run = self.run
        assert run is not None
        exports, is_own = self.attempts.exports(self.state.key)
        found = phases.read_exports(exports, run["secrets"]) if part == "run" else {}
        attempt = self.attempts.path(self.state.key)
        is_own = is_own or self.state.set_up == self.state.run
        inside = mounts.inside(run, self.manifest)
        image = inside.environment if inside else None
        values = phases.environment(run, part, self.manifest, attempt, found, is_own, image)
        limit = self.manifest.get("limits", {}).get("memory_bytes", 0)
        cwd = os.path.join(self.manifest["home"], "sky_workdir")
        text = run["setup"] if part == "setup" else run["script"]
        return phases.start(place, text, values, run["secrets"], limit, cwd, part == "setup", inside)

    def _do_stop(self, effect: Do) -> None:
        if self.shim is None:
            self.awaited = None
            if not self.supplies.hurry(effect.now, self.state.by):
                self.step(Ended(*self.state.key, effect.part, {}))
            return
        left = self.state.by - now() if self.state.by is not None else None
        grace = self.state.wanted.grace_s if self.state.wanted else 10.0
        if self.state.stopping == "preempted":
            grace = max(0.0, left - MARGIN_S) if left is not None else grace
            grace = grace / 2 if self.supplies.cached(self.state.key) else grace  # the rest is for uploads
            self.attempts.notify(self.state.key, grace)
        moment = now() + (0.0 if effect.now else grace)
        self.kill_at = moment if self.kill_at is None else min(moment, self.kill_at)
        if effect.now:
            self._kill()
        else:
            phases.stop(self.shim)

    def _do_exit(self, _: Do) -> None:
        self.supplies.leave()
        self.exit = 0

    # --- the process of a part

    def _kill(self) -> None:
        self.kill_at = None
        if self.shim is None:
            return
        phases.kill(self.shim)
        shim = self.shim

        def harder() -> None:
            if self.shim is shim:
                shim.signal(signal.SIGKILL)

        timer = threading.Timer(KILLED_S, lambda: self.post(harder))
        timer.daemon = True
        timer.start()

    def _on_shim_ended(self) -> None:
        part = machine.PART[self.state.phase]
        place = self._place(part)
        shim = self.shim
        assert shim is not None
        shim.close()
        self.shim = self.kill_at = None
        record = place.record
        if record is not None:
            self._ended(part, record)
            return
        other = phases.claimed(place, self.boot_id)
        if other is not None and not other.ended():
            self.shim = other
            return
        phases.sweep(place)
        self._finish_log(part)
        why = LOST_SHIM % (shim.killed_by or "signal unknown")
        self._upload(Ended(*self.state.key, part, {}, why))

    def _ended(self, part: str, record: dict[str, Any]) -> None:
        self._look_at_progress()
        self.shipper.finish((*self.state.key, part), record["log_bytes"])
        if part == "setup" and record["exit_code"] == 0:
            self.attempts.keep_exports(self.state.key)
        names = ("exit_code", "signal", "oom", "peak_memory_bytes", "dropped_bytes")
        facts = {name: record[name] for name in names if name != "dropped_bytes" or record[name]}
        self._upload(Ended(*self.state.key, part, facts, record["error"] or None))

    def _upload(self, ended: Ended) -> None:
        self.supplies.upload(ended, self.step, self.state.leaving == "fenced", self.state.by)

    def _finish_log(self, part: str) -> None:
        self.shipper.finish((*self.state.key, part), self._place(part).log_size)

    def _look_at_progress(self) -> None:
        found = last_progress(self.attempts.path(self.state.key, "progress"))
        if found is not None and found != self.progress:
            first = self.progress is None
            self.progress = found
            if first:
                self.sync.kick()

    def _flush(self) -> None:
        """Say that the node is drained, or end, once the logs are with control or there is no more time."""
        state = self.state
        if state.live or not (state.leaving or ((state.drain or state.noticed) and not state.drained)):
            self.flush_by = None
            return
        if self.flush_by is None:
            patience = 0.0 if state.leaving == "fenced" else 5.0
            self.flush_by = now() + patience if state.by is None else max(now(), state.by - 0.5)
        if self.shipper.idle or now() >= self.flush_by:
            self.step(Flushed())

    # --- small things

    def _knows(self) -> bool:
        return self.run is not None and _key(self.run) == self.state.key

    def _living(self) -> Optional[dict[str, Any]]:
        return self.run if self.state.live and self._knows() else None

    def _place(self, part: str) -> Place:
        return self.attempts.place(self.state.key, part)


def _key(run: dict[str, Any]) -> tuple[int, int]:
    return (run["id"], run["attempt"])


def main(args: list[str]) -> int:
    """`agent.py MANIFEST`."""
    with open(args[0], encoding="utf-8") as file:
        manifest = json.load(file)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("-900")
    code = Agent(manifest).serve()
    sys.stdout.flush()
    os._exit(code)
