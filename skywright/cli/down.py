"""`down`: removes deployments and waits until they are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.follow import waits_for_login
from skywright.cli.foundation import say_stands
from skywright.cli.launch import connect, timeline_end
from skywright.cli.names import confirm_many, meant, sorted_out

if TYPE_CHECKING:
    from skywright.control.client import Client
    from stacks.cloud import Idle
    from stacks.standing import Standing

WAIT_S = 20.0


def run(values: Values) -> int:
    """Begin with all, then follow each to its end."""
    client = connect()
    refused: list[Problem] = []
    if values.names and not values.all:
        found, refused = sorted_out(client.deployments(), values.names)
    else:
        found = meant(client, values.names, everything=bool(values.all), verb="down")
    if not confirm_many(found, values.names, yes=bool(values.yes), doing="remove", always=True):
        return int(Exit.FINE)
    if values.purge and not _purge_agreed(found, yes=bool(values.yes)):
        return int(Exit.FINE)
    before = {deployment["name"]: timeline_end(client, deployment["name"]) for deployment in found}
    for name in before:
        client.down(name, bool(values.purge))
    if not found and not refused and not values.json:
        screen.say("nothing to remove")
    results = []
    for name, after in before.items():
        if values.detach:
            results.append({"name": name, "state": "removing", "kept": None, "left": []})
            continue
        ended, left = _wait(client, name, after, purge=bool(values.purge))
        stands = stands_after(ended)
        results.append(
            {
                "name": name,
                "state": ended["state"],
                "kept": ended["kept"],
                "stands": stands.to_data() if stands else None,
                "storage": [one.what for one in storage_after(ended)],
            }
        )
        if ended["state"] != "gone" and ended["problem"]:
            refused.append(Problem.of(ended["problem"]))
        elif not values.json:
            _say(ended, purge=bool(values.purge))
            _say_left(left)
    if refused:
        raise Problems(refused)
    if values.json:
        screen.data({"deployments": results})
    return int(Exit.FINE)


def _purge_agreed(found: list[dict[str, Any]], *, yes: bool) -> bool:
    """Checkpoints are somebody's work: ask before they go with their deployment."""
    kept = [deployment["kept"]["path"] for deployment in found if deployment["kept"]]
    if not kept:
        return True
    listed = ", ".join(kept)
    return screen.confirm(f"delete {listed} too?", yes=yes, without=f"--purge would delete {listed}")


def _wait(
    client: Client, name: str, after: int, *, purge: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Follow until it is gone, or until removing it failed (then whole nodes are wanted as before); and what a purge
    may have left, by stack."""
    from skywright.cli.live import display

    shown = display()
    begun = False
    left: list[dict[str, Any]] = []
    try:
        while True:
            answer = client.follow(name, after, WAIT_S if begun else 0)
            after = answer["next"]
            for event in answer["events"]:
                shown.event(event)
                if event["kind"] == "left":
                    left.append(event["data"]["left"])
            deployment: dict[str, Any] = answer["deployment"]
            waits = waits_for_login(deployment) and not purge
            if waits or deployment["state"] in ("gone", "failed") or deployment["wanted"] == "up":
                return deployment, left
            begun = True
            shown.tick()
    finally:
        shown.close()


def _say_left(left: list[dict[str, Any]]) -> None:
    """What nobody could show to be gone: what it was, and how to find it."""
    for one in left:
        screen.say("  may be left, and may cost:")
        for thing in one["things"]:
            screen.say(screen.printable(f"    {thing['resource']}  {thing['kind']}  {thing['id']}"))
        tags = ", ".join(f"{key}={value}" for key, value in one["tags"].items())
        if tags:
            screen.say(screen.printable(f"  all of it has the tags {tags}"))
        for command in one["commands"]:
            screen.say(screen.printable(f"    {screen.called(command)}"))


def stands_after(deployment: dict[str, Any]) -> Standing | None:
    """What its place keeps when it is gone."""
    from compiler.spec import StackSpec
    from stacks.standing import standing

    made = StackSpec.from_data(deployment["spec"]).foundation if deployment.get("spec") else None
    return standing(made) if made else None


def storage_after(deployment: dict[str, Any]) -> tuple[Idle, ...]:
    """What of it the cloud keeps when it is gone, for its checkpoint folder."""
    from compiler.spec import StackSpec
    from stacks import cloud
    from stacks.boot import Store

    spec = StackSpec.from_data(deployment["spec"]) if deployment.get("spec") else None
    kept = getattr(cloud(spec.cloud), "kept", None) if spec and spec.checkpoint else None
    stores = [Store.from_data(one) for one in deployment.get("stores") or ()] if kept else []
    return tuple(kept(spec, stores)) if kept else ()


def _say(deployment: dict[str, Any], *, purge: bool) -> None:
    name, kept = deployment["name"], deployment["kept"]
    screen.say(
        f"{screen.paint('✔', screen.GREEN)} {name} is gone · {screen.money(deployment['spent'])} in all"
    )
    if kept and not purge:
        files = f"{screen.plural(kept['files'], 'file')}, {screen.size(kept['bytes'])}"
        screen.say(f"  kept: {kept['path']} ({files})")
    for kind in storage_after(deployment):
        screen.say(f"  kept: {kind.what}: {kind.says}")
    if one := stands_after(deployment):
        screen.say(f"  {say_stands(one)}")
