"""A living deployment goes to another place: a second stack beside it, its checkpoint, the fence, the first one's end.

What is stored is `move` of the deployment: the placement it goes to, and how far it is. Every `step` reads that, does
what is next and writes it, so that a control that is killed anywhere goes on.

| step    | meaning                                                                              | until then      |
|---------|--------------------------------------------------------------------------------------|-----------------|
| (none)  | the second stack is being made                                                       | nothing changed |
| `boot`  | it stands; its nodes have to say that they are there                                 | nothing changed |
| `save`  | the task was told to save and to stop, with the time it has for it                   | it can go back  |
| `carry` | nothing runs; the checkpoint is copied to the new place and proved there             | it can go back  |
| (gone)  | in one write: the first stack's nodes are fenced, the second is the deployment's own | it has moved    |
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control import failover, figures, ledger, operations, words
from skywright.control.context import WORK, Control, log
from skywright.control.cost import share_of
from skywright.control.desired import GRACE_S, current_run
from skywright.control.loss import BOOT_S
from skywright.control.mailroom import store_of
from skywright.control.progress import kept_of, lost_work
from skywright.control.ranks import seats
from skywright.control.rows import Deployment, Node, Operation, Run
from stacks import checkpoints

SLACK_S = 30.0
"""A rank that has not ended so long after its time to save is not waited for: the fence keeps it out."""

TRIES = 3
"""How often carrying is tried before the deployment stays where it is."""

PAUSE_S = 5.0
"""Between those tries."""

Data = dict[str, Any]


def is_asked(deployment: Deployment) -> bool:
    """Did a person ask for this move, rather than a place that has no room?"""
    return deployment.move is not None and bool(deployment.move.get("asked"))


def is_up(deployment: Deployment) -> bool:
    """Does the second stack stand?"""
    return deployment.move is not None and "step" in deployment.move


def made(control: Control, deployment: Deployment, operation: Operation, result: Data) -> None:
    """The second stack is up: note what it has. Its nodes stay outside until everything is handed over."""
    assert deployment.move is not None
    nodes = [{name: item[name] for name in ("rank", "id", "address")} for item in result["nodes"]]
    control.store.change(
        deployment,
        retry_at=None,
        move={
            **deployment.move,
            "step": "boot",
            "since": control.clock.now(),
            "nodes": nodes,
            "store": result.get("store"),
        },
    )
    text = f"stack {operation.spec['stack']} stands in {deployment.move['where']}; its nodes are waited for"
    control.tell(deployment, "step", text, move="boot")


async def step(control: Control, deployment: Deployment) -> None:
    """Bring a move forward whose second stack stands."""
    move = deployment.move
    assert move is not None
    if (deployment.retry_at or 0) > control.clock.now():
        return
    if move["step"] == "boot":
        await _boot(control, deployment, move)
    elif move["step"] == "save":
        _save(control, deployment, move)
    else:
        _carry(control, deployment, move)


async def _boot(control: Control, deployment: Deployment, move: Data) -> None:
    """Wait for every new node to knock; then have the task save."""
    missing = [node["id"] for node in move["nodes"] if not node.get("there")]
    if missing and move.get("store"):
        missing = await asyncio.to_thread(_unheard, control, deployment, move, missing)
    if missing:
        if control.clock.now() - move["since"] > BOOT_S:
            count = words.few(len(missing), "node")
            says = f"{count} in {move['where']} did not say that they are there for {words.duration(BOOT_S)}"
            call_off(control, deployment, Problem("control/nodes-not-ready", says, hint=_STAYS))
        return
    run = current_run(control, deployment.uid)
    control.bell.ring(WORK)
    with control.store.together():
        control.store.change(deployment, move={**move, "step": "save", "since": control.clock.now()})
        if run is None or run.attempt == 0 or run.stopping is not None:
            return
        grace = GRACE_S["moved"]
        control.store.change(
            run, when={"attempt": run.attempt, "stopping": None, "ended": None}, stopping="moved"
        )
        control.tell(
            deployment,
            "run",
            f"run {run.run} is told to save: it goes on in {move['where']}; it has {words.duration(grace)}",
            run=run.run,
            attempt=run.attempt,
            move="save",
        )
    control.bell.ring(*(node.node for node in control.store.find(Node, uid=deployment.uid, revoked=None)))


def _unheard(control: Control, deployment: Deployment, move: Data, missing: list[str]) -> list[str]:
    """Of nodes that meet control in a bucket: those that have written nothing there yet."""
    from stacks.boot import Store
    from stacks.objects import Unavailable, open_objects

    try:
        objects = open_objects(
            Store.from_data(move["store"]), control.vault.get(operations.env_scope(deployment.uid))
        )
        return [node for node in missing if not objects.list(f"up/{node}/")]
    except (Unavailable, ImportError) as error:
        log.warning("%s: the new bucket cannot be read: %s", deployment.name, error)
        return missing


def _save(control: Control, deployment: Deployment, move: Data) -> None:
    """Wait until nothing runs any more, or its time is over."""
    run = current_run(control, deployment.uid)
    ranks = seats(control, run) if run and run.attempt else ()
    late = control.clock.now() - move["since"] > GRACE_S["moved"] + SLACK_S
    if not all(rank.over for rank in ranks) and not late:
        return
    with control.store.together():
        if run and run.attempt and run.stopping == "moved":
            missed = lost_work(control, deployment, run)
            ledger.lost(control, run, figures.REPEATED, missed)
            control.store.change(
                run, when={"ended": None, "stopping": "moved"}, status="RECOVERING",
                lost_work_s=run.lost_work_s + missed,
            )  # fmt: skip
        control.store.change(deployment, move={**move, "step": "carry", "since": control.clock.now()})
    control.bell.ring(WORK)


def _carry(control: Control, deployment: Deployment, move: Data) -> None:
    """Have the checkpoint copied beside everything else; when it is there, switch over."""
    task = control.carried.get(deployment.uid)
    if task is None:
        places = _places(control, deployment, move)
        if places is None:
            switch(control, deployment, None)
            return
        task = asyncio.create_task(asyncio.to_thread(checkpoints.carry, *places))
        control.carried[deployment.uid] = task
        task.add_done_callback(lambda _: control.bell.ring(WORK, deployment.uid))
        return
    if not task.done():
        return
    del control.carried[deployment.uid]
    error = task.exception()
    if error is None:
        switch(control, deployment, task.result())
        return
    tries = int(move.get("tries") or 0) + 1
    first = error.problems[0] if isinstance(error, Problems) else None
    problem = first or Problem(
        "control/not-carried", f"the checkpoint could not be carried: {error}", hint=_STAYS
    )
    log.warning("%s: carrying its checkpoint failed: %r", deployment.name, error)
    if tries >= TRIES:
        call_off(control, deployment, problem)
        return
    again = control.clock.now() + PAUSE_S
    control.store.change(deployment, move={**move, "tries": tries}, retry_at=again)
    text = f"{problem.message}; trying again in {words.duration(PAUSE_S)}"
    control.tell(deployment, "problem", text, problem=problem.to_data())


def _places(
    control: Control, deployment: Deployment, move: Data
) -> tuple[checkpoints.Place, checkpoints.Place] | None:
    """Where the checkpoint lies and where it goes; None where one of the two keeps none, or both are one."""
    env = control.vault.get(operations.env_scope(deployment.uid))
    old = _kept(control, deployment.spec, store_of(control, deployment))
    new = _kept(control, move["spec"], move.get("store"))
    if old is None or new is None or old == new:
        return None
    return checkpoints.place_of(old, env), checkpoints.place_of(new, env)


def _kept(control: Control, spec: Mapping[str, Any], store: Any) -> Data | None:
    """Where a stack's checkpoint is kept, as stacks.checkpoints.place_of reads it."""
    if (folder := kept_of(control, spec)) is not None:
        return {"folder": str(folder)}
    data = store if isinstance(store, dict) or store is None else store.to_data()
    if data is None or data["kind"] == "pods" or not spec.get("checkpoint"):
        return None
    return {"store": data}


