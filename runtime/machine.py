"""What a node does about one run: (state, event) -> (state, effects). No clock, no files, no network.

Rules: a run's key is (id, attempt) and keys only grow, so nothing is begun twice; a terminal phase is never left; what
control wants is a level, read again after every event, so a repeated, late or reordered answer changes nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

LIVE = ("fetching", "setup", "ready", "running")
TERMINAL = ("succeeded", "failed", "cancelled", "preempted", "unknown")
PART = {"setup": "setup", "running": "run"}
"""Phases that have a process, and the part of the task it runs."""


class Wanted(NamedTuple):
    """What control wants run, without its contents: `fetch`, `setup` and `script` say which parts it has."""

    run: int
    attempt: int
    fetch: bool
    setup: bool
    script: bool
    go: bool
    cancel: bool
    grace_s: float


def wanted(run: dict[str, Any]) -> Wanted:
    """What of a run, as control describes it, matters here."""
    return Wanted(
        run=run["id"],
        attempt=run["attempt"],
        fetch=bool(run["files"] or run["checkpoint"] or run.get("container") or run.get("buckets")),
        setup=run["setup"] is not None,
        script=run["script"] is not None,
        go=run["go"] == "run",
        cancel=run["cancel"],
        grace_s=run["grace_s"],
    )


class State(NamedTuple):
    """One node. `stopping` is what the run will be called once its processes ended; `by` the node's own last moment.

    `set_up` is the run whose setup succeeded here: its later attempts do not repeat it.
    """

    run: int = 0
    attempt: int = 0
    phase: str = ""
    stopping: Optional[str] = None
    wanted: Optional[Wanted] = None
    version: int = 0
    drain: bool = False
    noticed: bool = False
    drained: bool = False
    leaving: Optional[str] = None
    by: Optional[float] = None
    set_up: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return (self.run, self.attempt)

    @property
    def live(self) -> bool:
        return self.phase in LIVE

    def to_data(self) -> dict[str, Any]:
        return {**self._asdict(), "wanted": self.wanted and self.wanted._asdict()}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> State:
        return cls(**{**data, "wanted": Wanted(**data["wanted"]) if data.get("wanted") else None})


class Desired(NamedTuple):
    """Control's wish, in `version`; `wanted` None wants no run at all."""

    version: int
    wanted: Optional[Wanted]
    drain: bool


class Fetched(NamedTuple):
    """The files of a run are in place, or `error` says why not."""

    run: int
    attempt: int
    error: Optional[str]


class Ended(NamedTuple):
    """The process of a part ended; `facts` are those of a phase event, `error` what went wrong around it."""

    run: int
    attempt: int
    part: str
    facts: dict[str, Any]
    error: Optional[str] = None


class Lost(NamedTuple):
    """The record of the run is gone or the machine rebooted: nobody can say how it ended."""

    why: str


class Notice(NamedTuple):
    """Capacity goes away: `left_s` seconds from now, which is moment `by` of the node's clock."""

    left_s: float
    by: float
    source: str


class Leave(NamedTuple):
    """The agent is to stop for ever: `fenced` (at once), `silent` or `expired` (after the job has saved)."""

    why: str


class Flushed(NamedTuple):
    """Every byte of the logs of ended parts is with control, or time is up."""


Event = Union[Desired, Fetched, Ended, Lost, Notice, Leave, Flushed]


class Say(NamedTuple):
    """An event for control: kind and fields."""

    kind: str
    fields: dict[str, Any]


class Do(NamedTuple):
    """Something to do: `fetch`, `start` (part), `stop` (processes; `now` without grace), `exit`."""

    what: str
    part: str = ""
    now: bool = False


Effect = Union[Say, Do]


def step(state: State, event: Event) -> tuple[State, list[Effect]]:
    """Take in one event, then do what the level asks for until nothing changes."""
    state, effects = _HANDLERS[type(event).__name__](state, event)
    while True:
        after, more = _settle(state)
        effects += more
        if after == state:
            return state, effects
        state = after


def resume(state: State, rebooted: bool) -> tuple[State, list[Effect]]:
    """The agent started again: what it has to do about the state it finds."""
    state = state._replace(version=0)
    if rebooted:
        state = state._replace(noticed=False, drained=False, by=None, leaving=None)
        if state.phase in ("setup", "ready", "running"):
            return step(state, Lost("the machine rebooted"))
    if state.phase == "fetching":
        return state, [Do("fetch")]
    if state.phase in PART:
        again = [Do("stop", PART[state.phase], state.leaving == "fenced")] if state.stopping else []
        return state, [Do("start", PART[state.phase]), *again]
    return step(state, Flushed()) if state.leaving else (state, [])


