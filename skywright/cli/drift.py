"""`drift`: what clouds have made of stacks since their state was written; looks only, for people and for cron."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen, settings
from skywright.cli.arguments import Values
from skywright.cli.launch import connect, never_used, ready_engine
from skywright.cli.names import absent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skywright.control.client import Client
    from stacks.drift import Drift

AT_ONCE = 2
"""Stacks that are looked at side by side: each keeps an engine and its providers busy."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One stack: what people call it, and how it is looked at."""

    name: str
    stack: str
    look: Callable[[], Drift]


@dataclass(frozen=True, slots=True)
class Told:
    """What was found out about one stack: its drift, or why it is not known."""

    asked: Asked
    drift: Drift | None
    problem: Problem | None = None

    def to_data(self) -> dict[str, Any]:
        from compiler.codec import encode

        found: dict[str, Any] = encode(self.drift) if self.drift else {}
        state = "unknown" if self.drift is None else "drifted" if self.drift.drifted else "same"
        return {
            "name": self.asked.name,
            "stack": self.asked.stack,
            "state": "busy" if self.drift and self.drift.busy else state,
            "busy": found.get("busy"),
            "lost": found.get("lost", []),
            "changed": found.get("changed", []),
            "problem": self.problem.to_data() if self.problem else None,
        }


def run(values: Values) -> int:
    """Look at all that are meant; one that cannot be asked hides no other."""
    asked = _meant(values.names)
    if asked:
        ready_engine(quiet=bool(values.json))
    told = look_at(asked)
    drifted = [one for one in told if one.drift and one.drift.drifted]
    unknown = [one.problem for one in told if one.problem]
    if values.json:
        screen.data({"stacks": [one.to_data() for one in told], "drifted": len(drifted)})
    else:
        _show(told, len(drifted))
    if drifted:
        return int(Exit.EXPECTATION)
    return int(unknown[0].exit) if unknown else int(Exit.FINE)


def look_at(asked: Sequence[Asked]) -> list[Told]:
    """All of them, some side by side, in the order given."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(_look, asked))


def _look(one: Asked) -> Told:
    try:
        return Told(one, one.look())
    except Problems as problems:
        return Told(one, None, problems.problems[0])


def _meant(names: Sequence[str]) -> list[Asked]:
    """Deployments of this home by their own credentials, then the other stacks of the project by this shell's."""
    found = [*_deployments(), *_stacks()]
    first: dict[str, Asked] = {}
    for one in found:
        first.setdefault(one.stack, one)
    if not names:
        return list(first.values())
    picked: dict[str, Asked] = {}
    for name in names:
        mine = [one for one in first.values() if fnmatchcase(one.name, name) or fnmatchcase(one.stack, name)]
        if not mine:
            raise Problems(absent(name, sorted({one.name for one in first.values()})))
        picked.update({one.stack: one for one in mine})
    return list(picked.values())


def _deployments() -> list[Asked]:
    if never_used():
        return []
    client: Client = connect()
    project = settings.project()
    return [
        Asked(one["name"], one["spec"]["stack"], partial(client.drift, one["name"]))
        for one in client.deployments()
        if one["project"] == project
    ]


def _stacks() -> list[Asked]:
    """Those of the state backend that this shell names: foundations, and deployments of others."""
    from stacks import CLOUDS, standing

    env, project = settings.engine_env(clouds=tuple(CLOUDS)), settings.project()
    return [
        Asked(_name(stack), stack, partial(_at, env, project, stack))
        for stack in standing.stacks(env, project)
    ]


def _at(env: dict[str, str], project: str, stack: str) -> Drift:
    from stacks import looking

    return looking.look(env, project, stack)


def _name(stack: str) -> str:
    """`train` of `train-aws-us-east-1`; a foundation is called by its stack."""
    from stacks.drift import cloud_of
    from stacks.standing import PREFIX

    if stack.startswith(PREFIX):
        return stack
    before = f"{stack}-".rpartition(f"-{cloud_of(stack)}-")[0]
    return before or stack


def _show(told: Sequence[Told], drifted: int) -> None:
    """A line when all is well; else each stack that is not, and each that gave no answer (on stderr)."""
    for one in told:
        if one.problem:
            screen.say(f"not asked: {one.asked.stack}: {screen.printable(one.problem.message)}")
            if one.problem.hint:
                screen.say(f"  hint: {screen.called(one.problem.hint)}")
        elif one.drift and one.drift.busy:
            screen.say(f"not judged: {one.asked.stack} is being written by {one.drift.busy}")
        elif one.drift and one.drift.drifted:
            _show_one(one.asked.stack, one.drift)
    looked = [one for one in told if one.drift and not one.drift.busy]
    if not told:
        screen.out("no stacks: there is nothing to look at")
    elif not drifted and looked:
        screen.out(f"no drift: {screen.plural(len(looked), 'stack')} as the state says")
    elif drifted:
        screen.out(f"drift in {drifted} of {screen.plural(len(told), 'stack')}")


def _show_one(stack: str, drift: Drift) -> None:
    counts = [f"{len(drift.lost)} lost"] * bool(drift.lost) + [f"{len(drift.changed)} changed"] * bool(
        drift.changed
    )
    screen.out(screen.paint(f"{stack}: {', '.join(counts)}", screen.BOLD))
    for thing in drift.lost:
        text = f"  lost     {thing.resource}  {thing.kind}  {thing.id}"
        screen.out(screen.paint(screen.printable(text), screen.RED))
    for thing in drift.changed:
        screen.out(screen.printable(f"  changed  {thing.resource}  {thing.kind}  {thing.id}"))
        for each in thing.properties:
            values = f": {each.was or '-'} → {each.now or '-'}" if each.was or each.now else ""
            screen.out(screen.printable(f"             {each.path}{values}"))