def switch(control: Control, deployment: Deployment, carried: checkpoints.Carried | None) -> None:
    """In one write: the first stack's nodes are out for ever, those of the second are the deployment's."""
    move, now = deployment.move, control.clock.now()
    assert move is not None
    before, run = deployment.place, current_run(control, deployment.uid)
    with control.store.together():
        if carried:
            control.tell(
                deployment,
                "step",
                f"the checkpoint is in {move['where']}: {words.few(carried.files, 'file')},"
                f" {words.size(carried.bytes)}, sha256 {carried.digest[:12]} on both sides",
                move="carry",
                files=carried.files,
                bytes=carried.bytes,
                sha256=carried.digest,
            )
        elif run and run.body.get("checkpoint"):
            control.tell(deployment, "step", "there was no checkpoint to carry", move="carry")
        failover.leave(control, deployment)
        failover.become(
            control,
            deployment,
            {name: value for name, value in move.items() if name not in _PROGRESS},
            applied=StackSpec.from_data(move["spec"]).digest,
            stage="up",
            failures=0,
            retry_at=None,
            problem=None,
            delivered=None,
            tries=failover.close_round(deployment),
        )
        here = control.store.first(Deployment, uid=deployment.uid) or deployment
        share = share_of(here)
        for item in move["nodes"]:
            node = Node(item["id"], here.uid, item["rank"], item["address"], created=now, hourly=share)
            if control.store.add(node):
                ledger.made(control, here, node)
            control.presence.of(item["id"], control.clock.steady())
        if run and run.attempt and run.stopping is None:
            control.store.change(run, when={"ended": None}, stopping="moved", status="RECOVERING")
        control.tell(here, "moved", f"{here.name} moved from {before} to {move['where']}")
    control.bell.ring(WORK, deployment.uid)


