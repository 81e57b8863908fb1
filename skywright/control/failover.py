"""When a place has no room: the next one of the envelope, what was half made is removed, and every try is told.

Everything follows from stored columns. `choices` are the approved placements in their order, `tries` those that were
refused (an open one belongs to this round and is not tried again in it), `outgoing` is a stack that is to be destroyed
before anything else, `move` the placement that living nodes are about to go to (moving.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from compiler import recovery
from compiler.problem import Problem
from compiler.recovery import Move, Wait
from compiler.spec import StackSpec
from compiler.words import money
from skywright.control import clouds, delivery, gang, ledger, operations, ranks, words
from skywright.control.context import Control
from skywright.control.desired import current_run
from skywright.control.nodes import fence
from skywright.control.rows import Deployment, Node, Operation, Run
from stacks.cloud import Failure
from stacks.operate import Kind

Data = dict[str, Any]

BACKOFF_S = (2.0, 5.0, 15.0, 30.0, 60.0)
"""Pauses between failing attempts to make or replace nodes; the last one repeats."""

FULL = frozenset({Failure.CAPACITY.value, Failure.QUOTA.value})
"""Failures after which another place may have what this one has not."""

KEPT = 50
"""So many tries are remembered."""

MOVED = "moved"
"""State of nodes that were given up for others in another place; they cost until their stack is gone."""


def key(choice: Mapping[str, Any]) -> str:
    """How the envelope names a placement: `aws us-west-2c spot`."""
    return f"{choice['where']} {choice['market']}"


def present(deployment: Deployment) -> Data:
    """Where the deployment is, or is about to be."""
    return {
        "spec": deployment.spec,
        "where": deployment.place,
        "market": deployment.market,
        "hourly": deployment.hourly,
        "rates": deployment.rates,
    }


def refused(deployment: Deployment) -> tuple[str, ...]:
    """Placements without room in this round."""
    return tuple(one["key"] for one in deployment.tries if one["open"])


def wanted(deployment: Deployment) -> Data:
    """The spec that the next `up` is about."""
    return dict((deployment.move or present(deployment))["spec"])


def note(
    control: Control, deployment: Deployment, operation: Operation, result: Data, problem: Data, bare: bool
) -> None:
    """A place refused: remember it, and have removed what was half made there. `bare`: nothing at all was made."""
    moving = is_move(deployment, operation.spec)
    choice = deployment.move if moving and deployment.move else present(deployment)
    said = str(problem["message"])
    row = {
        "key": key(choice),
        "where": choice["where"],
        "market": choice["market"],
        "at": control.clock.now(),
        "failure": result["failure"],
        "problem": problem,
        "open": True,
    }
    clean = not bare and (moving or deployment.applied is None)
    control.store.change(
        deployment,
        tries=[*deployment.tries, row][-KEPT:],
        outgoing=operation.spec if clean else deployment.outgoing,
        move=None if moving else deployment.move,
    )
    control.tell(
        deployment, "try", f"{key(choice)} refused: {said}", **{**row, "open": None, "problem": problem}
    )


def is_move(deployment: Deployment, spec: Mapping[str, Any]) -> bool:
    """Is this the stack that living nodes are to move to?"""
    return deployment.move is not None and deployment.move["spec"] == spec


def clean(control: Control, deployment: Deployment) -> None:
    """Ask for the end of the stack that nobody wants any more."""
    assert deployment.outgoing is not None
    with control.store.together():
        operations.intend(control, deployment, Kind.DESTROY, spec=deployment.outgoing, cleans=True)
        control.tell(deployment, "step", f"what was made in stack {deployment.outgoing['stack']} is removed")


def cleaned(control: Control, deployment: Deployment, operation: Operation, result: Data) -> None:
    """Apply the end of such a removal. One that is refused is tried again, unless a person waits for it."""
    now = control.clock.now()
    leaving = deployment.wanted == "gone"
    if result["ok"] or (leaving and operation.purge):
        if not result["ok"]:
            why = (result["problem"] or {}).get("message", "it failed")
            text = (
                f"the engine refused: {why}; what its state holds of {operation.spec['stack']} is forgotten"
            )
            control.tell(deployment, "problem", text)
        outgoing = None if deployment.outgoing == operation.spec else deployment.outgoing
        control.store.change(deployment, outgoing=outgoing)
        for node in control.store.find(Node, uid=deployment.uid, state=MOVED, gone=None):
            control.store.change(node, gone=now)
            ledger.gone(control, node, now)
        return
    problem = dict(result["problem"] or {"code": "engine/failed", "message": "the engine operation failed"})
    problem["left_behind"] = problem.get("left_behind") or f"stack {operation.spec['stack']}"
    if clouds.refused_credentials(control, deployment, result):
        clouds.lock(control, deployment, Problem.of(problem), clouds.LOCKED_S)
    elif leaving:
        control.store.change(deployment, stage="failed", problem=problem)
        control.tell(deployment, "problem", str(problem["message"]), problem=problem)
    else:
        try_later(control, deployment, problem)


def try_later(control: Control, deployment: Deployment, problem: Data, **changes: Any) -> None:
    """Wait longer after each failure, and say why."""
    pause = BACKOFF_S[min(deployment.failures, len(BACKOFF_S) - 1)]
    control.store.change(
        deployment,
        failures=deployment.failures + 1,
        retry_at=control.clock.now() + pause,
        problem=problem,
        blocked=str(problem["message"]),
        **changes,
    )
    control.tell(
        deployment,
        "problem",
        f"{problem['message']}; trying again in {words.duration(pause)}",
        problem=problem,
        retry_s=pause,
    )


def prepare(control: Control, deployment: Deployment) -> Deployment | None:
    """The deployment as its next `up` is to be asked for. None when something else comes first, or it gave up."""
    closed = refused(deployment)
    if key(deployment.move or present(deployment)) not in closed:
        return deployment
    avoid = closed if deployment.applied is None else _avoid(control, deployment, closed)
    if avoid is None:
        return None
    following = next((one for one in deployment.choices if key(one) not in avoid), None) if avoid else None
    if following is not None:
        return _switch(control, deployment, following)
    if deployment.applied is None and not deployment.retry:
        _give_up(control, deployment)
    else:
        _go_round(control, deployment)
    return None


def _avoid(control: Control, deployment: Deployment, closed: tuple[str, ...]) -> Collection[str] | None:
    """What a deployment that was up avoids now: recovery decides. Nothing: it stays; None: it is too early to say."""
    run = current_run(control, deployment.uid)
    if run is None or run.attempt == 0:
        return ()
    facts = ranks.facts(control, deployment, run, ranks.seats(control, run))
    decision = recovery.decide(replace(facts, refused=closed))
    if isinstance(decision, Wait):
        return None
    return decision.avoid if isinstance(decision, Move) else ()


def _switch(control: Control, deployment: Deployment, choice: Data) -> Deployment | None:
    """Go to another placement: at once where nothing was made, else by a second stack beside the first (moving.py)."""
    choice = {
        **choice,
        "spec": delivery.with_names(choice["spec"], deployment.spec.get("secrets", ())),
    }
    where = f"{key(choice)}, {money(choice['hourly'])}/h"
    with control.store.together():
        if deployment.applied is None:
            become(control, deployment, choice)
            count = len(refused(deployment))
            control.tell(
                deployment,
                "try",
                f"trying {where} next; {words.few(count, 'place')} refused",
                **_told(choice),
            )
            return control.store.first(Deployment, uid=deployment.uid)
        control.tell(deployment, "try", f"{deployment.name} moves to {where}", **_told(choice))
        if choice["spec"]["stack"] != deployment.spec["stack"]:
            control.store.change(deployment, move=choice)
            return control.store.first(Deployment, uid=deployment.uid)
        leave(control, deployment)
        become(control, deployment, choice, applied="")
    return None


def _told(choice: Data) -> Data:
    return {name: choice[name] for name in ("where", "market", "hourly")}


def become(control: Control, deployment: Deployment, choice: Data, **changes: Any) -> None:
    """The deployment is where `choice` says from now on; its waiting runs count that machine's accelerators."""
    spec = StackSpec.from_data(choice["spec"])
    control.store.change(
        deployment,
        spec=choice["spec"],
        digest=spec.digest,
        cloud=spec.cloud,
        place=choice["where"],
        market=choice["market"],
        hourly=choice["hourly"],
        rates=choice.get("rates"),
        move=None,
        blocked=None,
        **changes,
    )
    if "gpus_per_node" in choice:
        for run in control.store.find(Run, uid=deployment.uid, ended=None):
            control.store.change(run, body={**run.body, "gpus_per_node": choice["gpus_per_node"]})


