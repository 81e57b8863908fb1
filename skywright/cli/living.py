"""A launch on a living name: its nodes are used when the task fits them; else what changes is said, and asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from skywright.cli import screen, settings
from skywright.cli.arguments import Values
from skywright.cli.taskfile import Entry

if TYPE_CHECKING:
    from compiler.change import Change
    from compiler.fits import Misfit
    from compiler.spec import StackSpec
    from compiler.task import Requirements, Task
    from skywright.control.client import Client

CODE = "plan/does-not-fit"
ENDED = ("SUCCEEDED", "FAILED", "FAILED_SETUP", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Living:
    """A deployment that has nodes, its stack, and what of a new task its nodes do not meet. `met` is the task with
    the one of its alternatives to which they are nearest."""

    data: dict[str, Any]
    spec: StackSpec
    misfits: tuple[Misfit, ...]
    met: Task

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every field that differs from the last task, with what that means."""
        from compiler.change import effects
        from compiler.task import Task

        try:
            old = Task.from_data(self.data["task"])
        except (KeyError, TypeError, ValueError):
            old = None
        return effects(old, self.met, self.misfits, grows=self.grows)

    @property
    def fits(self) -> bool:
        """Whether its nodes can stay as they are."""
        return not self.misfits and not self.replaced

    @property
    def grows(self) -> bool:
        """Nothing but more nodes is asked, of a gang: the others stay."""
        return self.spec.nodes > 1 and [one.field for one in self.misfits] == ["num_nodes"]

    @property
    def replaced(self) -> tuple[Change, ...]:
        """What cannot be had without other nodes, or not at all."""
        from compiler.change import Meaning

        return tuple(one for one in self.changes if one.meaning not in (Meaning.IN_PLACE, Meaning.RESTARTS))

    def stack(self, entry: Entry, new: StackSpec) -> StackSpec:
        """What the order carries: the living stack as far as it is enough, else the `new` one."""
        from compiler.fits import kept

        if self.fits:
            return kept(self.met, self.spec)
        if self.grows and not self.replaced:
            return replace(kept(self.met, self.spec), nodes=entry.task.num_nodes)
        return new


def look(
    client: Client, entry: Entry, name: str, values: Values, chosen: Requirements | None = None
) -> Living | None:
    """The living deployment of that name beside the task; None when there is none. When its nodes meet none of the
    task's alternatives, they are held against the `chosen` one."""
    from compiler.fits import met, misfits
    from compiler.spec import StackSpec

    try:
        data = client.deployment(name)
    except Problems as problems:
        if problems.problems[0].code == "control/no-such-deployment":
            return None
        raise
    if values.verb != "exec" and data["project"] != settings.project():
        return None  # control refuses the name
    if not data.get("spec") or data["state"] in ("gone", "removing") or _empty(data):
        return None
    spec = StackSpec.from_data(data["spec"])
    asked = values.given.get("use_spot") is not None
    machine = _machine(spec)
    price = data["hourly"] / spec.nodes if data.get("hourly") else None
    task = met(entry.task, spec, machine, market_asked=asked)
    found = misfits(entry.task, spec, machine, market_asked=asked, price=price)
    if found and chosen:
        task = replace(entry.task, requirements=chosen)
        only = replace(task, alternatives=())
        found = misfits(only, spec, machine, market_asked=asked, price=price)
    return Living(data, spec, found, task)


def refuse(living: Living, entry: Entry) -> None:
    """Raise Problems plan/does-not-fit, one for each field that needs other nodes."""
    from compiler.fits import place

    name = living.data["name"]
    hint = (
        f"leave it out to take the nodes as they are; `{screen.PROGRAM} launch -c {name} FILE` changes them"
    )
    unmet = {one.field for one in living.misfits}
    found = [
        Problem(CODE, f"`{name}` does not fit: {one.says}", place(entry.task, one), hint)
        for one in living.misfits
    ]
    others = (one.field for one in living.replaced if one.field not in unmet)
    found += [_another(name, field, entry, hint) for field in others]
    if found:
        raise Problems(found)


def agreed(living: Living, entry: Entry, *, yes: bool) -> bool:
    """Say what each changed field means, and ask when nodes are replaced.

    Raises Problems plan/does-not-fit where nobody can be asked, and for what is not possible while it lives.
    """
    from compiler.change import Meaning

    found, name = living.changes, living.data["name"]
    if found:
        fitting = "what changed" if living.fits else "its nodes do not fit"
        screen.say(f"`{name}` lives already, and {fitting}:")
        for change in found:
            screen.say(f"  {line(change)}")
    if living.fits:
        return True
    run = living.data.get("run")
    if run and run["status"] not in ENDED:
        screen.say(
            f"  run {run['run']} is still going: nothing changes and the new run waits until it has ended"
        )
    # A stack lives in one region of one cloud: another place is another stack.
    elsewhere = any(change.meaning is Meaning.MOVES and change.field != "zone" for change in found)
    if elsewhere or any(change.meaning is Meaning.REFUSED for change in found):
        hint = f"`{screen.PROGRAM} down {name}` first, or take another name with `-c NAME`"
        raise Problems(Problem(CODE, f"`{name}` cannot be changed so while it lives", hint=hint))
    if yes or not living.replaced:
        return True
    if not screen.asks() and not screen.said_yes():
        hint = "say --yes to have its nodes replaced, or take another name with `-c NAME`"
        raise Problems(_needs_others(living, entry, hint))
    return screen.confirm("replace its nodes?", yes=False, without=f"the nodes of `{name}` would be replaced")


def _needs_others(living: Living, entry: Entry, hint: str) -> Problem:
    from compiler.fits import place

    name = living.data["name"]
    if living.misfits:
        first = living.misfits[0]
        return Problem(CODE, f"`{name}` does not fit: {first.says}", place(entry.task, first), hint)
    return _another(name, living.replaced[0].field, entry, hint)


def _another(name: str, field: str, entry: Entry, hint: str) -> Problem:
    where = entry.task.place("resources", field, key=True) or entry.task.place(field, key=True)
    return Problem(CODE, f"`{name}` does not fit: another `{field}` needs other nodes", where, hint)


def say_kept(living: Living, entry: Entry) -> None:
    """The line of a plan that makes nothing."""
    has = screen.plural(living.spec.nodes, "node")
    asked = entry.task.num_nodes
    part = "" if asked == living.spec.nodes else f" ({asked} of them)"
    text = f"▶ {entry.name}: on its {has}{part} in {living.data['where']}, {living.data['market']}"
    screen.say(screen.paint(text, screen.BOLD))


def line(change: Change) -> str:
    """One changed field for people: `cpus: 2 → 4  the nodes are replaced`."""
    from skywright.review import words

    old, new = words.values(change)
    values = f": {old} → {new}" if old or new else ""
    return f"{change.field}{values}  {change.says}"


def _machine(spec: StackSpec) -> Any:
    """What a node of the stack has when its spec sets no limit."""
    from stacks import CLOUDS, cloud

    if spec.cloud not in CLOUDS:
        return None
    found = (one for one in cloud(spec.cloud).offers() if one.instance_type == spec.instance_type)
    return next((one for one in found if one.region == spec.region), None)


def _empty(data: dict[str, Any]) -> bool:
    """A deployment that never got nodes has none to keep."""
    return data["state"] == "failed" and not data["nodes"]