_PROGRESS = frozenset({"asked", "step", "since", "nodes", "store", "tries"})
"""What of `move` is about the move and not about the place."""

_STAYS = "it goes on where it was; `skywright status NAME` shows what was refused"


def call_off(control: Control, deployment: Deployment, problem: Problem, made: bool = True) -> None:
    """Stay: what was `made` of the second stack goes, the run goes on with its next attempt where it was."""
    move = deployment.move
    assert move is not None
    told = problem.to_data()
    row = {
        "key": failover.key(move),
        "where": move["where"],
        "market": move["market"],
        "at": control.clock.now(),
        "failure": "other",
        "problem": told,
        "open": not move.get("asked"),
    }
    with control.store.together():
        control.store.change(
            deployment,
            move=None,
            retry_at=None,
            outgoing=move["spec"] if made else None,
            tries=[*deployment.tries, row][-failover.KEPT :],
            problem=told,
        )
        text = f"{deployment.name} stays in {deployment.place}: {problem.message}"
        control.tell(deployment, "problem", text, problem=told, move="off")
    control.bell.ring(WORK, deployment.uid)


def refused(control: Control, deployment: Deployment, problem: Data, made: bool) -> None:
    """The second stack of a move that was asked for could not be made."""
    call_off(control, deployment, Problem.of(problem), made)


def ask(control: Control, deployment: Deployment, wish: Data | str | None, run: Run | None) -> Data:
    """Write down where a person wants the deployment: in a placement (with its policy), in an approved one by its
    name, or (None) in the next approved one. Returns it.

    Raises Problems control/not-up, lock/busy, control/nowhere-to-move, control/same-place, control/checkpoint-stays.
    """
    _may_move(control, deployment)
    here = failover.key(failover.present(deployment))
    if isinstance(wish, dict):
        choice: Data | None = dict(wish)
    else:
        closed = {*failover.refused(deployment), here} if wish is None else {here}
        usable = [one for one in deployment.choices if failover.key(one) not in closed]
        found = (
            one for one in usable if failover.key(one) == wish or (not wish and _elsewhere(deployment, one))
        )
        choice = next(found, None)
    if choice is None:
        says = f"nothing else was approved for `{deployment.name}`"
        raise Problems(Problem("control/nowhere-to-move", says, hint="name a place with `--to CLOUD/REGION`"))
    if not _elsewhere(deployment, choice):
        says = (
            f"`{deployment.name}` has its stack in {deployment.place}, and {choice['where']} is the same one"
        )
        hint = "a stack has one region; within it, `down` and `up --infra CLOUD/REGION/ZONE`"
        raise Problems(Problem("control/same-place", says, hint=hint))
    _checkpoint_can_come(deployment, choice, run)
    names = deployment.spec.get("secrets", ())
    from skywright.control import delivery

    policy = choice.pop("policy", None) or deployment.policy
    choice = {**choice, "spec": delivery.with_names(choice["spec"], names)}
    text = f"{deployment.name} is to move from {deployment.place} to {choice['where']}"
    with control.store.together():
        control.store.change(deployment, move={**choice, "asked": True}, policy=policy, problem=None)
        control.tell(deployment, "accepted", text, to=choice["where"], hourly=choice["hourly"])
    control.bell.ring(WORK, deployment.uid)
    return choice


def _elsewhere(deployment: Deployment, choice: Mapping[str, Any]) -> bool:
    return bool(choice["spec"]["stack"] != deployment.spec["stack"])


def _may_move(control: Control, deployment: Deployment) -> None:
    if deployment.wanted != "up" or deployment.stage != "up" or deployment.applied is None:
        says = f"`{deployment.name}` has no nodes that could move"
        raise Problems(Problem("control/not-up", says, hint="`skywright status` shows how it is"))
    busy = deployment.move is not None or deployment.outgoing is not None
    if busy or deployment.applied != deployment.digest or operations.unfinished(control, deployment.uid):
        hint = "try again when that has ended"
        raise Problems(Problem("lock/busy", f"an operation of `{deployment.name}` is under way", hint=hint))


def _checkpoint_can_come(deployment: Deployment, choice: Mapping[str, Any], run: Run | None) -> None:
    """Volumes of clusters are of their cluster."""
    clouds = {deployment.cloud, choice["spec"]["cloud"]}
    if "kubernetes" in clouds and run and run.body.get("checkpoint"):
        raise Problems(
            Problem(
                "control/checkpoint-stays",
                f"the checkpoint of `{deployment.name}` is kept in a volume of a cluster, which nothing else reaches",
                hint="copy it to a bucket that the task mounts, then `down` and `up` in the other place",
            )
        )