def leave(control: Control, deployment: Deployment) -> None:
    """Fence what is left of the nodes and have their stack destroyed."""
    for node in control.store.find(Node, uid=deployment.uid, revoked=None):
        fence(control, deployment, node, "its deployment moved to another place", state=MOVED)
    control.store.change(deployment, outgoing=deployment.spec)


def close_round(deployment: Deployment) -> list[Data]:
    """The tries, none of which counts any more."""
    return [{**one, "open": False} for one in deployment.tries]


def _go_round(control: Control, deployment: Deployment) -> None:
    """All places were refused: from the first one again after a pause; nodes that were there are wanted back."""
    problem = _nowhere(deployment)
    with control.store.together():
        if deployment.applied is None and deployment.choices:
            become(control, deployment, deployment.choices[0])
        try_later(control, deployment, problem, tries=close_round(deployment))


def _give_up(control: Control, deployment: Deployment) -> None:
    problem = _nowhere(deployment)
    problem["left_behind"] = problem.get("left_behind") or "nothing"
    with control.store.together():
        control.store.change(
            deployment,
            stage="failed",
            problem=problem,
            failures=deployment.failures + 1,
            tries=close_round(deployment),
        )
        control.tell(deployment, "problem", str(problem["message"]), problem=problem)
        for run in control.store.find(Run, order="run", uid=deployment.uid, ended=None):
            gang.end(control, deployment, run, "CANCELLED", "its nodes could not be made")


def _nowhere(deployment: Deployment) -> Data:
    """What to tell: the one refusal, or all of them, and what it would need."""
    tries = [one for one in deployment.tries if one["open"]]
    beyond = (deployment.envelope or {}).get("beyond")
    if len(tries) == 1 and not beyond:
        return dict(tries[0]["problem"])
    listed = "; ".join(f"{one['key']}: {one['problem']['message']}" for one in tries)
    count = words.few(len(tries), "approved placement")
    quota = all(one["failure"] == Failure.QUOTA.value for one in tries)
    hint = "`--retry-until-up` goes round until there is room"
    code = "cloud/quota" if quota else "cloud/capacity"
    if beyond:
        code = "policy/outside-envelope"
        hint = (
            f"{beyond['count']} more fit outside of what was approved, the first is {beyond['where']}"
            f" {beyond['market']} at {money(beyond['hourly'])}/h:\n"
            f"launch with `--infra {beyond['infra']}` to approve it; {hint}"
        )
    return dict(Problem(code, f"no room in {count}: {listed}", hint=hint).to_data())
