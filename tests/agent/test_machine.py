"""The machine under any order of events: nothing begins twice, nothing is left once it is over."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.machine import (
    LIVE,
    TERMINAL,
    Desired,
    Do,
    Ended,
    Fetched,
    Flushed,
    Leave,
    Lost,
    Notice,
    Say,
    State,
    Wanted,
    resume,
    step,
)

keys = st.tuples(st.integers(1, 3), st.integers(1, 3))
booleans = st.booleans()
wishes = st.builds(
    lambda key, fetch, setup, script, go, cancel: Wanted(*key, fetch, setup, script, go, cancel, 1.0),
    keys, booleans, booleans, booleans, booleans, booleans,
)  # fmt: skip
facts = st.sampled_from([{"exit_code": 0}, {"exit_code": 1}, {"exit_code": None, "signal": 9}])
parts = st.sampled_from(["setup", "run"])
events = st.one_of(
    st.builds(Desired, st.integers(1, 9), st.none() | wishes, st.sampled_from([False, False, False, True])),
    st.builds(lambda key, error: Fetched(*key, error), keys, st.none() | st.just("gone")),
    st.builds(
        lambda key, part, facts, error: Ended(*key, part, facts, error),
        keys,
        parts,
        facts,
        st.none() | st.just("x"),
    ),
    st.builds(Lost, st.just("why")),
    st.builds(Notice, st.just(30.0), st.just(99.0), st.just("probe")),
    st.builds(Leave, st.sampled_from(["fenced", "silent", "expired"])),
    st.just(Flushed()),
    st.sampled_from(["restart", "reboot"]),
)
ORDER = {phase: place for place, phase in enumerate(("fetching", "setup", "ready", "running", *TERMINAL))}


def play(sequence):
    """The states on the way, and all that was asked for."""
    state, states, effects = State(), [State()], []
    for event in sequence:
        if isinstance(event, str):
            state, done = resume(State.from_data(state.to_data()), event == "reboot")
        else:
            state, done = step(state, event)
        effects += done
        states.append(state)
    return states, effects


few = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.lists(events, max_size=25))
def test_nothing_is_begun_twice_and_a_terminal_phase_is_never_left(sequence):
    states, effects = play(sequence)
    said = [effect.fields for effect in effects if isinstance(effect, Say) and effect.kind == "phase"]
    by_key = {}
    for fields in said:
        by_key.setdefault((fields["run"], fields["attempt"]), []).append(fields["phase"])
    for phases in by_key.values():
        assert phases == sorted(set(phases), key=ORDER.__getitem__), "each phase once and in order"
        assert sum(phase in TERMINAL for phase in phases) <= 1
    assert list(by_key) == sorted(by_key), "runs are begun in the order of their keys"
    for before, after in itertools.pairwise(states):
        if before.phase in TERMINAL and after.key == before.key:
            assert after.phase == before.phase
        assert after.key >= before.key


@few
@given(st.lists(events, max_size=25))
def test_a_process_is_started_only_on_entering_its_phase(sequence):
    state, running = State(), None
    for event in sequence:
        if isinstance(event, str):
            state, done = resume(state, event == "reboot")
        else:
            state, done = step(state, event)
        for effect in done:
            if isinstance(effect, Do) and effect.what == "start" and not isinstance(event, str):
                assert (state.key, effect.part) != running
                running = (state.key, effect.part)
            if isinstance(effect, Do) and effect.what == "start":
                assert {"setup": "setup", "run": "running"}[effect.part] == state.phase


@few
@given(st.lists(events, max_size=15), st.lists(st.integers(0, 14), max_size=6))
def test_repeated_and_late_wishes_change_nothing_that_was_begun(sequence, repeats):
    """A wish that comes again later, as from a repeated answer, starts no run a second time."""
    noisy = list(sequence)
    for place in repeats:
        if place < len(sequence) and isinstance(sequence[place], Desired):
            noisy.append(sequence[place])
    _, effects = play(noisy)
    starts = [effect.fields for effect in effects if isinstance(effect, Say) and effect.kind == "phase"]
    begun = [(f["run"], f["attempt"], f["phase"]) for f in starts]
    assert len(begun) == len(set(begun))


@few
@given(st.lists(events, max_size=25))
def test_a_node_that_goes_ends_once_its_run_has(sequence):
    """Whatever came before: after a fence and the end of what runs, the agent is told to end."""
    state = play(sequence)[0][-1]
    state, _ = step(state, Leave("fenced"))
    if state.live:
        assert state.stopping
        state, _ = step(
            state, Ended(*state.key, "setup" if state.phase == "setup" else "run", {"exit_code": 0})
        )
    assert state.phase not in LIVE
    assert Do("exit") in step(state, Flushed())[1]


def test_a_notice_stops_the_run_and_then_the_node_is_drained():
    wish = Wanted(1, 1, False, False, True, True, False, 5.0)
    state, effects = step(State(), Desired(1, wish, False))
    assert [effect.what for effect in effects if isinstance(effect, Do)] == ["start"]
    state, effects = step(state, Notice(120.0, 500.0, "probe"))
    assert effects == [Say("notice", {"deadline_s": 120.0, "source": "probe"}), Do("stop", "run", False)]
    state, effects = step(state, Ended(1, 1, "run", {"exit_code": 0}))
    assert effects == [Say("phase", {"run": 1, "attempt": 1, "phase": "preempted", "exit_code": 0})]
    state, effects = step(state, Desired(2, wish._replace(attempt=2), False))
    assert effects == []
    state, effects = step(state, Flushed())
    assert effects == [Say("drained", {"run": 1, "attempt": 1})]
    assert step(state, Flushed())[1] == []


def test_a_later_attempt_of_a_run_does_not_repeat_its_setup():
    def wish(run, attempt):
        return Wanted(run, attempt, False, True, True, False, False, 1.0)

    state, effects = step(State(), Desired(1, wish(1, 1), False))
    assert Do("start", "setup") in effects
    state, _ = step(state, Ended(1, 1, "setup", {"exit_code": 0}))
    state, effects = step(state, Desired(2, wish(1, 2), False))
    assert Do("start", "setup") not in effects
    assert (state.key, state.phase) == ((1, 2), "ready")
    state, effects = step(state, Desired(3, wish(2, 1), False))
    assert Do("start", "setup") in effects
