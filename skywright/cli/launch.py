"""`up` (`launch`): load, plan, ask when it costs, have an engine, hand the order to control, follow."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from compiler.problem import Exit, Problems
from skywright.cli import policy, screen, settings
from skywright.cli.arguments import Values
from skywright.cli.order import make_order, send_files
from skywright.cli.planning import make_plan, make_spec, recent_losses
from skywright.cli.sources import check_local
from skywright.cli.taskfile import Entry, read_entry

if TYPE_CHECKING:
    from compiler.plan import Plan
    from skywright.cli.living import Living
    from skywright.control.client import Client

ALTERNATIVES = 2


def run(values: Values) -> int:
    """Launch one task file or command."""
    from skywright.cli import living

    if values.given.get("approved"):
        from skywright.cli.approving import apply

        return apply(values)
    entry = read_entry(values, values.entry, values.cluster_name)
    check_local(entry.task)
    plan = make_plan(entry, now=time.time(), by_time=values.minimize == "time", avoid=recent_losses())
    there = (
        None if never_used() else living.look(connect(), entry, entry.name, values, plan.chosen.requirements)
    )
    if values.dryrun:
        from skywright.cli.preview import show

        return show(values, entry, plan, there)
    if not values.json:
        living.say_kept(there, entry) if there and there.fits else show_plan(entry, plan)
        policy.warn(entry, plan)
    if there and not living.agreed(there, entry, yes=bool(values.yes)):
        screen.say("nothing was changed")
        return int(Exit.POLICY)
    if not (plan.chosen.free or (there and there.fits)) and not _agreed(values, entry, plan, there):
        return int(Exit.POLICY)
    ready_engine(quiet=bool(values.json))
    policy.gate(entry, plan, there)
    return follow(values, entry, *order(values, entry, plan, there))


def order(values: Values, entry: Entry, plan: Plan, there: Living | None) -> tuple[int, int]:
    """Hand it to control; the number of the accepted run, and the number of the last event before it."""
    client = connect()
    spec = make_spec(entry, plan.chosen, settings.project())
    files = send_files(entry.task, client, screen.say)
    after = timeline_end(client, entry.name)
    accepted = client.launch(make_order(entry, plan, spec, values, files, there))
    return accepted["run"], after


def follow(values: Values, entry: Entry, number: int, after: int) -> int:
    """The accepted run to its end; the exit code."""
    return after_acceptance(values, entry.name, number, entry.task.num_nodes, after)


def timeline_end(client: Client, name: str) -> int:
    """The number of the last event of a living deployment: what comes after it belongs to what we ask now."""
    try:
        if client.deployment(name)["state"] == "gone":
            return 0
        after = 0
        while (answer := client.follow(name, after, 0))["events"]:
            after = answer["next"]
        return after
    except Problems:
        return 0


def connect() -> Client:
    """Control, started when it is absent."""
    from skywright.control.client import Client
    from stacks.home import home

    settings.check_port()
    return Client.connect(home())


def never_used() -> bool:
    """Whether nothing was ever launched from this home: then there is no need to start control to ask it."""
    from skywright.config import own_store
    from stacks.home import home

    folder = home() / "control"
    return not ((folder / "control.db").exists() or (folder / "control.json").exists() or own_store(home()))


def ready_engine(*, quiet: bool) -> None:
    """Make sure that there is an engine; what takes long is told."""
    from stacks import install

    def tell(text: str) -> None:
        if not quiet:
            screen.say(f"  {text}")

    install.ensure(tell)


def after_acceptance(values: Values, name: str, number: int, ranks: int, after: int) -> int:
    """Detach, or follow the run to its end. The task's output goes to stdout (with --json to stderr)."""
    if values.detach:
        if values.json:
            screen.data({"name": name, "run": number})
        else:
            screen.say(f"{name}: run {number} accepted")
            screen.say(f"  follow: {screen.PROGRAM} logs {name} {number}   all: {screen.PROGRAM} status")
        return int(Exit.FINE)
    from skywright.cli.follow import Follower, settle

    stream = sys.stderr.buffer if values.json else None
    return settle(
        Follower(connect, name, number, ranks, after=after, stream=stream), as_data=bool(values.json)
    )


def show_plan(entry: Entry, plan: Plan) -> None:
    """The chosen row bright, two alternatives grey, and how many more there are."""
    nodes = screen.plural(entry.task.num_nodes, "node")
    say: Callable[[str], None] = screen.say
    for number, placement in enumerate(plan.placements[: 1 + ALTERNATIVES]):
        offer = placement.offer
        price = f"{screen.money(placement.hourly)}/h"
        if placement.free:
            price = "reserved" if offer.reserved else "free"
        text = f"{offer.where} {offer.instance_type}  {offer.market.value}  {price}"
        if number == 0:
            say(screen.paint(f"▶ {entry.name}: {nodes} on {text}", screen.BOLD, sys.stderr))
        else:
            say(screen.paint(f"  {text}", screen.GREY, sys.stderr))
    more = len(plan.placements) - 1 - ALTERNATIVES
    if more > 0:
        text = f"  … {more} more: {screen.PROGRAM} explain {entry.task.file}"
        say(screen.paint(text, screen.GREY, sys.stderr))


def _agreed(values: Values, entry: Entry, plan: Plan, there: Living | None) -> bool:
    from skywright.cli.preview import say

    hourly = screen.money(plan.chosen.hourly)
    if values.yes:
        return True
    if screen.asks() and say(values, entry, plan, there).denied:
        screen.say("refused by policy: nothing was created")
        return False
    agreed = screen.confirm("Go ahead?", yes=False, without=f"`{entry.name}` would cost {hourly}/h")
    if not agreed:
        screen.say("nothing was created")
    return agreed
