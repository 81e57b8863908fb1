"""A report in a terminal: each stack with its offer and what changes, then one sentence. Plain text with styles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skywright.review import words
from skywright.review.report import OPS, Kind, Level

if TYPE_CHECKING:
    from compiler.plan import Placement
    from skywright.review.report import Change, Report, Row

Line = tuple[str, str]
"""Text, and how it is shown: `bold`, `grey`, `create`, `update`, `replace`, `delete`, `bad`, `warn` or nothing."""

MARKS = {"create": "+", "update": "~", "replace": "±", "delete": words.MINUS}
ALTERNATIVES = 2
WIDTH = 44
"""Characters of a name in the table."""


def lines(report: Report, *, offers: bool = True) -> Iterator[Line]:
    """Every line. `offers`: with the machines that were chosen, and which there are beside them."""
    if len(report.rows) > 3:
        yield from _table(report)
        yield "", ""
    for row in report.of("changed"):
        yield from _stack(report, row, offers)
    unchanged = report.of("unchanged")
    for row in unchanged if len(report.rows) <= 3 else ():
        if offers:
            yield from _offers(row)
        yield f"stack {words.safe(row.stack)}: no changes   {words.money(row.cost.after)}/h", ""
    if unchanged and len(report.rows) > 3:
        yield f"{words.plural(len(unchanged), 'stack')}: no changes", "grey"
    for row in report.of("failed"):
        yield from _problem(row)
    yield from findings(report)
    if report.of("changed") or unchanged:
        yield words.closing(report), "bold"


def findings(report: Report) -> Iterator[Line]:
    """What rules say, refusals first."""
    for one in sorted(report.findings, key=lambda one: one.level is not Level.DENY):
        denies = one.level is Level.DENY
        where = words.safe(" ".join(part for part in (one.stack, one.resource) if part))
        text = f"policy {'✗' if denies else '!'} {where}: {words.safe(one.message)} ({words.safe(one.rule)})"
        yield text, "bad" if denies else "warn"
        if one.hint:
            yield f"  hint: {words.safe(one.hint)}", "grey"


def _table(report: Report) -> Iterator[Line]:
    head: tuple[str, ...] = ("STACK", *(MARKS[op] + op.upper() for op in OPS), "COST")
    shown = [row for row in report.rows if row.status != "unchanged"]
    body: list[tuple[str, ...]] = []
    for row in shown:
        name = words.cut(words.safe(row.stack), WIDTH)
        if row.problem:
            body.append((name, "", "", "", "", "cannot be previewed"))
        else:
            body.append((name, *(str(row.count(op)) for op in OPS), f"{words.signed(row.cost.hourly)}/h"))
    widths = [max(words.columns(line[at]) for line in (head, *body)) for at in range(len(head))]
    for number, line in enumerate((head, *body)):
        first = line[0] + " " * (widths[0] - words.columns(line[0]))
        cells = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        style = "grey" if number == 0 else "bad" if shown[number - 1].problem else ""
        yield "  ".join((first, *cells)), style


def _stack(report: Report, row: Row, offers: bool) -> Iterator[Line]:
    if offers:
        yield from _offers(row)
    counts = "  ".join(f"{MARKS[op]} {row.count(op)} {op}" for op in OPS if row.count(op)) or "no changes"
    cost = f"{words.signed(row.cost.hourly)}/h"
    if row.cost.run is not None:
        cost += f"   {words.money(row.cost.run)} for the run of {words.length(row)}"
    yield f"{'' if row.is_foundation else 'stack '}{words.safe(row.stack)}   {counts}   {cost}", "bold"
    if row.foundation:
        coming = any(one.stack == row.foundation for one in report.rows)
        yield f"  {row.foundation}: {'changes too' if coming else 'nothing to do'}", "grey"
    yield from _fields(row)
    quiet = [one for one in row.changing if one.op == "create" and _is_free(one)]
    shown = [one for one in row.changing if one not in quiet or len(quiet) < 3]
    labelled = [(words.safe(label), one, count) for label, one, count in words.grouped(shown)]
    width = max((words.columns(label) for label, _, _ in labelled), default=0)
    for label, one, count in labelled:
        yield _change(label, one, count, width), one.op
    if len(quiet) >= 3:
        names = ", ".join(words.safe(one.resource) for one in quiet[:6])
        more = f", … {len(quiet) - 6} more" if len(quiet) > 6 else ""
        yield f"  + {len(quiet)} that are free: {names}{more}", "create"
    yield "", ""


def _is_free(change: Change) -> bool:
    return change.after is not None and change.after.kind is Kind.FREE


def _change(name: str, one: Change, count: int, width: int) -> str:
    text = f"  {MARKS[one.op]} {name}{' ' * (width - words.columns(name))}  {words.price(one)}"
    text += " each" if count > 1 and one.hourly else ""
    found = one.priced
    if found and len(found.parts) > 1 and one.op in ("create", "delete"):
        text += f"  ({', '.join(words.safe(words.part(part)) for part in found.parts)})"
    elif found and found.parts:
        text += f"  ({words.safe(found.parts[0].what)})"
    else:
        text += f"  {words.safe(one.kind)}"
    why = words.safe(words.why(one))
    return f"{text}   {why}" if why else text


def _fields(row: Row) -> Iterator[Line]:
    for one in row.fields:
        old, new = words.values(one)
        yield f"  {words.safe(one.field)}{f': {old} → {new}' if old or new else ''}  {one.says}", "warn"


def _offers(row: Row) -> Iterator[Line]:
    plan = row.plan
    if plan is None:
        return
    for number, placement in enumerate(plan.placements[: 1 + ALTERNATIVES]):
        text = words.safe(offered(placement))
        if number == 0:
            nodes = words.plural(placement.nodes, "node")
            yield f"▶ {words.safe(row.name)}: {nodes} on {text}", "bold"
        else:
            yield f"  {text}", "grey"
    more = plan.possible - 1 - ALTERNATIVES
    if more > 0:
        yield f"  … {more:,} more", "grey"


def offered(placement: Placement) -> str:
    """One offer in a line: place, machine, market, price of all nodes."""
    offer = placement.offer
    price = f"{words.money(placement.hourly)}/h"
    if placement.free:
        price = "reserved" if offer.reserved else "free"
    return f"{offer.where} {offer.instance_type}  {offer.market.value}  {price}"


def _problem(row: Row) -> Iterator[Line]:
    problem = row.problem
    assert problem is not None
    where = f" ({problem.place})" if problem.place else ""
    text = f"{row.stack or row.file}: error[{problem.code}]: {problem.message}{where}"
    yield words.safe(text), "bad"
    if problem.hint:
        yield f"  hint: {words.safe(problem.hint)}", "grey"
