"""A launch on a living name: its nodes are used when the task fits them; else what changes is said, and asked."""

from __future__ import annotations

from collections.abc import Iterator
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
    from compiler.task import Task
    from skywright.control.client import Client

CODE = "plan/does-not-fit"
ENDED = ("SUCCEEDED", "FAILED", "FAILED_SETUP", "CANCELLED")
SHOWN = 40
"""Characters of a value that is shown beside its change."""


@dataclass(frozen=True, slots=True)
class Living:
    """A deployment that has nodes, its stack, and what of a new task its nodes do not meet. `met` is the task with
    the one of its alternatives to which they are nearest."""

    data: dict[str, Any]
    spec: StackSpec
    misfits: tuple[Misfit, ...]
    met: Task

    @property
    def fits(self) -> bool:
        return not self.misfits

    @property
    def grows(self) -> bool:
        """Nothing but more nodes is asked, of a gang: the others stay."""
        return self.spec.nodes > 1 and [one.field for one in self.misfits] == ["num_nodes"]

    def stack(self, entry: Entry, new: StackSpec) -> StackSpec:
        """What the order carries: the living stack as far as it is enough, else the `new` one."""
        from compiler.fits import kept

        if self.fits:
            return kept(self.met, self.spec)
        if self.grows:
            return replace(kept(self.met, self.spec), nodes=entry.task.num_nodes)
        return new


def look(client: Client, entry: Entry, name: str, values: Values) -> Living | None:
    """The living deployment of that name beside the task; None when there is none."""
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
    found = misfits(entry.task, spec, machine, market_asked=asked)
    return Living(data, spec, found, met(entry.task, spec, machine, market_asked=asked))


def refuse(living: Living, entry: Entry) -> None:
    """Raise Problems plan/does-not-fit, one for each field that the nodes do not meet."""
    from compiler.fits import place

    name = living.data["name"]
    hint = (
        f"leave it out to take the nodes as they are; `{screen.PROGRAM} launch -c {name} FILE` changes them"
    )
    if living.misfits:
        raise Problems(
            Problem(CODE, f"`{name}` does not fit: {one.says}", place(entry.task, one), hint)
            for one in living.misfits
        )


def agreed(living: Living, entry: Entry, *, yes: bool) -> bool:
    """Say what each changed field means, and ask when nodes are replaced.

    Raises Problems plan/does-not-fit where nobody can be asked, and for what is not possible while it lives.
    """
    from compiler.change import Meaning
    from compiler.fits import place

    if living.fits:
        return True
    found = list(_changes(living, entry))
    name = living.data["name"]
    screen.say(f"`{name}` lives already, and its nodes do not fit:")
    for change in found:
        screen.say(f"  {_line(change)}")
    run = living.data.get("run")
    if run and run["status"] not in ENDED:
        screen.say(
            f"  run {run['run']} is still going: nothing changes and the new run waits until it has ended"
        )
    # A stack lives in one region of one cloud: another place is another stack.
    elsewhere = any(one.field in ("cloud", "region") for one in living.misfits)
    if elsewhere or any(change.meaning is Meaning.REFUSED for change in found):
        hint = f"`{screen.PROGRAM} down {name}` first, or take another name with `-c NAME`"
        raise Problems(Problem(CODE, f"`{name}` cannot be changed so while it lives", hint=hint))
    if living.grows or yes:
        return True
    if not screen.asks() and not screen.said_yes():
        first = living.misfits[0]
        hint = "say --yes to have its nodes replaced, or take another name with `-c NAME`"
        raise Problems(Problem(CODE, f"`{name}` does not fit: {first.says}", place(entry.task, first), hint))
    return screen.confirm("replace its nodes?", yes=False, without=f"the nodes of `{name}` would be replaced")


def say_kept(living: Living, entry: Entry) -> None:
    """The line of a plan that makes nothing."""
    has = screen.plural(living.spec.nodes, "node")
    asked = entry.task.num_nodes
    part = "" if asked == living.spec.nodes else f" ({asked} of them)"
    text = f"▶ {entry.name}: on its {has}{part} in {living.data['where']}, {living.data['market']}"
    screen.say(screen.paint(text, screen.BOLD))


def _changes(living: Living, entry: Entry) -> Iterator[Change]:
    """Every field that differs, as the file spells it: what the nodes lack first, then the rest of the task."""
    from compiler.change import Change, Meaning, changes, meaning
    from compiler.fits import PLACE
    from compiler.task import Task

    judged = {one.field for one in living.misfits}
    for one in living.misfits:
        if one.field == "num_nodes":
            means = Meaning.IN_PLACE if living.grows else Meaning.REPLACES_NODES
        else:
            means = meaning(f"resources.{one.field}")
        yield Change(one.field, means, one.has, one.asked)
    try:
        old = Task.from_data(living.data["task"])
    except (KeyError, TypeError, ValueError):
        return
    for change in changes(old, entry.task):
        field = change.field.removeprefix("resources.")
        if field in judged:
            if change.meaning is Meaning.REFUSED:
                yield replace(change, field=field)
        elif field not in (*PLACE, "use_spot", "name", "num_nodes") and field != "any_of":
            yield replace(change, field=field)


def _line(change: Change) -> str:
    values = f": {_shown(change.old)} → {_shown(change.new)}"
    hidden = change.field in ("envs", "secrets") or any(
        isinstance(value, (dict, list)) or len(str(value)) > SHOWN or "\n" in str(value)
        for value in (change.old, change.new)
    )
    return f"{change.field}{'' if hidden else screen.printable(values)}  {change.says}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


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
