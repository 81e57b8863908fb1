"""`move`: a living deployment goes to another place; what it costs is said, and asked outside of what was approved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import policy, screen
from skywright.cli.arguments import Values
from skywright.cli.follow import waits_for_login
from skywright.cli.launch import connect, ready_engine, timeline_end
from skywright.cli.names import pick
from skywright.cli.settings import cloud_env
from skywright.cli.taskfile import Entry

if TYPE_CHECKING:
    from compiler.task import Requirements, Task
    from skywright.control.client import Client

WAIT_S = 20.0
USED_GB = 200.0
"""What is taken to have left a cloud already in a month: egress is told without what is free of it."""


def run(values: Values) -> int:
    """Find the place, say what it costs, ask where nobody approved it, move, and follow."""
    client = connect()
    name = pick(client.deployments(), [values.name])[0]["name"]
    found = client.deployment(name)
    wish: dict[str, Any] | str | None
    wish, place = _approved(found, values.to)
    if place is None and values.to:
        wish = place = _planned(found, values.to, name)
    if place is not None and not values.json:
        _say(found, place)
    if isinstance(wish, dict) and not _agreed(name, wish, yes=bool(values.yes)):
        screen.say("nothing was changed")
        return int(Exit.POLICY)
    ready_engine(quiet=bool(values.json))
    after = timeline_end(client, name)
    clouds = {*found["clouds"], *({place["cloud"]} if place else ())}
    told = client.move(name, wish, cloud_env(clouds=clouds))
    ended = None if values.detach else follow(client, name, after)
    there = ended is not None and ended["where"] == told["where"]
    if ended is not None and not there:
        raise Problems(Problem.of(ended["problem"]) if ended["problem"] else _stayed(name, ended))
    if values.json:
        screen.data({**told, "moved": there})
    else:
        mark = screen.paint("✔", screen.GREEN)
        screen.say(f"{mark} {name} {'is in' if there else 'is to move to'} {told['where']}")
    return int(Exit.FINE)


def _stayed(name: str, ended: dict[str, Any]) -> Problem:
    says = f"`{name}` did not move: it is {ended['state']} in {ended['where']}"
    return Problem("control/not-carried", says, hint=f"`{screen.PROGRAM} status {name}` tells more")


def _approved(found: dict[str, Any], to: str | None) -> tuple[str | None, dict[str, Any] | None]:
    """The name of the approved placement that is meant, and what it is; nothing when none is."""
    wanted = _parts(to) if to else ()
    here = (found["spec"]["cloud"], found["spec"].get("region"))
    for one in found["choices"]:
        place = (one["cloud"], one["region"], one["zone"])
        if place[:2] != here and place[: len(wanted)] == wanted:
            return f"{one['where']} {one['market']}", one
    return None, None


def _parts(to: str) -> tuple[str, ...]:
    """`aws/us-west-2` as a cloud, a region and a zone. Raises Problems usage/flag-value."""
    from compiler.catalog import clouds

    parts = [part.strip() for part in to.strip("/").split("/")]
    if not 0 < len(parts) < 4 or "" in parts or "*" in parts:
        says = f"`--to {to}` is not a cloud with region and zone"
        raise Problems(Problem("usage/flag-value", says, hint="for example `--to aws/us-west-2`"))
    return (clouds.canonical(parts[0]), *parts[1:])


def _planned(found: dict[str, Any], to: str, name: str) -> dict[str, Any]:
    """The task of the deployment planned there: a placement with its stack and its policy. Raises Problems of plans."""
    from compiler.spec import StackSpec
    from compiler.task import Task
    from skywright import config
    from skywright.cli.order import gpus_per_node
    from skywright.cli.planning import make_plan, make_spec, recent_losses, settled
    from skywright.cli.rates import rates
    from stacks.rules.ordered import Asked, key

    task = _there(Task.from_data(found["task"]), _parts(to))
    folder = Path(task.file).expanduser().absolute().parent
    entry = Entry(task, name, True, config.read(folder if folder.is_dir() else None))
    plan = make_plan(entry, secrets=False, avoid=recent_losses())
    policy.gate(entry, plan)
    chosen, now = plan.chosen, StackSpec.from_data(found["spec"])
    spec = make_spec(entry, chosen, found["project"])
    # Its nodes are judged too while they live, and after a move that did not come off.
    both = policy.policy_of(entry, plan).asking(now, Asked(key(now), hourly=found["hourly"]))
    offer = chosen.offer
    return {
        "spec": spec.to_data(),
        "where": offer.where,
        "market": offer.market.value,
        "hourly": chosen.hourly,
        "gpus_per_node": gpus_per_node(settled(task, chosen)),
        "rates": rates(plan, chosen),
        "policy": both.to_data(),
        "cloud": offer.cloud,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
    }


def _there(task: Task, parts: tuple[str, ...]) -> Task:
    """The task with every alternative in that place."""
    cloud, region, zone = (*parts, None, None)[:3]

    def moved(one: Requirements) -> Requirements:
        return replace(one, cloud=cloud, region=region, zone=zone)

    others = tuple(moved(one) for one in task.alternatives)
    return replace(task, requirements=moved(task.requirements), alternatives=others)


def _say(found: dict[str, Any], place: dict[str, Any]) -> None:
    """From where to where, what an hour costs more or less, and what carrying the checkpoint costs."""
    from compiler.catalog import tariffs

    more = place["hourly"] - found["hourly"]
    change = f"{'+' if more >= 0 else '-'}{screen.money(abs(more))}/h" if more else "the same price"
    text = (
        f"▶ {found['name']}: {found['where']} -> {place['where']} {place['instance_type']}  {place['market']}"
    )
    screen.say(f"{text}  {screen.money(place['hourly'])}/h ({change})")
    spec = found["spec"]
    source, target = (spec["cloud"], spec.get("region")), (place["cloud"], place["region"])
    price = tariffs.egress(1, source, target, USED_GB)
    kept = found.get("kept")
    if price and kept:
        size = kept["bytes"] / 1e9
        screen.say(f"  egress: {screen.money(price * size)} for a checkpoint of {screen.size(kept['bytes'])}")
    elif price:
        screen.say(f"  egress: {screen.money(price)} for each GB of checkpoint")


def _agreed(name: str, wish: dict[str, Any], *, yes: bool) -> bool:
    """A place that nobody approved is asked about, whatever it costs."""
    screen.say(f"  {wish['where']} is not among the places that were approved for {name}")
    without = f"`{name}` would move to {wish['where']}, which was not approved"
    return screen.confirm("Move it there?", yes=yes, without=without)


def follow(client: Client, name: str, after: int) -> dict[str, Any]:
    """Show what happens until nothing of the move is left; the deployment as it is then."""
    from skywright.cli.live import display

    shown, wait_s = display(), 0.0
    try:
        while True:
            answer = client.follow(name, after, wait_s)
            after, wait_s = answer["next"], WAIT_S
            for event in answer["events"]:
                shown.event(event)
            deployment: dict[str, Any] = answer["deployment"]
            moving = deployment["moving_to"] or deployment["leaving"]
            if not moving or deployment["wanted"] != "up" or waits_for_login(deployment):
                return deployment
            shown.tick()
    finally:
        shown.close()
