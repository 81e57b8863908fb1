"""From a preview operation's result to rows of a report: of the stack, and of the foundation that it would make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compiler.catalog import tariffs
from skywright.review.findings import findings
from skywright.review.pricing import Around, plain, price
from skywright.review.report import OPS, Change, Cost, Report, Row

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog
    from compiler.change import Change as FieldChange
    from compiler.plan import Plan
    from compiler.problem import Problem
    from compiler.spec import Foundation, StackSpec

WRITTEN = {
    "memory_gb": "memory",
    "disk_gb": "disk_size",
    "accelerator": "accelerators",
    "market": "use_spot",
    "deadman_s": "",
}
"""Inputs of a node that the user's file calls otherwise (empty: not at all)."""

GONE = ("delete",)


def rows(
    result: Mapping[str, Any],
    spec: StackSpec,
    plan: Plan,
    *,
    name: str,
    file: str = "",
    apply: str = "",
    fields: Sequence[FieldChange] = (),
    catalog: Catalog | None = None,
) -> tuple[Row, ...]:
    """The foundation's row where something of it changes, then that of the stack. `result` is that of an operation of
    the kind `preview`, `fields` are what differs from the task of the living deployment."""
    offers = [one.offer for one in plan.placements]
    founded = spec.foundation
    found: list[Row] = []
    of_foundation = result.get("foundation") or {}
    if founded is not None and any(one["op"] in OPS for one in of_foundation.get("planned", ())):
        found.append(_row(of_foundation, founded, Around.of(founded, catalog=catalog), file=""))
    row = _row(
        result,
        spec,
        Around.of(spec, offers, catalog),
        name=name,
        file=file,
        fields=tuple(fields),
        plan=plan,
        run=plan.chosen.total if plan.chosen.total else None,
    )
    # Those of the foundation too: it is judged for the sake of every stack that needs it.
    return (*found, replace(row, apply=apply, findings=findings(result)))


def failed(stack: str, problem: Problem, *, name: str = "", file: str = "", plan: Plan | None = None) -> Row:
    """The row of a stack that could not be previewed."""
    return Row(stack, name=name, file=file, problem=problem, plan=plan)


def report(found: Iterable[Sequence[Row]], *, commit: str = "", program: str = "invoke") -> Report:
    """All rows together: foundations first, each once however many stacks need it."""
    founded: dict[str, Row] = {}
    stacks: list[Row] = []
    for several in found:
        for row in several:
            if row.is_foundation:
                founded.setdefault(row.stack, row)
            else:
                stacks.append(row)
    plans = [row.plan for row in stacks if row.plan]
    dates = dict.fromkeys(str(plan.catalog) for plan in plans if plan.catalog)
    traffic = any(row.spec.cloud not in tariffs.FREE for row in stacks if row.spec)
    return Report(
        (*founded.values(), *stacks),
        tuple(dict.fromkeys(one for row in stacks for one in row.findings)),
        commit=commit,
        catalog=", ".join(dates),
        traffic=traffic,
        program=program,
    )


def fields_of(reasons: Sequence[str]) -> tuple[str, ...]:
    """Why a resource changes, in the words of the user's file."""
    named = tuple(name for name in (WRITTEN.get(reason, reason) for reason in reasons) if name)
    return named or (("num_nodes",) if "deadman_s" in reasons else ())


def _row(
    result: Mapping[str, Any],
    spec: StackSpec | Foundation,
    around: Around,
    *,
    name: str = "",
    file: str = "",
    fields: tuple[FieldChange, ...] = (),
    plan: Plan | None = None,
    run: float | None = None,
) -> Row:
    planned = tuple(result.get("planned", ()))
    changes = _changes(planned, result.get("steps", ()), around)
    founded = None if around.is_foundation else getattr(spec, "foundation", None)
    return Row(
        spec.stack,
        name=name,
        file=file,
        is_foundation=around.is_foundation,
        changes=changes,
        cost=_cost(changes, run),
        hours=plan.estimate.hours if plan else None,
        assumed=bool(plan and plan.estimate.assumed and plan.estimate.deadline_h is None),
        foundation=founded.stack if founded else None,
        fields=fields,
        seconds=result.get("seconds", {}),
        plan=plan,
        spec=spec,
        planned=planned,
        state=result.get("state") or "",
    )


def _changes(
    planned: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]], around: Around
) -> tuple[Change, ...]:
    reasons = {(step["urn"], step["op"]): step["reasons"] for step in steps}
    counted: dict[str, int] = {}
    found = []
    for one in sorted(planned, key=_order):
        if one["op"] == "read":
            continue  # somebody else's: looked at, not ours to pay for
        number = counted.setdefault(plain(one["type"]), 0)
        counted[plain(one["type"])] += 1
        now, then = one["before"], one["inputs"]
        exists, stays = one["op"] != "create", one["op"] not in GONE
        found.append(
            Change(
                one["urn"],
                one["name"],
                plain(one["type"]),
                one["op"],
                fields_of(reasons.get((one["urn"], one["op"]), ())),
                fields_of(one["forces"]) if one["op"] == "replace" else (),
                price(one["type"], now or then, around, number) if exists else None,
                price(one["type"], then or now, around, number) if stays else None,
            )
        )
    return tuple(found)


def _order(one: Mapping[str, Any]) -> tuple[int, str, int, str]:
    """What goes and what is replaced first: it is what people look for; nodes in the order of their ranks."""
    ops = ("delete", "replace", "update", "create")
    head, _, number = one["name"].rpartition("-")
    rank = int(number) if number.isdigit() else -1
    return (ops.index(one["op"]) if one["op"] in ops else len(ops), head, rank, one["name"])


def _cost(changes: Sequence[Change], run: float | None) -> Cost:
    def month(price: Any) -> float:
        return float(price.hourly * tariffs.HOURS_A_MONTH) if price and price.stays else 0.0

    return Cost(
        before=sum(one.before.hourly for one in changes if one.before),
        after=sum(one.after.hourly for one in changes if one.after),
        run=run,
        stays_before=sum(month(one.before) for one in changes),
        stays=sum(month(one.after) for one in changes),
    )
