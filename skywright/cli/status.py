"""`status` and `queue`: what there is, how it is, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.down import storage_after
from skywright.cli.foundation import look, say_stands
from skywright.cli.launch import connect, never_used
from skywright.cli.live import progress_text
from skywright.cli.names import pick

if TYPE_CHECKING:
    from skywright.control.client import Client
    from stacks.standing import Standing

EVENTS = 8
"""Last events that `status NAME` shows."""

MOVING = {
    "make": "a second stack is made there",
    "boot": "its nodes there are waited for",
    "save": "the task saves",
    "carry": "the checkpoint is carried over",
}
"""How far a move is (docs/move.md)."""

COLOURS = {
    "running": screen.GREEN,
    "idle": screen.GREY,
    "failed": screen.RED,
    "degraded": screen.YELLOW,
    "blocked": screen.YELLOW,
}


def run(values: Values) -> int:
    """Both verbs."""
    client = None if never_used() else connect()
    refresh = values.verb == "status" and bool(values.refresh)
    living = client.deployments(refresh) if client else []
    shown = pick(living, values.names) if values.names else living
    if values.verb == "queue":
        return _queue(values, client, shown)
    stands = standing() if client and not values.names and not values.ip else ()
    if values.json:
        screen.data({"deployments": shown, "foundations": [one.to_data() for one in stands]})
    elif values.ip:
        for deployment in shown:
            for node in deployment["nodes"][:1]:
                screen.out(str(node["address"]))
    elif client is None or not shown:
        screen.out("no deployments")
        screen.say(f"start one: {screen.PROGRAM} up FILE")
    elif values.names and len(shown) == 1:
        _one(shown[0], client)
    else:
        _all(shown, wide=bool(values.verbose))
    for one in stands if not values.json else ():
        if not one.users:
            screen.say(say_stands(one))
    return int(Exit.FINE)


def standing() -> tuple[Standing, ...]:
    """Networks that stand, as far as that is told at once; a backend that refuses hides no deployment."""
    try:
        return look(ask=False)
    except Problems:
        return ()


def _all(shown: list[dict[str, Any]], *, wide: bool) -> None:
    head = ["NAME", "STATE", "NODES", "WHERE", "UP", "$/H", "SPENT", "LAST EVENT"]
    rows = []
    for one in shown:
        where = f"{one['where']} {one['market']}" if one["market"] == "spot" else one["where"]
        where += f" -> {one['moving_to']}" if one.get("moving_to") else ""
        rows.append(
            [
                one["name"],
                state_of(one),
                f"{len(one['nodes'])}/{one['nodes_wanted']}",
                where,
                screen.span(one["up_s"]) if one["up_s"] else "-",
                _amount(one["hourly"]),
                _amount(one["spent"]),
                _last(one),
            ]
        )
    if wide:
        head.insert(1, "PROJECT")
        for row, one in zip(rows, shown, strict=True):
            row.insert(1, one["project"])
    screen.show_table(head, rows, right=tuple(head.index(name) for name in ("NODES", "$/H", "SPENT")))


def state_of(one: dict[str, Any]) -> str:
    """The state; of an idle one also how its last run ended."""
    run = one.get("run")
    if one["state"] == "idle" and run and run["status"] in ("FAILED", "FAILED_SETUP", "CANCELLED"):
        return f"idle, {run['status'].replace('_', ' ').lower()}"
    return str(one["state"])


def _amount(amount: float | None) -> str:
    return screen.money(amount).removeprefix("$")


def _last(one: dict[str, Any]) -> str:
    run = one.get("run")
    progress = progress_text(run.get("progress"), width=0) if run and one["state"] == "running" else ""
    event = one.get("last_event")
    if progress:
        return progress
    return f"{screen.ago(event['at'])}  {event['text']}" if event else "-"


def _one(one: dict[str, Any], client: Client) -> None:
    state = screen.paint(state_of(one), COLOURS.get(one["state"], ""))
    screen.out(f"{screen.paint(one['name'], screen.BOLD)}  {state}")
    place = (
        f"{one['where']} {one['market']}, {len(one['nodes'])} of {screen.plural(one['nodes_wanted'], 'node')}"
    )
    screen.out(f"  where    {place}, project {one['project']}")
    cost = f"{screen.money(one['hourly'])}/h, {screen.money(one['spent'])} so far"
    screen.out(f"  up       {screen.span(one['up_s'])}, {cost}")
    for label, text in _money(one):
        screen.out(f"  {label.ljust(8)} {text}")
    screen.out(f"  ends     {_ends(one)}")
    if one.get("moving_to") or one.get("leaving"):
        to, leaving = one.get("moving_to"), one.get("leaving")
        doing = MOVING.get(one.get("moving") or "", "")
        parts = (to and f"{one['where']} -> {to}: {doing}", leaving and f"removing {leaving}")
        screen.out(f"  moves    {', '.join(part for part in parts if part)}")
    for tried in (one.get("tries") or ())[-3:]:
        screen.out(
            f"  refused  {screen.ago(tried['at'])}  {tried['where']}: {screen.printable(tried['reason'])}"
        )
    if one.get("blocked"):
        screen.out(f"  blocked  {screen.printable(one['blocked'])}")
    run = one.get("run")
    if run:
        screen.out(f"  run {run['run']}    {_run_text(run)}")
        progress = progress_text(run.get("progress"))
        if progress:
            screen.out(f"           {progress}")
    if one.get("kept"):
        kept = one["kept"]
        screen.out(
            f"  kept     {kept['path']}: {screen.plural(kept['files'], 'file')}, {screen.size(kept['bytes'])}"
        )
    for kind in storage_after(one):
        screen.out(f"  kept     {kind.what}: {kind.says}")
    if one["nodes"]:
        screen.out("")
        phases = {rank["rank"]: rank["phase"] for rank in (run or {}).get("ranks", ())}
        rows = [
            [
                str(node["rank"]),
                node["node"],
                node["address"],
                node["state"],
                str(phases.get(node["rank"], "-")),
                screen.size(node.get("memory_bytes")),
            ]
            for node in one["nodes"]
        ]
        screen.show_table(["RANK", "NODE", "ADDRESS", "STATE", "PHASE", "MEMORY"], rows, right=(0, 5))
    _events(one["name"], client)
    if one.get("problem"):
        screen.out("")
        screen.problem(Problem.of(one["problem"]))


def _money(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is to say of money beside the sum, with its label."""
    from skywright.cli.cost import line

    figures, budget = one.get("figures"), one.get("budget")
    if figures and figures["spent"] and (parts := line(figures)[1:]):
        yield "money", " · ".join(parts)
    if budget:
        yield "budget", f"{screen.money(budget['usd'])}, {one['spent'] / budget['usd']:.0%} spent"


