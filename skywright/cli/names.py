"""Which deployments are meant: names, patterns, or all of the project; each with its data."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from skywright.cli import screen, settings

if TYPE_CHECKING:
    from skywright.control.client import Client


def meant(client: Client, names: Sequence[str], *, everything: bool, verb: str) -> list[dict[str, Any]]:
    """The deployments of `names` (patterns match), or with `everything` all of the project.

    Raises Problems usage/missing-word, control/no-such-deployment.
    """
    if not names and not everything:
        hint = f"{verb} NAME, or {verb} --all"
        raise Problems(Problem("usage/missing-word", f"`{verb}` needs the name of a deployment", hint=hint))
    living = client.deployments()
    if everything:
        mine = settings.project()
        return [deployment for deployment in living if deployment["project"] == mine]
    return pick(living, names)


def pick(living: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Those of `living` that a name or pattern means, each once, in the order of the names."""
    picked, unknown = sorted_out(living, names)
    if unknown:
        raise Problems(unknown)
    return picked


def sorted_out(
    living: Sequence[dict[str, Any]], names: Sequence[str]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Those that `names` mean, and one Problem for each name that means none."""
    picked: dict[str, dict[str, Any]] = {}
    unknown: list[Problem] = []
    for name in names:
        found = [one for one in living if fnmatch.fnmatchcase(one["name"], name)]
        if not found:
            unknown.append(absent(name, [one["name"] for one in living]))
        picked.update({one["name"]: one for one in found})
    return list(picked.values()), unknown


def absent(name: str, there: Sequence[str]) -> Problem:
    """There is no such deployment; the nearest name, or the names that there are."""
    near = difflib.get_close_matches(name, there, n=1)
    if near:
        hint = f"did you mean `{near[0]}`?"
    else:
        hint = f"there are: {', '.join(there[:8])}" if there else "there is none at all"
    shown = screen.printable(name)[:60]
    return Problem("control/no-such-deployment", f"there is no deployment `{shown}`", hint=hint)


def confirm_many(
    found: Sequence[dict[str, Any]], names: Sequence[str], *, yes: bool, doing: str, always: bool = False
) -> bool:
    """Ask before something is done to deployments that were not named one by one; with `always` whenever
    somebody can be asked."""
    named = {deployment["name"] for deployment in found} <= set(names)
    if not found or (named and not (always and screen.asks())):
        return True
    listed = ", ".join(deployment["name"] for deployment in found)
    return screen.confirm(
        f"{doing} {listed}?", yes=yes, without=f"{doing} {listed}: nobody can be asked here"
    )
