"""Bakes a node image in a cloud: a machine runs the recipe, an image is made of it, the catalog learns of it.

Every step is an engine operation on one small stack, and what is to be done next stands in a file before it is done:
`bake` again goes on where it was cut off.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.catalog.images import BAKED, Image
from compiler.offer import Market
from compiler.problem import Problem, Problems
from compiler.spec import Given, StackSpec

if TYPE_CHECKING:
    from stacks.cloud import NodeFacts

LONGEST_S = 3600.0
"""Longest that a machine may take for the recipe."""
POLL_S = 5.0

MACHINES = {
    ("aws", "x86_64"): "m6i.large",
    ("aws", "arm64"): "m6g.large",
    ("gcp", "x86_64"): "e2-standard-2",
    ("azure", "x86_64"): "Standard_D2s_v5",
}
"""What runs the recipe: no accelerator is needed to install programs beside its driver."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """Which image is wanted: in `region` of `cloud`, made of `base`."""

    cloud: str
    region: str
    zone: str | None
    base: Image
    project: str
    owner: str
    given: Given
    instance_type: str | None = None
    disk_gb: float | None = None


def spec(order: Order, agent: str) -> StackSpec:
    """The stack that makes it. Raises Problems cloud/cannot-bake where no machine is known that could."""
    from stacks import cloud
    from stacks.image import recipe

    known = order.instance_type or MACHINES.get((order.cloud, order.base.arch))
    if known is None:
        says = f"no machine of `{order.cloud}` is known that bakes images for {order.base.arch}"
        raise Problems(Problem("cloud/cannot-bake", says, hint="name one: `--instance-type TYPE`"))
    total = hashlib.sha256(f"{recipe.digest(agent)} {order.base.id}".encode()).hexdigest()[:10]
    kind = (order.base.drives or "cpu").lower()
    name = f"{BAKED}{kind}-{order.base.arch.replace('_', '-')}-{total}"
    ours = cloud(order.cloud).FOUNDATION and order.given.network is None
    return StackSpec(
        project=order.project,
        stack=f"image-{order.cloud}-{order.region}-{total}",
        deployment=name,
        cloud=order.cloud,
        instance_type=known,
        market=Market.ON_DEMAND,
        nodes=1,
        agent=agent,
        region=order.region,
        zone=order.zone,
        disk_gb=order.disk_gb,
        owner=order.owner,
        image=order.base.id,
        network=f"skywright-{order.project}" if ours else None,
        bake={"name": name, "stage": "machine"},
        given=order.given,
    )


def bake(wanted: StackSpec, base: Image, env: Mapping[str, str], tell: Tell) -> Image:
    """Make it, or go on making it; the image as the catalog has it then. Raises Problems."""
    from stacks.home import home, read_json, write_json

    assert wanted.bake is not None
    notes = home() / "bakes" / f"{wanted.stack}.json"
    notes.parent.mkdir(mode=0o700, exist_ok=True)
    found: Mapping[str, str] = read_json(notes) or {}
    stage, node, image = found.get("stage", "machine"), found.get("node", ""), found.get("image", "")

    def go_on(stage: str, node: str = "", image: str = "") -> StackSpec:
        write_json(notes, {"stage": stage, "node": node, "image": image})
        return at(wanted, stage, node if stage != "machine" else "")

    if stage == "machine":
        tell(f"machine {wanted.instance_type} in {wanted.region}: it runs the recipe, then stops")
        lost = (node,) if node and _seen(wanted, node) is None else ()
        result = operate(go_on("machine", node), "up", env, lost)
        node = result["nodes"][0]["id"]
        go_on("machine", node)
        _stopped(wanted, node)
        stage = "image"
    if stage == "image":
        tell(f"image of {node}")
        go_on("image", node)
        _generalised(wanted, node)
        image = operate(go_on("image", node), "up", env)["image"]
        stage = "kept"
    tell("the machine goes")
    operate(go_on("kept", node, image), "up", env)
    made = replace(
        base,
        name=wanted.bake["name"],
        region=wanted.region,
        id=image,
        kind="id",
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        source=f"baked of {base.name} {base.id}",
    )
    learn(made)
    notes.unlink()
    return made


def at(wanted: StackSpec, stage: str, node: str = "") -> StackSpec:
    """The stack in one stage."""
    assert wanted.bake is not None
    more = {"node": node} if node else {}
    return replace(wanted, bake={"name": wanted.bake["name"], "stage": stage, **more})


def operate(
    wanted: StackSpec, kind: str, env: Mapping[str, str], lost: tuple[str, ...] = ()
) -> dict[str, Any]:
    """One operation, whose parent we are; its result. Raises the operation's Problems."""
    import secrets

    from skywright import config
    from stacks import operate as operations
    from stacks.home import home
    from stacks.rules.policy import Policy

    folder: Path = home() / "bakes" / f"{wanted.stack}-{secrets.token_hex(4)}"
    try:
        policy = Policy(config.read().policy.statements).to_data()
        request = operations.Request(folder.name, operations.Kind(kind), wanted, lost, env, policy=policy)
        operations.start(request, folder)
        while operations.running(folder):
            time.sleep(0.05)
        result = operations.result(folder)
        if result is None:
            output = (folder / "output.txt").read_text(errors="replace")
            raise RuntimeError(f"the operation ended without a result:\n{output[-4000:]}")
    finally:
        operations.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
    if not result["ok"]:
        raise Problems(Problem.of(result["problem"]))
    return result


def _seen(wanted: StackSpec, node: str) -> NodeFacts | None:
    from stacks import cloud
    from stacks.cloud import Scope

    found = cloud(wanted.cloud).inventory(wanted.project, Scope.of(wanted))
    return next((one for one in found if one.node == node), None)


def _stopped(wanted: StackSpec, node: str) -> None:
    """Wait until the machine has stopped, which it does when the recipe has ended well. Raises Problems."""
    until = time.monotonic() + LONGEST_S
    while True:
        found = _seen(wanted, node)
        if found and found.stopped:
            return
        hint = "its console in the cloud says why; `bake` again goes on"
        if found is None:
            says = f"the machine {node} is gone before it was an image"
            raise Problems(Problem("cloud/bake-failed", says, hint=hint))
        if time.monotonic() > until:
            says = f"the recipe did not end on {node} within {LONGEST_S / 60:.0f} min"
            raise Problems(Problem("cloud/bake-failed", says, hint=hint))
        time.sleep(POLL_S)


def _generalised(wanted: StackSpec, node: str) -> None:
    """Where the cloud has to be told that the machine is one to make images of."""
    from stacks import cloud
    from stacks.cloud import Scope

    if tell := getattr(cloud(wanted.cloud), "generalise", None):
        tell(node, Scope.of(wanted))


def learn(made: Image) -> None:
    """A new snapshot of the catalog that has the image, from now on in use."""
    from compiler.catalog import build, contents
    from skywright import snapshots

    last = snapshots.current()
    catalog = snapshots.opened(last)
    rows = [row for cloud in catalog.clouds for row in contents.rows(catalog, cloud)]
    others = [one for one in contents.images(catalog) if (one.name, one.region) != (made.name, made.region)]
    content = build.packed(rows, date=last.date, dropped={}, images=[made, *others], preset=1)
    known = snapshots.Snapshot(
        hashlib.sha256(content).hexdigest(),
        last.date,
        len(rows),
        last.clouds,
        f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        f"{last.source}; with {made.name} in {made.region}",
    )
    snapshots.keep(content, known, use=True)