def _events(name: str, client: Client) -> None:
    after, events = 0, []
    while (answer := client.follow(name, after, 0))["events"]:
        events += answer["events"]
        after = answer["next"]
    events = [event for event in events if event["data"].get("type") != "step" and not _begins(event)]
    if events:
        screen.out("")
        for event in events[-EVENTS:]:
            screen.out(f"  {screen.ago(event['at']).rjust(16)}  {screen.printable(event['text'])}")


def _begins(event: dict[str, Any]) -> bool:
    return bool(event["kind"] == "resource" and event["data"].get("status") == "started")


def _ends(one: dict[str, Any]) -> str:
    if one["wanted"] == "gone":
        return "being removed"
    autostop = one.get("autostop")
    if not autostop:
        return f"never by itself: {screen.PROGRAM} down {one['name']}"
    verb = "removed" if autostop["down"] else "stopped"
    text = f"{verb} after {screen.span(autostop['idle_s'])} without a run"
    if one.get("idle_s") is not None:
        text += f", in {screen.span(max(0.0, autostop['idle_s'] - one['idle_s']))}"
    return text


def _run_text(run: dict[str, Any]) -> str:
    from skywright.cli.follow import ENDED, ending

    if run["status"] in ENDED:
        return f"{run['name']}: {ending(run)}"
    text = f"{run['name']}: {run['status'].replace('_', ' ').lower()}"
    if run["attempt"] > 1:
        text += f", attempt {run['attempt']}"
    return text


def _queue(values: Values, client: Client | None, shown: list[dict[str, Any]]) -> int:
    from skywright.cli.follow import ENDED

    runs: list[dict[str, Any]] = []
    for deployment in shown:
        found = client.runs(deployment["name"]) if client else []
        runs += [{"deployment": deployment["name"], **run} for run in found]
    if values.skip_finished:
        runs = [run for run in runs if run["status"] not in ENDED]
    if values.json:
        screen.data({"runs": runs})
        return int(Exit.FINE)
    if not runs:
        screen.out("no runs")
        return int(Exit.FINE)
    rows = [
        [
            run["deployment"],
            str(run["run"]),
            run["name"],
            screen.ago(run["submitted"]),
            screen.span(run["ended"] - run["started"]) if run["ended"] and run["started"] else "-",
            run["status"],
            "" if run["exit_code"] is None else f"exit {run['exit_code']}",
        ]
        for run in sorted(runs, key=lambda run: (run["deployment"], -run["run"]))
    ]
    screen.show_table(["DEPLOYMENT", "RUN", "NAME", "SUBMITTED", "TOOK", "STATUS", ""], rows, right=(1,))
    return int(Exit.FINE)