def _enter(state: State, phase: str, **facts: Any) -> tuple[State, list[Effect]]:
    """Move the present run to `phase` and say so; a phase with work to do begins it."""
    effects: list[Effect] = [
        Say("phase", {"run": state.run, "attempt": state.attempt, "phase": phase, **facts})
    ]
    if phase == "fetching":
        effects.append(Do("fetch"))
    elif phase in PART:
        effects.append(Do("start", PART[phase]))
    return state._replace(phase=phase), effects


def _after_fetch(state: State) -> str:
    wanted = state.wanted
    return "setup" if wanted is not None and wanted.setup and state.set_up != wanted.run else "ready"


def _on_desired(state: State, event: Desired) -> tuple[State, list[Effect]]:
    if event.version < state.version:
        return state, []
    wanted, old = event.wanted, state.wanted
    if wanted and old and (wanted.run, wanted.attempt) <= (old.run, old.attempt):
        if wanted[:2] < old[:2]:
            return state._replace(version=event.version), []
        wanted = wanted._replace(go=wanted.go or old.go, cancel=wanted.cancel or old.cancel)
    drained = state.drained and (event.drain or state.noticed)
    return state._replace(version=event.version, wanted=wanted, drain=event.drain, drained=drained), []


def _on_fetched(state: State, event: Fetched) -> tuple[State, list[Effect]]:
    if state.phase != "fetching" or event[:2] != state.key:
        return state, []
    if event.error is not None:
        return _enter(state, "failed", message=f"fetch: {event.error}")
    return _enter(state, _after_fetch(state))


def _on_ended(state: State, event: Ended) -> tuple[State, list[Effect]]:
    if PART.get(state.phase) != event.part or event[:2] != state.key:
        return state, []
    if state.stopping:
        return _enter(state._replace(stopping=None), state.stopping, **event.facts)
    fine = event.error is None and event.facts.get("exit_code") == 0
    if fine and event.part == "setup":
        state = state._replace(set_up=state.run)
    if fine:
        return _enter(state, "ready" if event.part == "setup" else "succeeded", **event.facts)
    part = "setup" if event.part == "setup" else None
    message = ": ".join(word for word in (part, event.error) if word) or None
    return _enter(state, "failed", message=message, **event.facts)


def _on_lost(state: State, event: Lost) -> tuple[State, list[Effect]]:
    return _enter(state._replace(stopping=None), "unknown", message=event.why) if state.live else (state, [])


def _on_notice(state: State, event: Notice) -> tuple[State, list[Effect]]:
    if state.noticed:
        return state, []
    effects: list[Effect] = [Say("notice", {"deadline_s": event.left_s, "source": event.source})]
    if state.stopping and state.phase in PART:
        effects.append(Do("stop", PART[state.phase]))
    return state._replace(noticed=True, by=event.by), effects


def _on_leave(state: State, event: Leave) -> tuple[State, list[Effect]]:
    if state.leaving == "fenced" or state.leaving == event.why:
        return state, []
    again = state.stopping and state.phase in PART
    return state._replace(leaving=event.why), [
        Do("stop", PART[state.phase], event.why == "fenced")
    ] if again else []


def _on_flushed(state: State, event: Flushed) -> tuple[State, list[Effect]]:
    if state.live:
        return state, []
    if state.leaving:
        return state, [Do("exit")]
    if (state.drain or state.noticed) and not state.drained:
        fields = {"run": state.run, "attempt": state.attempt} if state.run else {}
        return state._replace(drained=True), [Say("drained", fields)]
    return state, []


_HANDLERS: dict[str, Any] = {
    "Desired": _on_desired,
    "Fetched": _on_fetched,
    "Ended": _on_ended,
    "Lost": _on_lost,
    "Notice": _on_notice,
    "Leave": _on_leave,
    "Flushed": _on_flushed,
}


def _settle(state: State) -> tuple[State, list[Effect]]:
    """One step towards what is wanted; the same state when there is none."""
    if state.live:
        return _settle_live(state) if state.stopping is None else (state, [])
    wanted = state.wanted
    if state.leaving or state.drain or state.noticed:
        return state, []
    if wanted is None or wanted[:2] <= state.key:
        return state, []
    begun = state._replace(run=wanted.run, attempt=wanted.attempt, stopping=None)
    if wanted.cancel:
        return _enter(begun, "cancelled")
    return _enter(begun, "fetching" if wanted.fetch else _after_fetch(begun))


def _settle_live(state: State) -> tuple[State, list[Effect]]:
    wanted = state.wanted
    ending = state.leaving or state.drain or state.noticed
    if ending or wanted is None or wanted[:2] != state.key or wanted.cancel:
        name = "preempted" if ending else "cancelled"
        if state.phase not in PART:
            return _enter(state, name)
        return state._replace(stopping=name), [Do("stop", PART[state.phase], state.leaving == "fenced")]
    if state.phase == "ready" and wanted.go:
        if wanted.script:
            return _enter(state, "running")
        return _enter(state, "succeeded", exit_code=0)
    return state, []
