"""Runs: one at a time per deployment, all ranks together; how each goes on follows from what is stored."""

from __future__ import annotations

from compiler import recovery
from compiler.recovery import Done, GiveUp, Move, Replace
from skywright.control import breaker, budget, clouds, delivery, figures, ledger, operations, words
from skywright.control.context import WORK, Control
from skywright.control.desired import current_run, secrets_scope
from skywright.control.logbook import Part
from skywright.control.progress import lost_work
from skywright.control.ranks import Rank, facts, part_of, seats
from skywright.control.rows import Deployment, Node, Run, RunRank

LOGS_S = 60.0
"""How long an ended run waits for log bytes that its nodes still owe."""

AGAIN_S = 5.0
"""A task that failed and is begun again begins so much later: one that fails at once does not spin."""

LEAVE_S = 15.0
"""How long `down` waits for a run to save and stop."""


def step(control: Control, deployment: Deployment) -> None:
    """Take the current run one step further, as far as what is stored allows."""
    run = current_run(control, deployment.uid)
    if run is None:
        return
    if run.attempt == 0:
        _begin_or_drop(control, deployment, run)
        return
    if run.stopping == "moved" and deployment.move is not None and deployment.wanted == "up":
        return  # moving.py has it in hand
    ranks = seats(control, run)
    if run.stopping == "cancel" and all(rank.over or _silent(control, rank) for rank in ranks):
        _when_over(control, deployment, run, ranks)
    elif not all(rank.over for rank in ranks):
        _while_going(control, deployment, run, ranks)
    elif run.stopping == "moved" and all(rank.seat.phase == "succeeded" for rank in ranks):
        _when_over(control, deployment, run, ranks)
    elif run.stopping in ("preempted", "lost", "errored", "moved"):
        _begin_or_drop(control, deployment, run)
    else:
        _when_over(control, deployment, run, ranks)
    if deployment.leaving is not None and control.clock.now() - deployment.leaving > LEAVE_S:
        end(control, deployment, run, "CANCELLED", "the deployment is being removed")


def _while_going(control: Control, deployment: Deployment, run: Run, ranks: tuple[Rank, ...]) -> None:
    """Open the barrier when all are ready; stop the gang as soon as one rank fails or its node goes."""
    if run.stopping is not None:
        return
    if any(rank.leaving for rank in ranks) and not all(rank.seat.phase == "succeeded" for rank in ranks):
        _recover(control, deployment, run, ranks)
        return
    seen = facts(control, deployment, run, ranks)
    decision = recovery.decide(seen)
    if isinstance(decision, Replace) and recovery.is_error(seen):
        # Whether it was a failure or the echo of a loss is judged when all ranks are over.
        decision = recovery.gave_up(seen)
    if isinstance(decision, GiveUp):
        _stop_others(control, deployment, run, ranks, decision)
    elif isinstance(decision, (Replace, Move)):
        _recover(control, deployment, run, ranks)
    elif all(rank.seat.phase == "ready" for rank in ranks):
        _open_barrier(control, deployment, run)


def _silent(control: Control, rank: Rank) -> bool:
    """A node that cannot be reached does not hold up a cancel: it learns of it when it is back."""
    return control.presence.silent(rank.node.node, control.clock.steady())


def _when_over(control: Control, deployment: Deployment, run: Run, ranks: tuple[Rank, ...]) -> None:
    """Nothing runs any more: judge the attempt, and end the run once its logs are here."""
    seen = facts(control, deployment, run, ranks)
    decision = recovery.decide(seen)
    if isinstance(decision, Replace) and recovery.is_error(seen):
        _again(control, deployment, run, seen)
    elif isinstance(decision, (Replace, Move)):
        _recover(control, deployment, run, ranks)
    elif not _logs_are_in(control, run, ranks):
        return
    elif run.stopping == "cancel":
        end(control, deployment, run, "CANCELLED", run.reason or "cancelled")
    elif isinstance(decision, Done):
        end(control, deployment, run, "SUCCEEDED", None, exit_code=0)
    else:
        reason = decision.reason if isinstance(decision, GiveUp) else "it was stopped on its nodes"
        _fail(control, deployment, run, ranks, reason)


