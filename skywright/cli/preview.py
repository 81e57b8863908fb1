"""`preview` and `up --dryrun`: what the engine would do to the stack, and its cost; creates nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit
from skywright.cli import screen, settings
from skywright.cli.arguments import Values
from skywright.cli.planning import make_plan, make_spec, recent_losses
from skywright.cli.sources import check_local
from skywright.cli.taskfile import Entry, read_entry

if TYPE_CHECKING:
    from compiler.plan import Plan
    from skywright.cli.living import Living


def run(values: Values) -> int:
    """Preview one task."""
    from skywright.cli.launch import connect, never_used
    from skywright.cli.living import look

    entry = read_entry(values, values.entry, values.cluster_name)
    check_local(entry.task)
    plan = make_plan(
        entry, secrets=False, now=time.time(), by_time=values.minimize == "time", avoid=recent_losses()
    )
    return show(
        values,
        entry,
        plan,
        None if never_used() else look(connect(), entry, entry.name, values, plan.chosen.requirements),
    )


def show(values: Values, entry: Entry, plan: Plan, living: Living | None = None) -> int:
    """Run the preview and print it: of a living name, what `up` would do to its nodes."""
    from skywright.cli import living as fields
    from skywright.cli.launch import ready_engine, show_plan

    markdown = bool(values.given.get("markdown"))
    if not (values.json or markdown):
        show_plan(entry, plan)
    ready_engine(quiet=bool(values.json))
    result = operate(entry, plan, living)
    if markdown:
        from stacks import preview

        screen.out(preview.markdown([preview.row(result["stack"], result, plan.chosen.hourly)]))
        if living:
            screen.out(fields.markdown(living))
    elif values.json:
        screen.data(
            {
                "name": entry.name,
                "stack": result["stack"],
                "changes": result["changes"],
                "fields": [change.to_data() for change in living.changes] if living else [],
                "steps": result["steps"],
                "hourly": plan.chosen.hourly,
                "seconds": result["seconds"],
                "plan": plan.to_data(),
            }
        )
    else:
        for change in living.changes if living else ():
            screen.out(f"  {fields.line(change)}")
        say_changes(entry, plan, result)
    return int(Exit.FINE)


def operate(entry: Entry, plan: Plan, living: Living | None = None) -> dict[str, Any]:
    """One preview operation, whose parent we are; its result. Raises the operation's Problems."""
    from skywright.cli.operating import carry_out
    from stacks.operate import Kind

    spec = make_spec(entry, plan.chosen, settings.project())
    if living:
        spec = living.stack(entry, spec)
    result = carry_out(Kind.PREVIEW, spec, settings.engine_env(clouds=[spec.cloud]))
    steps = [{**step, "reasons": fields_of(step["reasons"])} for step in result["steps"]]
    return {**result, "steps": steps, "stack": spec.stack}


WRITTEN = {
    "memory_gb": "memory",
    "disk_gb": "disk_size",
    "accelerator": "accelerators",
    "market": "use_spot",
    "deadman_s": "",
}
"""Inputs of a node that the user's file calls otherwise (empty: not at all)."""


def fields_of(reasons: Sequence[str]) -> list[str]:
    """Why a resource changes, in the words of the user's file."""
    named = [name for name in (WRITTEN.get(reason, reason) for reason in reasons) if name]
    return named or (["num_nodes"] if "deadman_s" in reasons else [])


MARKS = {"create": "+", "update": "~", "replace": "±", "delete": "−"}


def say_changes(entry: Entry, plan: Plan, result: dict[str, Any]) -> None:
    """The preview for people: a line per resource that changes, then the counts and the cost."""
    from stacks import preview

    row = preview.row(result["stack"], result, plan.chosen.hourly)
    for change in row.changes:
        reasons = f"  because of {', '.join(change.reasons)}" if change.reasons else ""
        screen.out(f"  {MARKS[change.op]} {change.resource}  {change.kind}{reasons}")
    counts = [f"{row.count(op)} {op}" for op in preview.OPS if row.count(op)]
    changes = ", ".join(counts) or "no changes"
    screen.out(f"stack {row.stack}: {changes}   cost {screen.money(row.hourly)}/h")
