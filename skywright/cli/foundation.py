"""`foundation`: the networks that deployments of one place share: which stand, what they cost, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen, settings
from skywright.cli.arguments import Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stacks.standing import Standing

ACTIONS = ("ls", "down")


def run(values: Values) -> int:
    """List them, or remove those that nothing uses."""
    if values.action not in ACTIONS:
        hint = f"foundation {' | foundation '.join(ACTIONS)}"
        raise Problems(Problem("usage/unknown-action", f"`foundation` knows no `{values.action}`", hint=hint))
    found = _chosen(look(ask=True), values.places)
    if values.action == "down":
        return _down(values, found)
    if values.json:
        screen.data({"foundations": [one.to_data() for one in found]})
    elif not found:
        screen.out("no foundations: nothing stands in any cloud without a deployment")
    else:
        rows = [
            [one.where, one.foundation.name, str(len(one.users)), f"{screen.money(one.monthly)} a month"]
            for one in found
        ]
        screen.show_table(["PLACE", "NETWORK", "USED BY", "COSTS"], rows, right=(2,))
        for one in found:
            for each in one.idle:
                screen.say(f"  {each.what}: {each.says}")
        screen.say(f"remove one: {screen.PROGRAM} foundation down {found[0].where}")
    return int(Exit.FINE)


def look(*, ask: bool) -> tuple[Standing, ...]:
    """The foundations of this project; with `ask` False only as far as a folder tells."""
    from skywright import config
    from stacks import CLOUDS, standing

    env = settings.engine_env(clouds=tuple(CLOUDS))
    return standing.foundations(env, settings.project(), config.read().given, ask=ask)


def _chosen(found: Sequence[Standing], places: Sequence[str]) -> list[Standing]:
    """Those that are named, or all. Problems control/no-such-foundation."""
    there = {one.where: one for one in found}
    unknown = [place for place in places if place not in there]
    if unknown:
        hint = f"there are: {', '.join(there)}" if there else "there is none at all"
        raise Problems(
            Problem("control/no-such-foundation", f"no foundation stands in `{place[:60]}`", hint=hint)
            for place in unknown
        )
    return [there[place] for place in places] if places else list(found)


def _down(values: Values, found: Sequence[Standing]) -> int:
    used = [one for one in found if one.users]
    if used and values.places:
        raise Problems(_used(one) for one in used)
    going = [one for one in found if not one.users]
    if going:
        names = ", ".join(one.where for one in going)
        says = f"the network of {names} would be removed"
        if not screen.confirm(f"remove the network of {names}?", yes=bool(values.yes), without=says):
            return int(Exit.FINE)
    for one in going:
        _remove(one, quiet=bool(values.json))
    if values.json:
        screen.data(
            {"removed": [one.where for one in going], "left": [one.to_data() for one in found if one.users]}
        )
    elif not going:
        screen.say("nothing to remove")
    for one in used if not values.json else ():
        screen.say(f"  {one.where} stays: {', '.join(one.users)} lives there")
    return int(Exit.FINE)


def _remove(one: Standing, *, quiet: bool) -> None:
    from skywright.cli.operating import carry_out
    from stacks.operate import Kind

    def tell(event: dict[str, Any]) -> None:
        if not quiet and event["type"] == "resource" and event["status"] != "started":
            screen.say(f"  {event['resource']} {'removed' if event['status'] == 'done' else 'not removed'}")

    env = settings.engine_env(clouds=(one.foundation.cloud,))
    carry_out(Kind.DESTROY, one.foundation, env, tell)
    if not quiet:
        screen.say(f"{screen.paint('✔', screen.GREEN)} nothing of ours stands in {one.where}")


def _used(one: Standing) -> Problem:
    names = ", ".join(one.users)
    return Problem(
        "lock/foundation-in-use", f"the network in {one.where} is used by {names}", hint="remove them first"
    )


def say_stands(one: Standing) -> str:
    """What stays after `down`, on one line."""
    what = ", ".join(each.what for each in one.idle) or f"network {one.foundation.name}"
    return (
        f"stands: {what} · {screen.money(one.monthly)} a month · {screen.PROGRAM} foundation down {one.where}"
    )
