"""Engine operations as the control sees them: intended, started, adopted after a restart, started again when killed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control import words
from skywright.control.context import WORK, Control
from skywright.control.rows import Deployment, Operation
from stacks.operate import Kind, Request

TRIES = 5
"""How often one operation is started when its process is killed again and again."""


PASSPHRASES = {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}
"""Two ways to say one thing."""


def env_scope(uid: str) -> str:
    """Where the vault keeps the PULUMI_* variables that a deployment's operations need."""
    return f"env:{uid}"


def take_env(control: Control, uid: str, env: Mapping[str, str], *, afresh: bool = False) -> None:
    """The newest caller's variables count. Who says nothing of a backend leaves the deployment's as it is.

    `afresh`: the passphrase that was given before is forgotten even when the caller gives none.
    """
    known = {} if "PULUMI_BACKEND_URL" in env else control.vault.get(env_scope(uid))
    for family in families(control):
        if any(name.startswith(family) for name in env):
            known = {name: value for name, value in known.items() if not name.startswith(family)}
    if afresh or PASSPHRASES & env.keys():
        known = {name: value for name, value in known.items() if name not in PASSPHRASES}
    control.vault.put(env_scope(uid), {**known, **env})


def families(control: Control) -> list[tuple[str, ...]]:
    """By cloud: prefixes of the variables that hold its credentials. Those of two logins are never mixed."""
    from stacks import CLOUDS

    return [found for name in CLOUDS if (found := control.cloud(name).ENV)]


def renew_env(control: Control, uid: str, env: Mapping[str, str]) -> None:
    """Of the clouds' variables exactly those of `env` count from now on; what opens the state stays."""
    prefixes = tuple(prefix for family in families(control) for prefix in family)
    kept = {n: value for n, value in control.vault.get(env_scope(uid)).items() if not n.startswith(prefixes)}
    given = {n: value for n, value in env.items() if n.startswith(prefixes)}
    control.vault.put(env_scope(uid), {**kept, **given})


def keep_env(control: Control, uid: str) -> None:
    """Remember the variables that fitted so far, for `put_env_back`."""
    control.vault.put(f"{env_scope(uid)}:before", control.vault.get(env_scope(uid)))


def put_env_back(control: Control, uid: str) -> None:
    """A change was refused, perhaps for its caller's variables: those of before count again."""
    control.vault.put(env_scope(uid), control.vault.get(f"{env_scope(uid)}:before"))
    control.vault.forget(f"{env_scope(uid)}:before")


def folder(control: Control, operation: Operation) -> Path:
    return control.folder / "operations" / operation.id


def unfinished(control: Control, uid: str) -> Operation | None:
    return control.store.first(Operation, order="started", uid=uid, ended=None)


def intend(
    control: Control,
    deployment: Deployment,
    kind: Kind,
    lost: Iterable[str] = (),
    spec: Mapping[str, Any] | None = None,
    cleans: bool = False,
) -> Operation:
    """Write down that an operation is wanted, on another stack of the deployment by `spec`; `step` starts it."""
    operation = Operation(
        id=f"{deployment.name}-{kind.value}-{secrets.token_hex(4)}",
        uid=deployment.uid,
        kind=kind.value,
        started=control.clock.now(),
        spec=dict(spec or deployment.spec),
        cleans=cleans,
        lost=sorted(lost),
        purge=deployment.purge,
    )
    control.store.add(operation)
    control.bell.ring(WORK)
    return operation


def step(control: Control, deployment: Deployment, operation: Operation) -> dict[str, Any] | None:
    """Bring one operation forward; its result when it has ended. Whoever called applies and stores that."""
    place = folder(control, operation)
    if operation.state == "intended" and not _begun(control, place):
        _start(control, deployment, operation)
        return None
    # Asked in this order: a process writes its result before it ends.
    running = control.operations.running(place)
    result = control.operations.result(place)
    _consume(control, deployment, operation, place)
    if result is not None or running:
        return result
    if operation.tries >= TRIES:
        return _given_up(deployment, operation)
    control.tell(
        deployment,
        "step",
        f"the operation `{operation.kind}` was killed; it is started again and goes on where it was",
        operation=operation.id,
    )
    _start(control, deployment, operation)
    return None


def _begun(control: Control, place: Path) -> bool:
    """Did a control that was killed start it already?"""
    return control.operations.running(place) or control.operations.result(place) is not None


def _start(control: Control, deployment: Deployment, operation: Operation) -> None:
    request = Request(
        id=operation.id,
        kind=Kind(operation.kind),
        spec=StackSpec.from_data(operation.spec),
        lost=tuple(operation.lost),
        env=control.vault.get(env_scope(deployment.uid)),
        purge=operation.purge,
        policy=_policy(control, deployment),
        applied=operation.spec == deployment.spec and deployment.applied == deployment.digest,
    )
    control.store.prove()  # that it is ours to start
    control.operations.start(request, folder(control, operation))
    control.store.change(operation, state="started", tries=operation.tries + 1)


def _policy(control: Control, deployment: Deployment) -> dict[str, Any]:
    """That of the order, and what the settings of this control's home say: no order loosens them."""
    from skywright.config import own_policy
    from stacks.rules.policy import Policy

    try:
        return Policy.from_data(deployment.policy or {}).with_more(own_policy(control.home)).to_data()
    except Problems as problems:  # which refuses: what cannot be read is not passed over
        return {"broken": problems.problems[0].message}


def _given_up(deployment: Deployment, operation: Operation) -> dict[str, Any]:
    problem = Problem(
        "control/operation-killed",
        f"the operation `{operation.kind}` of `{deployment.name}` was killed {TRIES} times",
        hint="see what ends processes on this machine (out of memory?), then run the command again",
        left_behind=f"what stack {operation.spec['stack']} holds by now; `skywright down {deployment.name}` removes it",
    )
    return {"ok": False, "problem": problem.to_data(), "failure": "other", "nodes": [], "changes": {}}


def _consume(control: Control, deployment: Deployment, operation: Operation, place: Path) -> None:
    """Put the operation's new events into the timeline, each once."""
    events, offset = control.operations.read(place, operation.consumed)
    if offset == operation.consumed:
        return
    with control.store.together():
        if not control.store.change(operation, when={"consumed": operation.consumed}, consumed=offset):
            return
        for event in events:
            if sentence := _sentence(event):
                kind = "resource" if event["type"] == "resource" else "step"
                control.tell(deployment, kind, sentence, **event)


_DOING = {
    "create": ("is being made", "made"),
    "update": ("is being changed", "changed"),
    "replace": ("is being replaced", "replaced"),
    "delete": ("is being removed", "removed"),
    "create-replacement": ("is being made anew", "made anew"),
    "delete-replaced": ("is being removed", "removed"),
}


def _sentence(event: dict[str, Any]) -> str | None:
    """An engine event for people; None for what says nothing to them."""
    took = f" in {words.duration(event['seconds'])}" if event.get("seconds") is not None else ""
    if event["type"] == "step":
        return f"{event['name']} {'done' + took if event['status'] == 'done' else 'begins'}"
    if event["type"] == "diagnostic":
        return f"{event['severity']}: {event['text']}"
    if event["type"] != "resource" or event["op"] not in _DOING:
        return None
    doing, done = _DOING[event["op"]]
    if event["status"] == "failed":
        return f"{event['resource']} could not be {done}"
    return (
        f"{event['resource']} {done}{took}" if event["status"] == "done" else f"{event['resource']} {doing}"
    )