def _begin_or_drop(control: Control, deployment: Deployment, run: Run) -> None:
    """Begin an attempt when its nodes are there; drop a run that was cancelled before that."""
    if run.stopping == "cancel" or deployment.wanted == "gone":
        end(control, deployment, run, "CANCELLED", run.reason or "cancelled before it began")
        return
    if deployment.applied is not None and deployment.applied != deployment.digest:
        return  # the nodes are about to change
    if budget.holds(deployment):
        return
    if deployment.move is not None and deployment.move.get("step") in ("save", "carry"):
        return  # they are about to be others
    if operations.unfinished(control, run.uid):
        return  # a node that joined early may be one that a killed operation left and that its successor removes
    by_rank = {
        node.rank: node
        for node in control.store.find(Node, uid=run.uid, revoked=None, state="up")
        if node.joined is not None
    }
    if (deployment.blocked and not clouds.is_locked(deployment)) or not all(
        rank in by_rank for rank in range(run.num_nodes)
    ):
        return
    if run.stopping == "errored" and control.clock.now() - (run.failed_at or 0.0) < AGAIN_S:
        return
    if run.attempt and breaker.reason(control, run.losses, run.progress_at):
        return
    if delivery.is_due(control, deployment, run):
        return
    attempt = run.attempt + 1
    now = control.clock.now()
    status = "RECOVERING" if run.attempt else "SETTING_UP"
    with control.store.together():
        begun = control.store.change(
            run,
            when={"attempt": run.attempt, "ended": None},
            attempt=attempt,
            status=status,
            go="setup",
            stopping=None,
            failed_rank=None,
            failed_at=None,
            recoveries=attempt - 1,
            started=run.started or now,
            going_since=None,
        )
        if not begun:
            return
        ledger.begun(control, run, attempt)
        for rank in range(run.num_nodes):
            control.store.add(RunRank(run.uid, run.run, attempt, rank, by_rank[rank].node, changed=now))
        again = f", attempt {attempt}" if attempt > 1 else ""
        control.tell(
            deployment,
            "run",
            f"run {run.run} starts on {words.few(run.num_nodes, 'node')}{again}",
            run=run.run,
            attempt=attempt,
            status=status,
        )
    _wake_nodes(control, run.uid)


def _stop_others(
    control: Control, deployment: Deployment, run: Run, ranks: tuple[Rank, ...], decision: GiveUp
) -> None:
    """The first failing rank is remembered; whether it or a lost node is to blame is judged when all are over."""
    changed = control.store.change(
        run,
        when={"stopping": None, "attempt": run.attempt, "ended": None},
        stopping="failed",
        failed_rank=decision.rank,
        failed_at=control.clock.now(),
    )
    if changed and len(ranks) > 1:
        control.tell(
            deployment,
            "run",
            f"{decision.reason}; the other ranks are stopped",
            run=run.run,
            attempt=run.attempt,
            failed_rank=decision.rank,
        )
    _wake_nodes(control, run.uid)


def _open_barrier(control: Control, deployment: Deployment, run: Run) -> None:
    now = control.clock.now()
    if run.go == "run" or run.stopping is not None:
        return
    if control.store.change(
        run,
        when={"go": "setup", "attempt": run.attempt, "stopping": None, "ended": None},
        go="run",
        status="RUNNING",
        going_since=now,
    ):
        control.tell(
            deployment,
            "run",
            f"run {run.run} is running on {words.few(run.num_nodes, 'node')}",
            run=run.run,
            attempt=run.attempt,
            status="RUNNING",
        )
        _wake_nodes(control, run.uid)


def _recover(control: Control, deployment: Deployment, run: Run, ranks: tuple[Rank, ...]) -> None:
    """Note that the attempt is lost: ranks that still run are told to save; the next begins when nodes are there."""
    lost = [rank for rank in ranks if rank.leaving]
    missed = lost_work(control, deployment, run)
    now = control.clock.now()
    how = "preempted" if any(rank.node.notice_until for rank in lost) else "lost"
    with control.store.together():
        if not control.store.change(
            run,
            when={"stopping": run.stopping, "attempt": run.attempt, "ended": None},
            stopping=how,
            status="RECOVERING",
            preemptions=run.preemptions + bool(lost),
            lost_work_s=run.lost_work_s + missed,
            losses=[*run.losses[-50:], now],
            failed_rank=None,
            failed_at=None,
        ):
            return
        ledger.lost(control, run, how if lost else figures.REPEATED, missed)
    names = ", ".join(rank.node.label for rank in lost) or "a node that lost track of it"
    control.tell(
        deployment,
        "run",
        f"run {run.run} recovers from the loss of {names}",
        run=run.run,
        attempt=run.attempt,
        status="RECOVERING",
        lost_work_s=missed,
    )
    _wake_nodes(control, run.uid)


def _again(control: Control, deployment: Deployment, run: Run, seen: recovery.Facts) -> None:
    """The task failed by itself and may begin again: losses are not counted with that, nor that with losses."""
    counted = not recovery.means_again(seen)
    with control.store.together():
        if not control.store.change(
            run,
            when={"stopping": run.stopping, "attempt": run.attempt, "ended": None},
            stopping="errored",
            status="RECOVERING",
            errors=run.errors + counted,
            failed_rank=None,
            failed_at=control.clock.now(),
        ):
            return
        ledger.lost(control, run, "errored", 0.0)
    of = f" (restart {run.errors + 1} of {seen.error_budget})" if counted else ", as its exit code asks"
    control.tell(
        deployment,
        "run",
        f"{recovery.gave_up(seen).reason}: run {run.run} begins again{of}",
        run=run.run,
        attempt=run.attempt,
        status="RECOVERING",
    )


def _logs_are_in(control: Control, run: Run, ranks: tuple[Rank, ...]) -> bool:
    """Have the ranks that still exist delivered every byte (or had time enough)?"""
    last = max(rank.seat.changed for rank in ranks)
    if control.clock.now() - last > LOGS_S:
        return True
    for rank in ranks:
        if rank.gone or _silent(control, rank):
            continue
        for phase, size in (("setup", rank.seat.log_setup), ("run", rank.seat.log_run)):
            part = Part(run.attempt, rank.seat.rank, phase)
            if size is not None and control.logbook.size(run.uid, run.run, part) < size:
                return False
    return True


def _fail(control: Control, deployment: Deployment, run: Run, ranks: tuple[Rank, ...], reason: str) -> None:
    first = next((rank.seat for rank in ranks if rank.seat.rank == run.failed_rank), None)
    if first is None:
        first = next((rank.seat for rank in ranks if rank.seat.phase == "failed"), ranks[0].seat)
        control.store.change(run, failed_rank=first.rank)
    reason = _said(first, reason)
    status = "FAILED_SETUP" if part_of(first) in ("setup", "fetch") else "FAILED"
    code = first.exit_code if first.exit_code is not None else (128 + first.signal if first.signal else None)
    end(control, deployment, run, status, reason, exit_code=code)


def _said(seat: RunRank, reason: str) -> str:
    """The reason with what the node said of it: `node-0: fetch: [Errno 13] Permission denied: '/data'`."""
    part, _, more = (seat.message or "").partition(": ")
    if not seat.message or (part in ("setup", "fetch") and not more):
        return reason
    if seat.exit_code is not None or seat.signal or seat.oom:
        return f"{reason} ({more if part in ('setup', 'fetch') else seat.message})"
    return f"node-{seat.rank}: {seat.message}"


def end(
    control: Control,
    deployment: Deployment,
    run: Run,
    status: str,
    reason: str | None,
    exit_code: int | None = None,
) -> None:
    """The run's last transition; its secrets are forgotten with it."""
    now = control.clock.now()
    with control.store.together():
        if not control.store.change(
            run, when={"ended": None}, ended=now, status=status, reason=reason, exit_code=exit_code
        ):
            return
        ledger.ended(control, run, status, now)
        control.vault.forget(secrets_scope(run.uid, run.run))
        control.store.change(deployment, idle_since=now)
        took = f" after {words.duration(now - run.started)}" if run.started else ""
        how = {"SUCCEEDED": "succeeded", "CANCELLED": "was cancelled"}.get(status, "failed")
        because = f": {reason}" if reason and status != "CANCELLED" else ""
        control.tell(
            deployment,
            "run",
            f"run {run.run} {how}{took}{because}",
            run=run.run,
            attempt=run.attempt,
            status=status,
            exit_code=exit_code,
        )
    control.bell.ring(WORK)
    _wake_nodes(control, run.uid)


def _wake_nodes(control: Control, uid: str) -> None:
    control.bell.ring(*(node.node for node in control.store.find(Node, uid=uid, revoked=None)))
